"""The words of headers: what each means, in the languages that scanners and sites write. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from enum import Enum, auto
from functools import lru_cache
from typing import Final


class Term(Enum):
    """What a word speaks of, or what it does to its neighbours."""

    HEAD = auto()
    FACE = auto()
    """A part of the head that is scanned for itself, without the brain."""
    BODY = auto()
    """Any other part."""
    PLAIN = auto()
    CONTRAST = auto()
    SHORT = auto()
    """Short for contrast agent where "with", "without" or another such word is beside it."""
    MAYBE_CONTRAST = auto()
    """What such a word says alone: agent, a number ("IV", "C"), an injury ("inj") or control."""
    VESSELS = auto()
    """An angiography or venography."""
    PERFUSION = auto()
    TIMED = auto()
    """Scanned again and again, as for a perfusion; or a moving picture, or a scanner's mode."""
    PHASE = auto()
    """A phase after an agent was given; or of anything else, as of a native one."""
    BONE = auto()
    DERIVED = auto()
    """A projection, a material, a subtraction: no HU of what was scanned."""
    AUXILIARY = auto()
    """A localizer, a bolus watch, a page of text."""
    WATCH = auto()
    """Of a bolus; or, where a head is named, of a patient."""
    DOSE = auto()
    LESS = auto()
    """What is said of a dose that is low."""
    WITHOUT = auto()
    WITH = auto()
    BEFORE = auto()
    AFTER = auto()
    AND = auto()
    DENIES_BEFORE = auto()
    """Stands after what it denies."""
    FILLER = auto()
    """Stands between "without" and what it is without."""
    WITH_OR_CONTRAST = auto()
    """"con": Spanish and Italian for with, and English for short."""
    NUMBER = auto()
    OTHER = auto()


