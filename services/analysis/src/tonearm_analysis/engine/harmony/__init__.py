"""Key, tuning, chords and chroma.

`estimate` does it all; `HarmonyListener` with `estimate_heard` does it on a stream of blocks.
"""

from tonearm_analysis.engine.harmony.estimate import estimate, estimate_heard, hear
from tonearm_analysis.engine.harmony.listening import HarmonyListener, HeardHarmony
from tonearm_analysis.engine.harmony.model import (
    Chord,
    HarmonyEstimate,
    KeyCandidate,
    KeySegment,
)

__all__ = [
    "Chord",
    "HarmonyEstimate",
    "HarmonyListener",
    "HeardHarmony",
    "KeyCandidate",
    "KeySegment",
    "estimate",
    "estimate_heard",
    "hear",
]
