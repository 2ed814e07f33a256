"""Beats, downbeats, bars, tempo and meter.

`estimate` does it all; `RhythmStream` does it on a stream of blocks, however long;
`ranked_for` ranks the readings of a finished estimate again.
"""

from tonearm_analysis.engine.rhythm.listening import Heard, Listener
from tonearm_analysis.engine.rhythm.model import RhythmEstimate, TempoCandidate, TempoPoint
from tonearm_analysis.engine.rhythm.ranking import ranked_for
from tonearm_analysis.engine.rhythm.reader import estimate, estimate_heard, hear
from tonearm_analysis.engine.rhythm.stream import RhythmStream

__all__ = [
    "Heard",
    "Listener",
    "RhythmEstimate",
    "RhythmStream",
    "TempoCandidate",
    "TempoPoint",
    "estimate",
    "estimate_heard",
    "hear",
    "ranked_for",
]