WORDS: Final[dict[Term, str]] = {
    Term.VESSELS: """
        cta ctas *angio* arterio* arteri* venogr* ctv venous venos* vein* phleb* sinusven*
        3dcta 4dcta carot* karot* willis cow tsa troncs gefass* gefaess* vasos portal mcta *venen
        *ангио* 혈관 血管 动脉 動脈 静脉 靜脈 静脈
        """,
    Term.PERFUSION: """
        perf* *perfusi* ctp vpct cbf cbv rcbf rcbv mtt tmax ttp перфуз* 관류 灌注 灌流 潅流
        """,
    Term.TIMED: "dynamic* dynamisch* dynamiq* dinamic* dyn 4d 动态 動態 ダイナミック",
    Term.HEAD: """
        head* brain* skull* crani* cerebr* cerebel* encephal* neuro* stroke cct ncct nect hct
        kopf* *schadel* *schaedel* *hirn* schlaganfall* tete crane* cerveau avc cabeza craneo*
        encefal* ictus acv testa capo cabeca hersen* hoofd* schedel* голов* мозг* 두부 뇌 头 頭
        颅 顱 脑 脳 腦 卒中
        """,
    Term.FACE: """
        sinus sinuses paranasal* orbit* facial* face maxill* mandib* dental dentascan
        temporal petrous mastoid* pituit* hypophys* hipofis* ipofis* sella iac iacs cochlea*
        zygoma* nasal ear ears nnh nasennebenhohl* nasennebenhoehl* *gesicht* kiefer* felsenbein*
        innenohr* *orbita massif rocher* dentaire* senos penasco* oido* macizo* ouvido* 鼻窦
        鼻竇 副鼻腔 眼眶 眼窩 颞骨 顳骨 側頭骨 内耳 中耳 颌 顎 面部 顔面 垂体 下垂体
        """,
    Term.BODY: """
        chest* thora* torax lung* abd abdo* pelv* spine spinal cspine tspine lspine lumbar
        cervical* neck heart card* coronary coronaries coronaria* koronararter* liver hepat*
        kidney* renal colon* knee hip shoulder* foot feet ankle* wrist* hand elbow* femur
        tibia* extrem* larynx* aort* tap hals* *wirbel* hws bws lws becken* leber*
        herz* niere* knie* huft* schulter* bauch* cou rachis bassin foie coeur genou hanche*
        epaule* cheville* poignet* poumon* cuello columna cadera* rodilla* higado* corazon*
        pulmon* hombro* tobillo* muneca* collo colonna bacino ginocchio pescoco coluna
        joelho wervel* buik bekken 胸 腹 盆 骨盤 颈 頸 頚 脊 腰 心 肺 肝 肾 腎 膝 髋 股 足 脚 肩 腕
        """,
    Term.PLAIN: """
        plain nativ* natif unenhanced nonenhanced noncontrast* noncon nect ncct nc nce
        precontrast* precon simple simples basal* blanco c- ce- i- iv- km- -c smdc smc spc
        *kontrastmittelfrei* *kontrasts*z нативн* бесконтраст* 비조영 平扫 平掃 単純 單純 造影前
        增强前 增強前 强化前
        """,
    Term.CONTRAST: """
        contrast* *kontras* *контраст* cte civ km kmittel mdc pdc injec*
        inyec* iniezion* enhance* enh ce cect postcontrast* postcon dye bolus* gad gado* gd c+
        i+ +c apc cmdc cmc km+ +km iv+ +iv +gd varjoaine* tiem omni omnipaq* iohex* iopam* isovue*
        iodix* visipaq* ultravist* ioprom* iomer* imeron* xenet* iobit* optiray* ioversol*
        accupaq* solutrast* oxilan* ioxi* hexabrix* conray* iod iodine* iode* yodo* iodo*
        opacif* ce+ 增强 增強 造影 强化 強化 对比 對比 조영
        """,
    Term.PHASE: """
        phase* fase* delay* late *spatphase *spaetphase tardif* tardi* art ven 延迟 延遲 延期
        지연
        """,
    Term.SHORT: "c iv intraven* endoven* ev oral inj cont contr contra",
    Term.BONE: """
        bone* bony *knochen* os osseu* osse* osso* ossa oseo osea hueso* bot botvenster 骨
        """,
    Term.DERIVED: """
        mip mips minip vr vrt vnc zeff iodmap subtract* subtrak* sustrac* soustrac* boneremoval
        fusion fused
        """,
    Term.AUXILIARY: """
        localizer* localiser* localizador locator scout* topo topogram* surview* scanogram*
        smartprep surestart premonitor* bolustrack* testbolus report* *bericht informe rapport
        screen screens screenshot* screensave* summary snapshot* capture patientprotocol
        patientenprotokoll 定位 剂量 劑量 線量
        """,
    Term.WATCH: "tracker tracking monitoring monitor timing",
    Term.DOSE: "dose doses dosis dosi dosim* dosier*",
    Term.LESS: """
        low lower reduc* reduz* ultralow ultra i idose standard full half niedrig* faible*
        bas basse baja bajo bassa baixa lage eco modul*
        """,
    Term.WITHOUT: """
        without w/o w/out wo wo/ wout no non not none neg nil sans ss s/ ohne o/ kein* nein sin
        senza sem zonder geen n/a na bez utan uten uden ilman tanpa khong z/ без 不 无 無 非 未
        没
        """,
    Term.WITH: "with w w/ avec c/ mit m/ met com",
    Term.BEFORE: "pre before prior avant vor antes previo previa prima prae voor",
    Term.AFTER: "post after apres nach despues tras dopo apos na",
    Term.AND: "and & + then puis luego dann und et y e en ed or oder ou",
    Term.DENIES_BEFORE: "free frei nelkul なし 無し しない 使わない",
    Term.FILLER: """
        of the to any use de du des d di da del dell al a der die das medio mezzo meio produit
        produto prodotto medium media agent administration administracion gabe mittel middel
        material srodk* srodek
        """,
    Term.WITH_OR_CONTRAST: "con",
    Term.NUMBER: "mm cm ml cc",
    Term.OTHER: "2d 3d 低剂量 低劑量 低線量",
}
"""The words of each meaning, in lower case and without accents; an asterisk is any letters.
Sources: wordings of public exam catalogues (LOINC and RadLex in English, hospital price lists and
order tables in German, French, Spanish, Chinese, Japanese) and of public data sets' headers; for
other languages, dictionaries."""

AGENT: Final = frozenset({Term.CONTRAST, Term.SHORT})
PLACED: Final = frozenset({Term.WITHOUT, Term.WITH, Term.BEFORE, Term.AFTER})
LINKS: Final = frozenset({Term.AND}) | PLACED
TOPICS: Final[frozenset[Term]] = frozenset(
    {
        Term.HEAD,
        Term.FACE,
        Term.BODY,
        Term.PLAIN,
        Term.CONTRAST,
        Term.MAYBE_CONTRAST,
        Term.VESSELS,
        Term.PERFUSION,
        Term.TIMED,
        Term.PHASE,
        Term.BONE,
        Term.DERIVED,
        Term.AUXILIARY,
    }
)
"""What a text can be about; all else only does something to these."""

DENIED: Final = frozenset({Term.WITHOUT, Term.BEFORE})
"""Before a word for contrast agent they say that there is none, or none yet."""

