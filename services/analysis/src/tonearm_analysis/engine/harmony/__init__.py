"""Key, tuning, chords and chroma.

`estimate` does it all; `HarmonyStream` does it on a stream of blocks, however long.
"""

from tonearm_analysis.engine.harmony.estimate import estimate, estimate_heard, hear
from tonearm_analysis.engine.harmony.listening import HarmonyListener, HeardHarmony
from tonearm_analysis.engine.harmony.model import (
    Chord,
    HarmonyEstimate,
    KeyCandidate,
    KeySegment,
)
from tonearm_analysis.engine.harmony.stream import Excerpt, HarmonyStream

__all__ = [
    "Chord",
    "Excerpt",
    "HarmonyEstimate",
    "HarmonyListener",
    "HarmonyStream",
    "HeardHarmony",
    "KeyCandidate",
    "KeySegment",
    "estimate",
    "estimate_heard",
    "hear",
]
