"""Which scan a series shows: what its images say of it, gathered as they come. Pure."""

from __future__ import annotations

from datetime import datetime

from agent.records import Acquisition, SliceHeader, Span


def with_image(known: Acquisition, header: SliceHeader) -> Acquisition:
    """Add what one more image says; in whichever order they come, the sum is the same."""
    number, frame = header.acquisition_number, header.frame_of_reference_uid
    return Acquisition(
        numbers=known.numbers | (set() if number is None else {number}),
        frames_of_reference=known.frames_of_reference | ({frame} if frame else set()),
        acquired=_stretched(known.acquired, header.acquired_at),
        created=_stretched(known.created, header.created_at),
        thickness_mm=max(filter(None, (known.thickness_mm, header.thickness_mm)), default=None),
        scanner=max(known.scanner, header.model),
    )


def _stretched(span: Span | None, at: datetime | None) -> Span | None:
    if at is None or span is None:
        return span if at is None else (at, at)
    return min(span[0], at), max(span[1], at)
