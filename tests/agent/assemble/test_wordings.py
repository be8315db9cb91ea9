"""What series are called, and what was entered as contrast agent, decide rightly in any language.

The wordings are those of public exam catalogues (LOINC, hospitals' order tables and price lists),
of scanners' own protocol trees and of public data sets' headers. A rule reads them, no list: others
of each kind are written tomorrow.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.assemble.protocol import choose, contrast_unsure, load_profiles
from agent.errors import NotEligible
from agent.records import SliceHeader
from tests.agent.assemble.made import HEADER

PROFILES = load_profiles(Path(__file__).parents[3] / "engines" / "protocols")
PLAIN = replace(HEADER, rows=512, columns=512)

PLAIN_HEADS = """
    KT głowy bez środka kontrastowego
    CT caput u/k
    Scanner crâne SPC
    Cráneo previo a contraste
    TC encefalo prima del mdc
    TC cranio smc
    Head prior to contrast
    Encéphale 5mm SI
    Hydrocephalus quick brain
    VP shunt low dose head
    HEAD POST TPA 24H
    Post EVT head
    Kopf nach EVD-Anlage
    Brainlab Kopf nativ
    Head helical non-angio
    Cranio basale
    Crâne avant injection
    CT HEAD WO CONTRAST
    CT Head WO contrast
    CT HEAD WO IV CONTRAST
    CT HEAD WITHOUT IV CONTRAST
    CT HEAD WITHOUT CONTRAST
    CT HEAD W/O CONTRAST
    CT HEAD W/O IV CONTRAST
    CT HEAD W/O
    CT HEAD WO
    CT HEAD WO 5MM
    CT BRAIN W/OUT CONT
    CT BRAIN WO CON
    CT BRAIN NON CON
    CT Head non-con
    Head NonCon 2.0
    HEAD NON CONTRAST
    Head non-contrast 5.0
    HEAD NON ENHANCED
    NON CE HEAD
    NECT HEAD
    NCCT Head 5mm
    NCCT BRAIN THIN
    Unenhanced head
    UNENHANCED BRAIN AX 2.5
    Head_WO_CONTRAST
    HeadWOContrast 3.0
    CT_HEAD_W_O_CONT
    HEAD W-O CONTRAST
    HEAD C-
    Head -C 5.0
    HEAD PRE CONTRAST
    PRE CONTRAST 5MM STD
    PRE CONTRAST THIN
    Head precontrast
    Brain before contrast
    CT brain no oral or iv contrast
    no contrast head
    Head, contrast: none
    Head, no contrast given
    CT HEAD WITHOUT CONTRAST WITH 3D RECON
    CT HEAD WO W MPR
    Head 5.0
    Head 5.0 H31s
    HEAD 5.0 MPR
    Head^01_HeadRoutine (Adult)
    Head^HeadSeq
    HeadSpi 1.0 J40s 3
    HeadNeuro 1.5 Hr40
    Head Routine Helical
    PLAIN THIN, iDose (4)
    STD BRAIN 1MM, iDose
    Brain, iDose (3)
    Head 5mm low dose
    Low Dose Head
    Head reduced dose
    Brain ultra low dose 1.25
    HEAD DOSE REDUCED 2.5
    CT PLAIN THIN
    CT Plain 3mm
    CT 55mm Plain
    CT Thin Plain
    CT BRAIN PLAIN
    CT 0.625mm
    CT 5 MM
    CT THIN STD
    CT SOFT THIN
    CT HELICAL
    CT I To S
    CT Axial 0.625
    Axial 5mm
    SOFT TISSUE 2.5
    Recon 2: 1.25mm STD
    HEAD (trauma, orbits incl.)
    HEAD/FACE TRAUMA
    Brain and skull base
    Trauma head 5.0
    Stroke head 5.0
    CODE STROKE NON CON HEAD
    HEAD POST OP
    Head post EVD
    HEAD S/P CRANI
    Head post trauma
    HEAD POST FOSSA
    Brain W MPR
    CT HEAD WITH 1MM THINS
    Control head CT
    POSTERIOR FOSSA
    AAPM Routine Adult Head (Brain)
    CT Schädel nativ
    CT Kopf nativ
    CCT nativ
    cCT nativ 4.8
    Schaedel nativ
    Schädel-CT ohne KM
    Schädel o. KM
    CCT o.KM
    cCT oKM
    CCT ohne i.v.-Kontrastmittel
    Kopf ohne Kontrast
    Kopf ohne Kontrastmittel 5mm
    Kopf KM: nein
    Neurokranium nativ
    Neurocranium nativ axial
    Schädel nativ Weichteil
    Hirnschädel nativ 3.0
    Kopf, kein Kontrastmittel
    Schädel vor KM
    Schädel Trauma 5.0
    CCT Kontrolle
    Scanner cérébral sans injection
    Scanner cérébral sans contraste
    TDM cérébrale sans injection
    TDM CEREBRALE SANS INJECTION DE PRODUIT DE CONTRASTE
    TDM SANS INJ CRANE
    CRANE SANS CONTRASTE
    CRANE SANS
    CRANE SANS IV
    Tete sans IV
    Tête sans injection
    CRANE S/ INJECTION
    CRANE IV-
    Crâne non injecté
    Encéphale sans PDC
    CERVEAU AVANT INJECTION
    Crane standard
    Crâne 5mm
    AVC sans injection
    Cerveau sans injection d'iode
    TAC DE CRANEO SIMPLE
    TC DE CRANEO SIMPLE
    CRANEO^CRANEO_SIMPLE (ADULT)
    CRANEO SIMPLE(ADULTO)
    Craneo simple
    TOMOGRAFIA DE CRANEO SIMPLE
    TC CRANEO SIN CONTRASTE
    CEREBRO SIN CONTRASTE
    TAC cráneo sin contraste IV
    TC CRANEO SIN CIV
    T.C. CRANEO SIN CTE
    TAC CRANEO S/C
    TC craneo s/contraste
    TC cráneo sin medio de contraste
    TC de cráneo basal
    CABEZA SIN CONTRASTE
    Encéfalo sin contraste
    CRANEO CON RECONSTRUCCION
    Código ictus basal
    Ictus: cráneo sin contraste
    头颅平扫
    CT 头颅平扫
    头颅CT平扫
    CT颅脑平扫
    颅脑CT平扫
    颅脑平扫 5mm
    头部平扫
    脑平扫
    头颅非增强
    颅脑无造影剂
    未增强头颅
    头颅 低剂量
    头颅 增强前
    頭部単純CT
    頭部単純
    頭部 造影なし
    脳 造影前
    頭部CT(造影なし)
    造影剤を使用しない頭部
    TC cranio senza mdc
    TC encefalo senza mezzo di contrasto
    TC cranio basale
    TC crânio sem contraste
    Tomografia de crânio sem contraste
    CT hersenen blanco
    CT hersenen zonder contrast
    CT schedel geen contrast
    CT BRAIN C (-)
    Head (-)
    CRANE I-
    Crane -
    CRANIO S.MDC
    KM-frei Kopf
    kontrastmittelfrei CCT
    contrast-free head
    Głowa bez kontrastu
    Mózg natywne
    Hlava nativně
    Koponya kontraszt nélkül
    Hjärna utan kontrast
    CT hode uten kontrast
    CT cerebrum uden kontrast
    Pää ilman varjoainetta
    Голова без контраста
    КТ головы нативно
    Beyin BT kontrastsız
    CT Otak tanpa kontras
    뇌 CT 비조영
    Native phase head
    TDM crâne sans produit de contraste
    cranio smdc
    頭部 非造影
    头颅CT平扫+三维
    Head post tPA
    Ausschluss Blutung nativ
    CCT nach Sturz
    Kopf mit Kippung
    Head w/ tilt
    HEAD CT W/3D
    Head CE-
    HEAD C/-
    Head low contrast
    Head contrast resolution
    HEAD C-SPINE TRAUMA
    CT HEAD INJURY
    CCT Kontr.
    Contrast NO HEAD
    Contrast: NO, Brain 5mm
    Kontrast nein Kopf
    Head ICP monitoring
    ICP monitor head CT
    Head - neuro monitoring
    CT HEAD TIMING UNKNOWN STROKE
    CT HEAD ICU PORTABLE
    CT Brain w/o contr media
    70450 CT HEAD OR BRAIN W/O DYE
    HC CT HEAD/BRAIN WO CONT
    CT HEAD STROKE ALERT WO
    CTHEADWO
    Head Thin WO Contrast ASiR 30%
    NON-CONTRAST CT HEAD LOW DOSE PEDS
    Pediatric Head 0-2 yrs w/o
    Head trauma no IV contrast
    Head Seq 4.8 Hr38 S3
    VOLUME HEAD 0.5 FC21
    HEAD NO CONT 5/5
    CCT nativ axial 5mm, HK
    Schädel-Hirn-Trauma nativ
    SHT CCT
    CT Neurocranium ohne KM (Stroke)
    CCT (ohne Kontrast), Polytrauma
    Spirale Kopf 1,0
    cCT ICB Kontrolle nativ
    TDM encéphalique sans IV
    SCANNER CRANE SANS IV URG
    Scanner cérébral non injecté
    Cérébral SPC
    TDM crâne-encéphale sans injection
    AVC thrombolyse sans PDC
    TC CRANEAL S/C
    TAC CEREBRAL SIMPLE
    TC CRANEO S/CIV
    TC encefálico sem contraste
    TC DE CRANIO S/ CONTRASTE
    TC Crânio s/c
    TC CRANIO SENZA MDC URG
    TC encefalo diretta
    TC capo s.m.c.
    CT hoofd zonder iv contrast
    Blanco CT hersenen 3mm
    头颅CT平扫（急诊）
    颅脑轴位平扫 5.0
    脑CT普通扫描
    頭部CT単純(救急)
    头颅常规
