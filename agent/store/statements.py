"""SQL that several queries share."""

from __future__ import annotations

from typing import Final

from agent.records import PRIOR_MARK, TEST_MARK


def _marked(column: str, mark: str) -> str:
    """Return the condition that a series' UID begins with a mark."""
    return f"substr({column}, 1, {len(mark)}) = '{mark}'"


IS_TEST: Final = _marked("uid", TEST_MARK)
"""Condition: the row of ``series`` is a self-test's."""

IS_PRIOR: Final = _marked("uid", PRIOR_MARK)
"""Condition: it is of an earlier examination that was fetched, which alerts nobody."""

IS_NEW: Final = f"NOT ({IS_TEST} OR {IS_PRIOR})"
"""Condition: it is of a patient who is scanned now."""

ROW: Final = f"""
    SELECT series.*, results.report, results.at_utc, results.at_monotonic_s,
           outbox.delivered_utc, outbox.delivered_monotonic_s,
           acknowledgements.who, acknowledgements.note, acknowledgements.dismissed_because,
           acknowledgements.through_uid,
           acknowledgements.at_utc AS who_utc, acknowledgements.at_monotonic_s AS who_monotonic_s,
           alert.report AS alert_report, alert.at_utc AS alert_utc,
           corrections.patient_name AS former_name, corrections.patient_id AS former_id,
           corrections.at_utc AS corrected_utc, corrections.at_monotonic_s AS corrected_monotonic_s,
           alert.at_monotonic_s AS alert_monotonic_s, escalations.delivered_utc AS escalated_utc,
           escalations.delivered_monotonic_s AS escalated_monotonic_s,
           verdicts.who AS judge, verdicts.verdict, verdicts.note AS verdict_note,
           verdicts.at_utc AS verdict_utc, verdicts.at_monotonic_s AS verdict_monotonic_s,
           taken_back.who AS back_who, taken_back.dismissed_because AS back_because,
           taken_back.by_whom AS back_by, taken_back.back_utc, taken_back.back_monotonic_s
    FROM series
    LEFT JOIN results ON results.series_uid = uid AND results.revision = series.revision
    LEFT JOIN outbox ON outbox.series_uid = uid AND outbox.revision = series.revision
        AND outbox.channel = 'console'
    LEFT JOIN acknowledgements
        ON acknowledgements.series_uid = uid AND acknowledgements.revision = series.revision
    LEFT JOIN verdicts ON verdicts.rowid = (
        SELECT given.rowid FROM verdicts AS given
        WHERE given.series_uid = uid AND given.revision = series.revision
        ORDER BY given.rowid DESC LIMIT 1)
    LEFT JOIN taken_back ON taken_back.id = (
        SELECT max(former.id) FROM taken_back AS former
        WHERE former.series_uid = uid AND former.revision = series.revision)
    LEFT JOIN corrections ON corrections.id = (
        SELECT max(made.id) FROM corrections AS made WHERE made.series_uid = uid)
    LEFT JOIN results AS alert ON alert.series_uid = uid AND NOT {IS_PRIOR}
        AND alert.revision = (
            SELECT max(suspicion.revision) FROM results AS suspicion
            WHERE suspicion.series_uid = uid AND suspicion.state = 'suspected')
        AND NOT EXISTS (
            SELECT 1 FROM acknowledgements AS given
            WHERE given.series_uid = uid AND given.revision >= alert.revision)
    LEFT JOIN outbox AS escalations ON escalations.series_uid = uid
        AND escalations.revision = alert.revision AND escalations.channel = 'escalation'
"""  # noqa: S608 - constants only


UNACKNOWLEDGED: Final = f"""
    SELECT suspicion.series_uid FROM results AS suspicion
    WHERE suspicion.state = 'suspected' AND NOT {_marked("suspicion.series_uid", PRIOR_MARK)}
    AND NOT EXISTS (
        SELECT 1 FROM acknowledgements AS given
        WHERE given.series_uid = suspicion.series_uid AND given.revision >= suspicion.revision)
"""  # noqa: S608 - constants only
"""Series with a suspicion that is not acknowledged, nor is a later result; none that was
fetched."""


REFUSED_STUDIES: Final = f"""
    SELECT DISTINCT study_uid FROM series
    JOIN results ON results.series_uid = uid AND results.revision = series.revision
    WHERE results.state = 'not_analysed' AND series.state = 'not_analysed' AND NOT {IS_PRIOR}
    AND last_utc >= :since_utc
    AND json_extract(report, '$.code') NOT IN (SELECT value FROM json_each(:leave_nobody))
    AND NOT EXISTS (
        SELECT 1 FROM acknowledgements AS given
        WHERE given.series_uid = uid AND given.revision = series.revision)
    AND (json_extract(report, '$.code') NOT IN (SELECT value FROM json_each(:otherwise))
        OR NOT EXISTS (
            SELECT 1 FROM series AS answered WHERE answered.study_uid = series.study_uid
            AND NOT {_marked("answered.uid", PRIOR_MARK)}
            AND answered.state IN ('suspected', 'not_suspected')))
"""  # noqa: S608 - constants only
"""Studies that may hold a head that was not analysed, and that nobody has taken note of. Codes are
JSON: ``leave_nobody`` of what is not to be analysed, ``otherwise`` of what shows a head otherwise,
which counts where nothing else was analysed."""


PENDING: Final = "delivered_utc IS NULL AND dropped_utc IS NULL"
"""Condition: a channel has not confirmed this entry of the outbox, and nobody has given it up."""

RECONSTRUCTION: Final = f"""
    SELECT uid, study_uid, patient_id, patient_name, birth_date, acquisition, series.state,
        protocol, first_utc, last_utc, {IS_NEW} AS is_new, results.state AS answer,
        json_extract(results.report, '$.code') AS code, (
            SELECT verdict FROM verdicts
            WHERE series_uid = uid AND revision = series.revision ORDER BY rowid DESC LIMIT 1
        ) AS verdict,
        given.who IS NOT NULL AND given.dismissed_because IS NULL AS is_acknowledged,
        given.dismissed_because IS NOT NULL AS is_dismissed, given.who IS NOT NULL AS is_answered,
        NOT {IS_PRIOR} AND EXISTS (
            SELECT 1 FROM results AS suspicion
            WHERE suspicion.series_uid = uid AND suspicion.state = 'suspected' AND NOT EXISTS (
                SELECT 1 FROM acknowledgements AS later
                WHERE later.series_uid = uid AND later.revision >= suspicion.revision)
        ) AS alerts
    FROM series
    LEFT JOIN results ON results.series_uid = uid AND results.revision = series.revision
    LEFT JOIN acknowledgements AS given
        ON given.series_uid = uid AND given.revision = series.revision
"""  # noqa: S608 - constants only
"""What an examination's answer depends on; see ``agent.exam``."""