_WORD: Final = re.compile(
    r"(?:wo?|[cmnos])/(?:o(?:ut)?\b|a\b)?"  # w/o, w/, wo/, n/a, c/, s/, m/, o/
    r"|(?<![^\s(/,;])[+-](?:c|km|iv|gd)(?![a-z])"  # +C, -C
    r"|(?:[ci]|ce|km|iv)[+-](?![a-z0-9])"  # C+, IV-
    r"|[^\W\d_]+|\d+(?:[.,]\d+)?[a-z]*|[+&]"
)
_RUN_TOGETHER: Final = re.compile(r"[^\W\d_]+")
_CAMEL: Final = re.compile(r"(?<=[a-z]{2})(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_INITIALS: Final = re.compile(r"\b(?:[a-z]\.\s?){2,}|\b[a-z](?:\.[a-z])+\b")


def _signed(found: re.Match[str]) -> str:
    """Write a sign that stands for itself, as in "Head (+)" or "Head -", with what it is of."""
    return f" {found[1] or 'c'}{found[2] or found[3]} "


_JOINED: Final = (
    (re.compile(r"\bc/-"), "c- "),
    (re.compile(r"\b(?:low|high)[- ]contrast\b|\bcontrast[- ]res\w*"), "detail "),
    (re.compile(r"(?:\b(c|ce|i|iv|km) ?)?\(([+-])\)|(?<= )([+-])$"), _signed),
    (re.compile(r"\bs\. ?(?=(?:mdc|contrast)\b)"), "s/ "),
    (re.compile(r"\+ ?/? ?-(?= |con|$)"), "with and without "),
    (re.compile(r"\b([om])\. ?(?=(?:iv\b ?)?-?k(?:m|ontrast))"), r"\1/ "),
    (re.compile(r"\bu/k\b"), "o/ km"),
    (re.compile(r"\bm/k\b"), "m/ km"),
    (re.compile(r"\b([ctl])[- ]spine\b"), r"\1spine"),
    (re.compile(r"\bpatient(?:en)?[- ]protocol\b"), "patientprotocol"),
    (re.compile(r"\btest[- ]bolus\b"), "testbolus"),
    (re.compile(r"\bkey[- ]images?\b"), "snapshot"),
    (re.compile(r"\bw[- ]o\b"), "w/o"),
    (re.compile(r"\b(w)(wo)\b"), r"\1 \2"),
    (re.compile(r"\b([om])(km)\b"), r"\1/ \2"),
)
"""What belongs together, or apart, before words are told."""

_EAST_ASIAN: Final = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]+")
_AMOUNT: Final = re.compile(r"[1-9]\d*(?:[.,]\d+)?(?:cc|ml)")
"""An amount of liquid: that of a contrast agent."""


@lru_cache(maxsize=512)
def said_in(text: str) -> frozenset[Term]:
    """Say what a text is about: some of ``TOPICS``.

    What it denies is left out, but for contrast agent: "without contrast" says ``PLAIN``, and
    "without and with" says both.
    """
    terms = tuple(_terms_of(text))
    said: set[Term] = set()
    at = 0
    while at < len(terms):
        next_terms, at = _next_said(terms, at)
        said |= next_terms
    return frozenset(said)


def _next_said(terms: tuple[Term, ...], at: int) -> tuple[set[Term], int]:
    """Read what begins at a word: what it says, and where to read on."""
    term, follows = terms[at], _past_fillers(terms, at + 1)
    after = terms[follows] if follows < len(terms) else None
    if term is Term.WITH_OR_CONTRAST:
        earlier = terms[at - 1] if at else None
        as_contrast = earlier in PLACED or (after not in AGENT and _is_elided(terms, follows))
        term = Term.CONTRAST if as_contrast else Term.WITH
    if term in PLACED:
        return _placed(term, terms, at, follows)
    if term in AGENT:
        return _agent(terms, at)
    if term is Term.DOSE:
        lowered = Term.LESS in (terms[at - 1] if at else None, after)
        told_of = Term.HEAD in terms and Term.AUXILIARY not in terms
        return set() if lowered or told_of else {Term.AUXILIARY}, at + 1
    if term is Term.WATCH:
        return set() if Term.HEAD in terms else {Term.AUXILIARY}, at + 1
    return ({term} if term in TOPICS else set()), at + 1


def _agent(terms: tuple[Term, ...], at: int) -> tuple[set[Term], int]:
    """Read what names a contrast agent, and whether what stands behind it denies it."""
    end = _end_of_agent(terms, at)
    denier, denied_too = terms[end : end + 1], terms[end + 1 : end + 2]
    said = Term.MAYBE_CONTRAST if terms[at:end] == (Term.SHORT,) else Term.CONTRAST
    if denier == (Term.DENIES_BEFORE,):
        return {Term.PLAIN}, end + 1
    if denier == (Term.WITHOUT,):
        if _is_elided(terms, end + 1) or denied_too == (Term.HEAD,):
            return {Term.PLAIN}, end + 1
        if denied_too == (Term.OTHER,):  # a word that is not known, or was cut off
            return {Term.PLAIN, said}, end + 1
    return {said}, end