"""

UNSURE = """
    NCCT before CTA/CTP
    Kopf nativ vor Angio
    CT HEAD W WO CONTRAST
    CT HEAD W AND WO CONTRAST
    CT HEAD WITHOUT THEN WITH IV CONTRAST
    CT Head WO and W contrast IV
    HEAD W & W/O IV CON
    HEAD W/WO CON
    HEAD WO/W CON
    HEAD WWO
    CTA HEAD NON CON
    Plain head of CT perfusion
    Schädel nativ und mit KM
    MRT Schädel nativ+KM
    Scanner cérébral sans puis avec injection
    TAC DE CRANEO SIMPLE Y CONTRASTADO
    TC cráneo con y sin contraste
    头颅平扫+增强
    颅脑平扫及增强
    頭部単純+造影
    CT BRAIN +/- CONTRAST
    CT Brain +/- IV contrast
    TC CRANIO SENZA E CON MDC
    Kopf nativ + CTA
    Hirn (nativ) + KM
    Delayed head
    Late phase
    Kopf Spätphase
    Cerveau tardif
    fase tardia
    头颅 延迟期
    Phase 2
    TC cranio s.m.d.c. + c.m.d.c.
    CT C
    CT C THIN
    Head IV
    HEAD C
    Head C 5.0
    HEAD_C_2.5
    Head (C)
    Recon C
    IV 3
    Head IV 3
    Kopf IV
    Head inj
    HEAD INJ 5MM
    Head cont.
    Brain contr
    HEAD POST
    Head post 5.0
    CT HEAD W
    CT HEAD W/
    Head w
    Schädel mit
    CRANE AVEC
    Dynamic head
    Head Dynamic 5.0
    Kopf dynamisch
    Brain 4D
    头颅 动态
    ANGIO NO, CRANEO SIMPLE
    CT HEAD/BRAIN W/O & W/DYE
    Head CT with + without
    CTA HEAD W WO CONTRAST
    CCT nativ + KM
    TC cráneo s/c y c/c
    TC encefalo con e senza mdc
