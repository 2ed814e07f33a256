"""Free memory, given back to the system while a long recording is worked on.

Each block of sound leaves small arrays that are kept between large ones that are not. The holes
grow with the hours: without this, three hours held twice the memory that was in use.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Final

LONG_S: Final = 240.0
"""A recording shorter than this never pays for it."""
EVERY_S: Final = 60.0
"""Seconds of sound between two times, from then on."""


class Tidier:
    """Gives free memory back after LONG_S and then each EVERY_S seconds of sound."""

    def __init__(self, *, sample_rate_hz: int) -> None:
        self._every_frames = round(EVERY_S * sample_rate_hz)
        self._frames_left = round(LONG_S * sample_rate_hz)
        self.is_long = False

    def heard(self, frames: int) -> None:
        """Count so many frames more."""
        self._frames_left -= frames
        if self._frames_left <= 0:
            self._frames_left, self.is_long = self._every_frames, True
            give_back()


def give_back() -> None:
    """Give what is free back to the system, where the allocator can be asked to."""
    _trim()(0)


@cache
def _trim() -> Callable[[int], object]:
    try:
        trim: Callable[[int], object] = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # not glibc
        return lambda _keep_bytes: None
    return trim