def _placed(term: Term, terms: tuple[Term, ...], at: int, follows: int) -> tuple[set[Term], int]:
    """Read what "with", "without", "before" or "after" is said of."""
    denied = term in DENIED
    if follows < len(terms) and terms[follows] in AGENT | {Term.WITH_OR_CONTRAST}:
        return {Term.PLAIN if denied else Term.CONTRAST}, _end_of_agent(terms, follows)
    if _is_elided(terms, follows):
        is_unsure = term is Term.AFTER or _is_cut_off(terms, at, follows)
        said = Term.MAYBE_CONTRAST if is_unsure else Term.CONTRAST
        return {Term.PLAIN if denied else said}, follows
    return set(), follows + 1 if term is Term.WITHOUT else follows


def _is_elided(terms: tuple[Term, ...], at: int) -> bool:
    """Whether what is meant is left out: nothing follows but numbers, or another such word."""
    while at < len(terms) and terms[at] is Term.NUMBER:
        at += 1
    return at >= len(terms) or terms[at] in LINKS


def _is_cut_off(terms: tuple[Term, ...], at: int, follows: int) -> bool:
    """Whether a text ends with a lone "with": fields of 16 characters cut what it is said of."""
    ends_so = set(terms[follows:]) <= {Term.NUMBER} and terms[at - 1 : at] != (Term.AND,)
    return ends_so and not (PLACED | AGENT) & set(terms[:at])


def _past_fillers(terms: tuple[Term, ...], at: int) -> int:
    while at < len(terms) and terms[at] is Term.FILLER:
        at += 1
    return at


def _end_of_agent(terms: tuple[Term, ...], at: int) -> int:
    """Find the end of what names one contrast agent, such as "oral or IV contrast"."""
    end = at + 1
    while True:
        further = _past_fillers(terms, end)
        if terms[further : further + 1] == (Term.AND,):
            further += 1
            if terms[further - 2] is not Term.SHORT:
                return end
        if further >= len(terms) or terms[further] not in AGENT | {Term.WITH_OR_CONTRAST}:
            return end
        end = further + 1


def _terms_of(text: str) -> Iterator[Term]:
    """Cut a text into its words, and give the meaning of each."""
    words = unicodedata.normalize("NFC", text).replace("_", " ").replace("^", " ")
    apart = _RUN_TOGETHER.sub(lambda match: _apart(match[0]), words)
    for part in re.split(f"({_EAST_ASIAN.pattern})", apart):
        if _EAST_ASIAN.fullmatch(part):
            yield from (_EXACT[word] for word in _RUN.findall(part))
        else:
            yield from map(_meaning, _WORD.findall(_joined(part)))


def _apart(word: str) -> str:
    """Cut a word where capitals show that it is several, unless it is known as it is."""
    return word if word.casefold() in _EXACT else _CAMEL.sub(" ", word)


def _joined(part: str) -> str:
    """Put a text into lower case without accents, its initials and set phrases joined."""
    letters = unicodedata.normalize("NFKD", part.casefold())
    plain = "".join(letter for letter in letters if not unicodedata.combining(letter))
    plain = _INITIALS.sub(lambda match: re.sub(r"[.\s]", "", match[0]) + " ", plain)
    for pattern, joined in _JOINED:
        plain = pattern.sub(joined, plain)
    return plain


def _meaning(word: str) -> Term:
    if word in _EXACT:
        return _EXACT[word]
    if word[0].isdigit():
        return Term.CONTRAST if _AMOUNT.fullmatch(word) else Term.NUMBER
    match = _PARTS.fullmatch(word)
    return Term[match.lastgroup] if match and match.lastgroup else Term.OTHER


_EXACT: Final = {
    word: term for term, words in WORDS.items() for word in words.split() if "*" not in word
}
_PARTS: Final = re.compile(
    "|".join(
        f"(?P<{term.name}>{'|'.join(re.escape(w).replace(chr(92) + '*', '.*') for w in parts)})"
        for term, words in WORDS.items()
        if (parts := [word for word in words.split() if "*" in word])
    )
)
_RUN: Final = re.compile(
    "|".join(sorted(filter(_EAST_ASIAN.fullmatch, _EXACT), key=len, reverse=True))
)