"""

WITH_CONTRAST = """
    KT głowy ze środkiem kontrastowym
    CT caput m/k
    Scanner crâne APC
    頭部3DCTA
    Cranio CMC
    encefalo dopo mdc
    Cráneo tras contraste
    Crâne après injection
    Head rCBF
    rCBV brain
    CT HEAD W CONTRAST
    CT Head W contrast IV
    CT HEAD WITH CONTRAST
    CT HEAD WITH IV CONTRAST
    CT HEAD W IV CON
    CT HEAD W/ CONTRAST
    HEAD W/CON
    Head post contrast
    POST CONTRAST
    CT 5mm POST CONTRAST
    POST-CONTRAST HEAD 5.0
    Head post con
    HEAD POST GAD
    HEAD C+
    Head +C
    Brain contrast
    Contrast enhanced head
    Enhanced head 5.0
    CECT THIN
    CT 55mm Contrast
    Thin Contrast
    ORAL IV
    4cc sec 150cc D3D on
    CTA Head
    HeadCTA 0.75
    CTA COW
    CT ANGIO HEAD AND NECK
    CT Angiography Head
    HEAD ANGIO ARTERIAL
    CTV head
    CT Venogram brain
    Circle of Willis 0.6
    Carotid angio
    Head arterial phase
    Head venous
    CT PERFUSION HEAD
    CTP Brain 4D
    VPCT Head
    Head perfusion CBF
    Schädel mit KM
    Schädel m. KM
    CCT mit Kontrastmittel
    CCT nach KM
    Kopf mit i.v. Kontrast
    Schädel KM+
    Kopf Kontrastmittel
    CT-Angiographie Kopf
    Hirnperfusion
    Scanner cérébral avec injection
    TDM cérébrale avec injection
    CRANE AVEC IV
    CRANE IV+
    CRANE INJECTE
    Cerveau après injection
    Angioscanner cérébral
    Angio TSA
    TAC cráneo con contraste
    TC CRANEO C/C
    TC CRANEO CON CIV
    TAC CRANEO CONTRASTADO
    CRANEO CON CONTRASTE IV
    Cráneo tras contraste
    Angio-TAC cerebral
    ANGIOTAC CEREBRAL
    AngioTC polígono de Willis
    头颅增强
    颅脑CT增强
    颅脑增强扫描
    头颅CTA
    脑血管造影
    头颅灌注
    頭部造影CT
    頭部 造影後
    脳血管CTA
    TC encefalo con mdc
    Crânio com contraste
    CT hersenen met contrast
    Brain (+)
    Head +
    Crane I+
    Post Omni head
    mCTA phase 2
    CCT Hirnvenen
    Głowa z kontrastem
    Koponya kontraszttal
    CT cerebrum med kontrast
    Голова с контрастом
    КТ ангиография
    Beyin BT kontrastlı
    조영증강 뇌
    Early arterial
    CT HEAD W CONT STEALTH
    CT HEAD/BRAIN W/DYE
    CTV BRAIN W
    Schädel-CT mit KM i.v.
    TC CRANEAL C/C IV
    AngioTC TSA y Willis
    头颅CT增强扫描
    头颈CTA
    CT Perfusie hersenen
    4D perfusion
