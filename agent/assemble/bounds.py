"""How much of a box's memory series may take, so that none keeps another from its answer."""

from __future__ import annotations

from dataclasses import dataclass

from agent.reasons import Reason


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many images with pixels a series may have, and how large they and those of all may be.

    Ours: heads are analysed up to 1,000 slices; these of 512² take 500 MiB. Two such fit, beside
    the networks, into 2 GB.
    """

    n_images: int = 2_000
    series_bytes: int = 512 * 1024 * 1024
    all_bytes: int = 768 * 1024 * 1024

    def objection(self, n_images: int, pixels_bytes: int) -> Reason | None:
        """Say why a series is larger than it may be, None where it is not."""
        if n_images > self.n_images:
            return Reason("series_too_long", n_images=n_images, n_most=self.n_images)
        if pixels_bytes > self.series_bytes:
            return Reason(
                "series_too_large", mib=_mib(pixels_bytes), most_mib=_mib(self.series_bytes)
            )
        return None

    def objection_to_all(self, pixels_bytes: int) -> Reason | None:
        """Say why all series together are larger than they may be, None where they are not."""
        if pixels_bytes <= self.all_bytes:
            return None
        return Reason("memory_taken", mib=_mib(pixels_bytes), most_mib=_mib(self.all_bytes))


def _mib(n_bytes: int) -> int:
    return round(n_bytes / 2**20)
