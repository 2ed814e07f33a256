"""Loudness of a recording, block by block."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tonearm_analysis.engine.blocks import Block
from tonearm_analysis.engine.loudness import gating
from tonearm_analysis.engine.loudness.fades import fades_s
from tonearm_analysis.engine.loudness.kweighting import KWeightedEnergy
from tonearm_analysis.engine.loudness.levels import Levels, to_db
from tonearm_analysis.engine.loudness.truepeak import TruePeak
from tonearm_analysis.engine.loudness.verdicts import verdicts

Doubles = NDArray[np.float64]

CURVE_POINTS_MAX = 1200


class LoudnessCollector:
    """Everything of `Loudness`, in one pass."""

    def __init__(self, *, sample_rate_hz: int, channels: int) -> None:
        self._energy = KWeightedEnergy(sample_rate_hz=sample_rate_hz, channels=channels)
        self._true_peak = TruePeak(sample_rate_hz=sample_rate_hz, channels=channels)
        self._levels = Levels(sample_rate_hz=sample_rate_hz, channels=channels)

    def feed(self, block: Block) -> None:
        """Add a block."""
        self._energy.feed(block.channels)
        tops = np.maximum(block.maxima, -block.minima)
        self._true_peak.feed(block.channels, tops)
        self._levels.feed(block, tops)

    def finish(self) -> dict[str, Any]:
        """Return the part `loudness` of the result."""
        energies = self._energy.finish()
        values, steps = energies.values, energies.steps_per_hop
        momentary, short_term = energies.momentary(), energies.short_term()
        integrated = gating.integrated_lufs(values, steps_per_hop=steps)
        peak = to_db(float(self._true_peak.peaks.max()))
        start_s, end_s = self._levels.sound_span_s()
        fade_in_s, fade_out_s = fades_s(
            momentary, steps_per_point=steps, start_s=start_s, end_s=end_s
        )
        plr_db = None if integrated is None or peak is None else peak - integrated
        return {
            "integrated_lufs": integrated,
            "range_lu": gating.range_lu(values, steps_per_hop=steps),
            "momentary_max_lufs": energies.momentary_max_lufs,
            "short_term_max_lufs": energies.short_term_max_lufs,
            "momentary": _curve(momentary, steps, start_hops=gating.MOMENTARY_HOPS),
            "short_term": _curve(short_term, steps, start_hops=gating.SHORT_TERM_HOPS),
            "true_peak_dbtp": peak,
            "true_peak_channels_dbtp": [to_db(float(top)) for top in self._true_peak.peaks],
            "plr_db": plr_db,
            "dynamic_complexity_db": _complexity(short_term, integrated),
            "fade_in_end_s": fade_in_s,
            "fade_out_start_s": fade_out_s,
            "verdicts": verdicts(integrated_lufs=integrated, true_peak_dbtp=peak),
            **self._levels.finish(),
        }


def _curve(levels: Doubles, steps_per_hop: int, *, start_hops: int) -> dict[str, Any]:
    """Return a `Curve` of at most CURVE_POINTS_MAX points, each the highest of its hops."""
    hops = max(1, math.ceil(len(levels) / steps_per_hop / CURVE_POINTS_MAX))
    starts = np.arange(0, len(levels), hops * steps_per_hop)
    tops = np.maximum.reduceat(levels, starts) if len(levels) else levels
    audible = tops > gating.ABSOLUTE_GATE_LUFS
    return {
        "start_s": start_hops / gating.HOPS_PER_S,
        "hop_s": hops / gating.HOPS_PER_S,
        "values": [
            level if heard else None
            for level, heard in zip(np.round(tops, 2).tolist(), audible.tolist(), strict=True)
        ],
    }


def _complexity(short_term: Doubles, integrated: float | None) -> float | None:
    audible = short_term[short_term > gating.ABSOLUTE_GATE_LUFS]
    if integrated is None or not len(audible):
        return None
    return float(np.abs(audible - integrated).mean())
