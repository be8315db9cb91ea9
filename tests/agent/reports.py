"""Results as the agent would have stored them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from agent.reasons import Reason, plain
from agent.records import Clock, Identity
from agent.report import EngineReport, FindingReport, GeometryReport, SeriesReport
from agent.store.effects import Conclude, ShowProgress
from agent.store.rows import AgentStatus, SeriesProgress
from agent.wiring import boot_id
from tests.agent.stored import Store

ENGINE = EngineReport(
    bundle="default", version="0.1.0", backend="ONNX Runtime 1.20.1", device="CPU"
)


def recorded(text: str) -> Reason:
    """Return a reason of which only the text is known."""
    return Reason("recorded", said=text)


def identity(name: str = "DOE^JANE", patient_id: str = "P1") -> Identity:
    return Identity(patient_id, name, "19500101", "F", "1.2.3", "A1")


def finding(**changes: object) -> FindingReport:
    values = {
        "subtype": "subdural",
        "side": "left",
        "region": "frontal",
        "volume_ml": 31.4,
        "volume_interval_ml": (24.0, 39.0),
        "probability": 0.97,
        "extent_mm": (80.0, 12.0, 60.0),
        "key_slice": 14,
    }
    return FindingReport.model_validate(values | changes)


def report(uid: str = "1.2.3.4", **changes: object) -> SeriesReport:
    """Return a suspected bleed, or what ``changes`` make of it."""
    values = {
        "series_uid": uid,
        "study_uid": "1.2.3",
        "revision": 1,
        "result_id": f"{uid} {changes.get('revision', 1)}",
        "protocol": "generic-head",
        "state": "suspected",
        "code": None,
        "values": {},
        "text": None,
        "what_to_do": None,
        "score": 0.97,
        "operating_point": "balanced",
        "threshold": 0.5,
        "total_volume_ml": 31.4,
        "midline_shift_mm": 6.0,
        "findings": (finding(),),
        "caveats": (),
        "geometry": GeometryReport(slices=32, tilt_deg=0.0, spacing_mm=(5.0,) * 31, missing=()),
        "completed_by": "geometry",
        "engine": ENGINE,
        "timings_s": {"total": 1.2},
    }
    return SeriesReport.model_validate(values | changes)


def not_suspected(uid: str) -> SeriesReport:
    return report(uid, state="not_suspected", score=0.02, findings=(), total_volume_ml=0.0)


def not_analysed(uid: str) -> SeriesReport:
    return report(
        uid,
        state="not_analysed",
        **plain(Reason("slices_missing", n_missing=1, below_mm=70.0, above_mm=80.0)),
        score=None,
        findings=(),
        total_volume_ml=None,
    )


def series_shown(state: dict) -> list[dict]:
    """Return the series of all examinations that the page is told of."""
    return [series for one in state["examinations"] for series in one["series"]]


def receive(
    store: Store,
    clock: Clock,
    uid: str = "1.2.3.4",
    name: str = "DOE^JANE",
    expected: int = 0,
    study: str = "1.2.3",
    **more: object,
) -> None:
    """Let a series be received."""
    now = clock()
    progress = SeriesProgress(
        series_uid=uid,
        identity=replace(identity(name), study_uid=study),
        description="HEAD 5.0",
        protocol="generic-head",
        slices=17,
        expected=expected,
        first_slice=now,
        last_slice=now,
    )
    store.agent.commit([ShowProgress(replace(progress, **more))])


def add_result(
    store: Store,
    result: SeriesReport,
    pictures: Mapping[str, bytes] | None = None,
    channels: tuple[str, ...] = ("console",),
) -> None:
    """Let a series have a result, on its way to ``channels``."""
    store.agent.commit([Conclude(result, pictures or {}, channels)])


def live(
    store: Store,
    clock: Clock,
    folder_problem: str | None = None,
    boot: str | None = None,
    degraded: str | None = None,
    **more: object,
) -> None:
    """Let the agent give a sign of life."""
    store.agent.heartbeat(
        AgentStatus(
            pid=1,
            boot_id=boot or boot_id(),
            at=clock(),
            started=clock(),
            folder="/srv/ct-export",
            folder_problem=recorded(folder_problem) if folder_problem else None,
            engine=ENGINE,
            degraded=recorded(degraded) if degraded else None,
            receiving=0,
            queued=0,
            **more,
        )
    )
