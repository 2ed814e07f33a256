"""Beats, downbeats, bars, tempo and meter.

`estimate` does it all; `Listener` with `estimate_heard` does it on a stream of blocks;
`ranked_for` ranks the readings of a finished estimate again.
"""

from tonearm_analysis.engine.rhythm.estimate import estimate, estimate_heard, hear
from tonearm_analysis.engine.rhythm.listening import Heard, Listener
from tonearm_analysis.engine.rhythm.model import RhythmEstimate, TempoCandidate, TempoPoint
from tonearm_analysis.engine.rhythm.ranking import ranked_for

__all__ = [
    "Heard",
    "Listener",
    "RhythmEstimate",
    "TempoCandidate",
    "TempoPoint",
    "estimate",
    "estimate_heard",
    "hear",
    "ranked_for",
]
