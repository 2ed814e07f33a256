"""Stated precision: every number of a result is rounded by its unit, in one place.

Arithmetic is already the same from run to run; rounding keeps a result readable and absorbs
nothing but the last bits, where two processors may differ.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

DECIMALS_BY_UNIT: dict[str, int] = {
    "_s": 4,
    "_lufs": 2,
    "_lu": 2,
    "_db": 2,
    "_dbfs": 2,
    "_dbtp": 2,
    "_hz": 2,
    "_bpm": 2,
    "bpm": 2,
    "_cents": 1,
    "probability": 4,
    "confidence": 4,
    "_share": 4,
}
SIGNIFICANT_DIGITS = 5
"""For names without a unit from the table."""


def rounded(value: Any, *, name: str = "") -> Any:
    """Return a JSON tree with every float rounded by the unit in its (inherited) name.

    Lists and nested statistics inherit the name above them. Raises ValueError for NaN and
    infinity, which have no JSON.
    """
    if isinstance(value, float):
        return _round_float(value, name)
    if isinstance(value, dict):
        return {key: rounded(item, name=_unit_name(key, name)) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        # Most items are whole numbers, of the waveform: they need no call each.
        return [item if type(item) is int else rounded(item, name=name) for item in value]
    return value


def _unit_name(key: str, inherited: str) -> str:
    return key if _decimals(key) is not None else inherited


# Names come from the result's fields: a few hundred, asked for thousands of times.
@lru_cache(maxsize=1024)
def _decimals(name: str) -> int | None:
    for unit, decimals in DECIMALS_BY_UNIT.items():
        if name.endswith(unit):
            return decimals
    return None


def _round_float(value: float, name: str) -> float:
    if not math.isfinite(value):
        raise ValueError(f"{name or 'value'} is not finite")
    decimals = _decimals(name)
    if decimals is not None:
        result = round(value, decimals)
    else:
        result = float(f"{value:.{SIGNIFICANT_DIGITS}g}")
    return result + 0.0  # -0.0 becomes 0.0
