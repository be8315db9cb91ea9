"""A site's own words for a result: a Jinja2 template of a channel, tried before it is used."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any, Final

from jinja2 import StrictUndefined, Template
from jinja2.sandbox import ImmutableSandboxedEnvironment

from agent.deliver.result import (
    ANSWERS_IN_WORDS,
    NOT_FOR_DIAGNOSIS,
    StoredResult,
    finding_lines,
    impression_lines,
    origin_line,
)
from agent.deliver.settings import WordedReceiver
from agent.deliver.trial import is_trial, trial_result
from agent.errors import ArchiveRefused, ConfigError
from agent.report import FindingReport, utc_text

MOST_CHARACTERS: Final = 8000
"""A text is no longer. Ours: some pages."""

FINDING: Final = FindingReport(
    subtype="subdural",
    side="left",
    region="frontal",
    volume_ml=31.4,
    volume_interval_ml=(24.0, 39.0),
    probability=0.97,
    extent_mm=(80.0, 12.0, 60.0),
    key_slice=14,
)

SAMPLES: Final[tuple[dict[str, Any], ...]] = (
    {"state": "not_analysed"},
    {"state": "not_suspected", "score": 0.02, "text": None},
    {"state": "suspected", "score": 0.97, "text": None, "findings": (FINDING,)},
    {"state": "suspected", "score": 0.97, "text": None, "total_volume_ml": 62.8,
     "midline_shift_mm": 4.0,
     "findings": (FINDING, FINDING.model_copy(update={"side": None, "region": None}))},
)  # fmt: skip
"""Of every answer, with and without what may be missing."""


class SiteText:
    """A channel's template, read once."""

    def __init__(
        self, settings: WordedReceiver, *, identified: bool, check: Callable[[str], object] = str
    ) -> None:
        """Read and try the channel's template, which may name the patient where ``identified``.

        ``check`` raises ValueError for a text that its receiver could not read. Raises ConfigError
        where the template cannot be read or filled in, or leaves out whose answer it is.
        """
        self._settings, self._identified, self._check = settings, identified, check
        try:
            source = str(settings.template and settings.template.read_text(encoding="utf-8"))
            environment = ImmutableSandboxedEnvironment(
                undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False
            )
            self._template: Template = environment.from_string(source)
            texts = [self._filled(one) for one in _samples()]
        except OSError as error:
            raise self._unusable(f"{error.strerror}: {settings.template}") from error
        except Exception as error:  # a template may raise whatever its expressions do
            raise self._unusable(f"{_where(error)}{error}") from error
        if any(NOT_FOR_DIAGNOSIS not in text for text in texts):
            raise self._unusable(f"without {{{{ note }}}}, which says: {NOT_FOR_DIAGNOSIS}")

    def of(self, result: StoredResult) -> str:
        """Fill in the template, without blank lines at its ends and unprintable characters.

        Raises ArchiveRefused where that fails, which no sample has foreseen.
        """
        try:
            return self._filled(result)
        except Exception as error:  # what it says may hold the patient's name
            why = f"{_where(error)}{type(error).__name__}"
            name = self._settings.name
            raise ArchiveRefused("template_wrong", channel=name, why=why) from error

    def _filled(self, result: StoredResult) -> str:
        identity = result.identity if self._identified else None
        written = self._template.render(
            answer=result.report.state,
            headline=ANSWERS_IN_WORDS[result.report.state],
            note=origin_line(result),
            lines=(*impression_lines(result), *finding_lines(result)),
            report=result.report,
            at=utc_text(result.at),
            supersedes=result.predecessor is not None,
            test=is_trial(result),
            **({"patient": identity} if identity else {}),
        )
        if len(written) > MOST_CHARACTERS:
            raise ValueError(f"it gives more than {MOST_CHARACTERS} characters")
        lines = ("".join(filter(str.isprintable, line)) for line in written.splitlines())
        text = "\n".join(lines).strip("\n")
        self._check(text)
        return text

    def _unusable(self, why: str) -> ConfigError:
        return ConfigError("template_wrong", channel=self._settings.name, why=why)


def _samples() -> Iterator[StoredResult]:
    trial = trial_result("1.2.3", datetime(2026, 1, 1, tzinfo=timezone.utc))
    for changes in SAMPLES:
        yield replace(trial, report=trial.report.model_copy(update=changes))


def _where(error: Exception) -> str:
    """Name the template's line in which an error was raised, where there is one."""
    of_template = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename in ("<template>", "<unknown>")
    ]
    line = getattr(error, "lineno", None) or (of_template[-1] if of_template else None)
    return f"line {line}: " if line else ""
