"""Bounds on what the engine takes. They decide whether a result exists, never what it says."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Upper bounds on one recording; each breach is an `AudioError`."""

    duration_s_max: float = 4 * 3600.0
    channels_max: int = 64
    sample_rate_hz_min: int = 1000
    sample_rate_hz_max: int = 768_000


DEFAULT_LIMITS = Limits()
