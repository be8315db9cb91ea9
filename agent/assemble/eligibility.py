"""Is a series a plain head? What the words of its header say, weighed. Pure.

No word refuses a head that another one speaks for:

- what was scanned is told by what the series is called, and only then by the body part, which
  scanners fill in by default; where neither tells, the images decide;
- bone is told by the kernel, and by words only where there is none;
- contrast agent is told by what the series is called and by what was entered as its agent. Where
  these disagree, or one says both, the images decide;
- a perfusion is told by its name, or by how often its levels were scanned. "4D" and "dynamic" may
  be a scanner's mode as well: there the images decide.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from agent.assemble.terms import Term, said_in
from agent.reasons import Reason
from agent.records import SliceHeader

OTHER_PARTS: Final = frozenset({Term.FACE, Term.BODY})
NO_SLICES: Final = frozenset({Term.DERIVED, Term.AUXILIARY})
UNSURE: Final = frozenset({Term.PHASE, Term.TIMED, Term.MAYBE_CONTRAST})
"""What may speak of contrast agent, or of something else."""

INJECTED: Final = frozenset({Term.CONTRAST, Term.VESSELS, Term.PERFUSION})
"""What is scanned with contrast agent in the vessels, and not without."""

MOST_TIMES: Final = 3
"""A series of more scans of the same levels is a perfusion, whatever it is called. Ours, as that of
``agent.assemble.stacks``."""

NOTHING_ENTERED: Final = re.compile(
    r"\W*(?:n|n\W?a|nil|null|unknown|undefined|not \w+|0+(?:[.,]0+)?\s*(?:ml|cc|mg)?"
    r"|saline|nacl|water|なし|無し)?\W*",
    re.IGNORECASE,
)
"""What stands in the field of the contrast agent where there is none to name."""

NAME: Final = "series description"
BODY_PART: Final = "BodyPartExamined"
AGENT: Final = "ContrastBolusAgent"
KERNEL: Final = "ConvolutionKernel"
IMAGES: Final = "the images"


@dataclass(frozen=True, slots=True)
class HeaderEvidence:
    """An ``answer`` to what was scanned or how, known ``by`` an attribute and its ``text``."""

    answer: str
    by: str
    text: str = ""

    def __str__(self) -> str:
        """Read as a service engineer would say it."""
        return f"{self.answer}: by {self.by}" + (f" {self.text!r}" if self.text else "")


@dataclass(frozen=True, slots=True)
class Content:
    """What a header says of its series, by which attributes, and what keeps it from being analysed.

    Where ``contrast_unsure``, only the images can tell whether contrast agent is in it.
    """

    evidence: tuple[HeaderEvidence, ...]
    objections: tuple[Reason, ...]
    contrast_unsure: bool


def content_of(header: SliceHeader, profile: str, *, sharp: bool) -> Content:
    """Weigh what a header says, for the protocol profile of that name.

    ``sharp``: its kernel is one for bone.
    """
    name = said_in(header.description)
    part, not_head = _anatomy(header, name, profile)
    kernel, bone = _reconstruction(header, name, profile, sharp=sharp)
    agent, contrast = _contrast(header, name)
    objections = [objection for objection in (not_head, bone) if objection]
    if contrast is True:
        named = bool(name & INJECTED)
        objections.append(
            Reason("contrast_series", description=header.description, profile=profile)
            if named
            else Reason("contrast_given", profile=profile)
        )
    if header.n_times > MOST_TIMES:
        objections.append(Reason("scanned_often", n_times=header.n_times, profile=profile))
    if name & NO_SLICES:
        objections.append(Reason("not_plain_head", description=header.description, profile=profile))
    return Content((part, kernel, *agent), tuple(objections), contrast is None)


def _anatomy(
    header: SliceHeader, name: frozenset[Term], profile: str
) -> tuple[HeaderEvidence, Reason | None]:
    """Say what was scanned."""
    for by, text, said in (
        (NAME, header.description, name),
        (BODY_PART, header.body_part, said_in(header.body_part)),
    ):
        if Term.HEAD in said:
            return HeaderEvidence("a head", by, text), None
        if said & OTHER_PARTS:
            return HeaderEvidence("no head", by, text), Reason(
                "not_head", found=text, profile=profile
            )
    return HeaderEvidence("a head or not", IMAGES), None


def _reconstruction(
    header: SliceHeader, name: frozenset[Term], profile: str, *, sharp: bool
) -> tuple[HeaderEvidence, Reason | None]:
    """Say whether it was reconstructed for bone."""
    if header.kernel:
        reason = Reason("bone_kernel", kernel=header.kernel, profile=profile) if sharp else None
        return HeaderEvidence("bone" if sharp else "soft tissue", KERNEL, header.kernel), reason
    if Term.BONE in name:
        reason = Reason("bone_series", description=header.description, profile=profile)
        return HeaderEvidence("bone", NAME, header.description), reason
    return HeaderEvidence("soft tissue", "nothing that says bone"), None


def _contrast(
    header: SliceHeader, name: frozenset[Term]
) -> tuple[tuple[HeaderEvidence, ...], bool | None]:
    """Say whether contrast agent was given; None where the header contradicts itself.

    Nor does it tell where it names a phase, which may be that of an agent, or is short for one.
    """
    evidence, answers = [], set()
    for said_so, terms in ((False, {Term.PLAIN}), (True, INJECTED)):
        if name & terms:
            answers.add(said_so)
            evidence.append(HeaderEvidence(_of_agent(given=said_so), NAME, header.description))
    entered = said_in(header.contrast)
    if not NOTHING_ENTERED.fullmatch(header.contrast):
        given = Term.PLAIN not in entered or bool(entered & {Term.CONTRAST, Term.MAYBE_CONTRAST})
        answers.add(given)
        evidence.append(HeaderEvidence(_of_agent(given=given), AGENT, header.contrast))
    if len(answers) > 1 or (not answers and name & UNSURE):
        return (*evidence, HeaderEvidence("contrast agent or not", IMAGES)), None
    if not evidence:
        evidence.append(HeaderEvidence(_of_agent(given=False), "nothing that says one"))
    return tuple(evidence), True in answers


def _of_agent(*, given: bool) -> str:
    return "contrast agent" if given else "no contrast agent"