"""

NO_PLAIN_HEADS = """
    3D VR head
    Hipófisis
    Key images
    Dose Report
    Exam Dose Summary
    Dosisbericht
    Rapport de dose
    Informe de dosis
    剂量报告
    Patient Protocol
    Topogram 0.6
    Scout
    Surview
    Localizer
    Locator
    Tracker
    PreMonitoring
    Monitoring
    Test Bolus
    SmartPrep Series
    Screen Save
    MIP Head
    Head MinIP
    VRT skull
    Head bone subtracted
    Chest 5.0
    Thorax nativ
    Abdomen venous
    C-Spine 2.0
    CERVICAL SPINE
    Neck
    HWS nativ
    Rachis cervical
    Columna cervical
    Sinus
    NNH coronal
    Orbita nativ
    Temporal bone
    Felsenbein 0.6
    Rochers
    Senos paranasales
    Facial bones
    胸部平扫
    颈椎CT平扫
    副鼻腔
"""

BONE_WITHOUT_KERNEL = """
    Head bone 2.5
    Skull BONE
    Schädel Knochen
    Kopf Knochenfenster
    Crâne os
    Crâne fenêtre osseuse
    Cráneo óseo
    CRANEO HUESO
    头颅 骨窗
    頭部 骨
"""


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def called(description: str) -> SliceHeader:
    """A series of this name whose body part is a head."""
    return replace(PLAIN, description=description)


def decision(header: SliceHeader) -> str:
    try:
        profile = choose([header], PROFILES)
    except NotEligible as error:
        code = error.reason.code
        return "contrast_given" if code == "contrast_series" else code
    return "unsure" if contrast_unsure([header], profile) else "plain"


def test_there_are_many_wordings() -> None:
    told = [PLAIN_HEADS, UNSURE, WITH_CONTRAST, NO_PLAIN_HEADS, BONE_WITHOUT_KERNEL]

    assert sum(len(lines(text)) for text in told) + len(AGENTS) >= 300


@pytest.mark.parametrize("description", lines(PLAIN_HEADS))
def test_a_plain_head_is_analysed(description: str) -> None:
    assert decision(called(description)) == "plain"


def test_a_name_that_was_cut_off_refuses_no_plain_head() -> None:
    """Some fields hold 16 characters: what remains of a name is left to the images at worst."""
    lost = {"kontrastmittelfr", "Koponya kontrasz", "Beyin BT kontras", "Head, contrast: "}
    names = {name[:16] for name in lines(PLAIN_HEADS)} - lost - {"Head contrast re"}

    refused = {name: said for name in names if (said := decision(called(name))) == "contrast_given"}

    assert refused == {}


@pytest.mark.parametrize("description", lines(PLAIN_HEADS))
def test_a_name_without_contrast_and_an_agent_that_was_entered_leave_it_to_the_images(
    description: str,
) -> None:
    header = replace(called(description), contrast="OMNIPAQUE 350")

    assert decision(header) in ("unsure", "contrast_given")


@pytest.mark.parametrize("description", lines(UNSURE))
def test_what_says_both_is_left_to_the_images(description: str) -> None:
    assert decision(called(description)) == "unsure"


@pytest.mark.parametrize("description", lines(WITH_CONTRAST))
def test_a_head_with_contrast_is_not_taken_for_plain(description: str) -> None:
    assert decision(called(description)) == "contrast_given"
    assert decision(replace(called(description), contrast="NONE")) == "unsure"


@pytest.mark.parametrize("description", lines(NO_PLAIN_HEADS))
@pytest.mark.parametrize("body_part", ["", "HEAD"])
def test_other_series_are_not_analysed(description: str, body_part: str) -> None:
    header = replace(called(description), body_part=body_part)

    assert decision(header) in ("not_plain_head", "not_head")


@pytest.mark.parametrize("description", lines(BONE_WITHOUT_KERNEL))
def test_bone_is_told_by_words_where_there_is_no_kernel(description: str) -> None:
    assert decision(replace(called(description), kernel="")) == "bone_series"
    assert decision(replace(called(description), kernel="STANDARD")) == "plain"


AGENTS = {
    "": "plain",
    "NONE": "plain",
    "None": "plain",
    "NO": "plain",
    "N": "plain",
    "N/A": "plain",
    "NA": "plain",
    "n.a.": "plain",
    "NIL": "plain",
    "0": "plain",
    "0 ML": "plain",
    "-": "plain",
    "UNKNOWN": "plain",
    "WITHOUT": "plain",
    "WITHOUT CONTRAST": "plain",
    "WITHOUT IV CONTRAST": "plain",
    "W/O": "plain",
    "NO CONTRAST": "plain",
    "No contrast agent": "plain",
    "NO IV": "plain",
    "NON CONTRAST": "plain",
    "UNENHANCED": "plain",
    "NATIVE": "plain",
    "NATIV": "plain",
    "NEIN": "plain",
    "OHNE": "plain",
    "OHNE KM": "plain",
    "kein KM": "plain",
    "SANS": "plain",
    "SANS INJECTION": "plain",
    "NON": "plain",
    "SIN CONTRASTE": "plain",
    "SIN": "plain",
    "无": "plain",
    "平扫": "plain",
    "なし": "plain",
    "not applicable": "plain",
    "saline": "plain",
    "OMNIPAQUE": "contrast_given",
    "OMNIPAQUE 350": "contrast_given",
    "Omnipaque 300 100 ML": "contrast_given",
    "IOPAMIRON": "contrast_given",
    "ISOVUE 370": "contrast_given",
    "VISIPAQUE": "contrast_given",
    "ULTRAVIST 370": "contrast_given",
    "IMERON 400": "contrast_given",
    "XENETIX 350": "contrast_given",
    "IV": "contrast_given",
    "IV CONTRAST": "contrast_given",
    "CONTRAST": "contrast_given",
    "YES": "contrast_given",
    "Y": "contrast_given",
    "APPLIED": "contrast_given",
    "100 ML": "contrast_given",
    "KM": "contrast_given",
    "AVEC": "contrast_given",
    "碘海醇": "contrast_given",
    "given": "contrast_given",
}


@pytest.mark.parametrize(("agent", "expected"), AGENTS.items())
def test_what_was_entered_as_agent_decides_where_the_name_says_nothing(
    agent: str, expected: str
) -> None:
    assert decision(replace(PLAIN, contrast=agent)) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"body_part": "CHEST", "description": "Head 5.0"}, "plain"),
        ({"body_part": "CHEST", "description": "Axial 5.0"}, "not_head"),
        ({"body_part": "HEAD", "description": "C-Spine 2.0"}, "not_head"),
        ({"body_part": "", "description": "5.0"}, "plain"),
        ({"body_part": "SKULL", "description": ""}, "plain"),
        ({"body_part": "CRANEO", "description": "simple"}, "plain"),
        ({"kernel": "H60s", "description": "CT HEAD WO"}, "bone_kernel"),
        ({"kernel": "H31s", "description": "Head bone"}, "plain"),
        ({"description": "CT HEAD WO", "contrast": "ISOVUE"}, "unsure"),
        ({"description": "Brain 4D", "n_times": 19}, "scanned_often"),
        ({"description": "Head 5.0", "n_times": 19}, "scanned_often"),
        ({"description": "Head 5.0", "n_times": 2}, "plain"),
    ],
    ids=str,
)
def test_stronger_evidence_comes_first(changes: dict[str, Any], expected: str) -> None:
    assert decision(replace(PLAIN, **changes)) == expected
