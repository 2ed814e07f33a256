"""The engine's ranking of tempi, off the event loop: its first call loads the numeric stack."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from tonearm_analysis import engine
from tonearm_analysis.domain.job import JsonValue


async def rank_tempi(
    result: Mapping[str, JsonValue], tempo_range_bpm: tuple[float, float]
) -> Mapping[str, JsonValue]:
    """Return the result with part `rhythm` ranked for the range; unchanged where it has none."""
    rhythm = result.get("rhythm")
    if not isinstance(rhythm, Mapping):
        return result
    ranked = await asyncio.to_thread(engine.in_tempo_range, rhythm, tempo_range_bpm)
    return {**result, "rhythm": ranked}
