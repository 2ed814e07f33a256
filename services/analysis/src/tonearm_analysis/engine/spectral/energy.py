"""Energy: perceived intensity between 0 and 1.

A fixed weighting of what makes music feel intense whatever its playback level: how fast the
spectrum changes, how bright and how dense it is, and how steadily it stays loud. It is a
scale to sort by, not a probability, and none of its inputs changes with gain.
"""

from __future__ import annotations

import math
from typing import Any

_CENTRE_FLUX_DB = 1.4
_CENTRE_OCTAVES = math.log2(1800.0)
_CENTRE_DENSITY_DB = -24.0
_CENTRE_STEADINESS = 0.62
_WEIGHTS = {"flux": 1.6, "brightness": 0.9, "density": 0.10, "steadiness": 3.0}


def energy(scalars: dict[str, dict[str, Any]], flux: dict[str, Any]) -> float:
    """Return energy from the statistics of a recording; 0 for silence.

    scalars: statistics of `centroid_hz`, `flatness` and `rms`; flux: of the spectral flux.
    """
    rms = scalars["rms"]
    if rms["p95"] <= 0 or scalars["centroid_hz"]["p50"] <= 0:
        return 0.0
    density_db = 10 * math.log10(max(scalars["flatness"]["p50"], 1e-9))
    score = (
        _WEIGHTS["flux"] * (flux["mean"] - _CENTRE_FLUX_DB)
        + _WEIGHTS["brightness"] * (math.log2(scalars["centroid_hz"]["p50"]) - _CENTRE_OCTAVES)
        + _WEIGHTS["density"] * (density_db - _CENTRE_DENSITY_DB)
        + _WEIGHTS["steadiness"] * (rms["p50"] / rms["p95"] - _CENTRE_STEADINESS)
    )
    return 1 / (1 + math.exp(-score))
