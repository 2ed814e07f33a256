"""What every decoder gives: blocks of samples, and what the header says of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

BLOCK_SAMPLES = 196_608
"""Samples of all channels in one block: 768 KiB. What a block costs whatever its length weighs
more than what falls out of a processor's cache: blocks two thirds as long took a tenth more time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFormat:
    """What the header says. `frames_stated` is None where the header does not say."""

    format: str
    codec: str
    sample_rate_hz: int
    channels: int
    bit_depth: int | None
    lossless: bool
    decoder: str
    frames_stated: int | None


class Source(Protocol):
    """An open recording, read once from its beginning to its end."""

    format: SourceFormat
    truncated: bool
    """Set once reading has ended before the end that the header states."""
    damaged: bool
    """Set once reading has stopped at bytes that do not decode."""
    warnings: list[str]

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """Yield samples, shape (n, channels), C-contiguous; full scale is 1.

        A block may be overwritten by the next one: copy what you keep.
        """
        ...

    def close(self) -> None:
        """Release the file."""
        ...


def block_frames(channels: int) -> int:
    """Return how many frames a block holds: a multiple of 1024. Only the last one is shorter."""
    return max(1024, BLOCK_SAMPLES // channels // 1024 * 1024)
