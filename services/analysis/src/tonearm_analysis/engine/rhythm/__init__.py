"""Beats, downbeats, bars, tempo and meter.

`estimate` does it all; `Listener` with `estimate_heard` does it on a stream of blocks.
"""

from tonearm_analysis.engine.rhythm.estimate import estimate, estimate_heard, hear
from tonearm_analysis.engine.rhythm.listening import Heard, Listener
from tonearm_analysis.engine.rhythm.model import RhythmEstimate, TempoCandidate, TempoPoint

__all__ = [
    "Heard",
    "Listener",
    "RhythmEstimate",
    "TempoCandidate",
    "TempoPoint",
    "estimate",
    "estimate_heard",
    "hear",
]
