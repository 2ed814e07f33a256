"""What a caller may ask of the engine. Parameters are part of a result's identity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Self, get_args

from tonearm_analysis.engine.errors import ParameterError

Profile = Literal["full", "fast"]

SPECTRAL_PACE: Final[dict[Profile, int]] = {"full": 1, "fast": 4}
"""Of how many stretches of the recording one is measured by stage `spectral`."""
TEMPO_BPM_MIN = 20.0
TEMPO_BPM_MAX = 400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """How to analyse.

    profile: `full` hears beats with two recurrent networks and a small one that they taught, and
    measures every frame's spectrum; `fast` hears with the small one alone, over coarser bands, and
    measures the spectrum of 2.2 s in every 8.9 s, for less time and, on records, less certainty.
    The other stages are the same.
    tempo_range_bpm: tempi the caller prefers, (low, high) in 20-400; the candidates inside
    are ranked first, without a new analysis.
    """

    profile: Profile = "full"
    tempo_range_bpm: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.profile not in get_args(Profile):
            raise ParameterError(f"profile must be one of {', '.join(get_args(Profile))}")
        if self.tempo_range_bpm is None:
            return
        low, high = self.tempo_range_bpm
        if not TEMPO_BPM_MIN <= low < high <= TEMPO_BPM_MAX:
            raise ParameterError(
                f"tempo_range_bpm must rise within {TEMPO_BPM_MIN:g}-{TEMPO_BPM_MAX:g}"
            )

    def canonical(self) -> dict[str, Any]:
        """Return the JSON form: every parameter, defaults included, keys sorted."""
        range_bpm = self.tempo_range_bpm
        return {
            "profile": self.profile,
            "tempo_range_bpm": None if range_bpm is None else [float(b) for b in range_bpm],
        }

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Self:
        """Return parameters from their JSON form; absent names take their default.

        Raises ParameterError for unknown names and for values of the wrong shape.
        """
        unknown = sorted(set(given) - {"profile", "tempo_range_bpm"})
        if unknown:
            raise ParameterError(f"unknown parameter: {', '.join(unknown)}")
        range_bpm = given.get("tempo_range_bpm")
        return cls(
            profile=given.get("profile", "full"),
            tempo_range_bpm=None if range_bpm is None else _pair(range_bpm),
        )


def _pair(value: object) -> tuple[float, float]:
    if isinstance(value, (list, tuple)) and len(value) == 2:
        low, high = value
        if all(isinstance(b, (int, float)) and not isinstance(b, bool) for b in (low, high)):
            return float(low), float(high)
    raise ParameterError("tempo_range_bpm must be two numbers")
