"""Stage `loudness`: BS.1770-4, EBU R128 (Tech 3341, 3342) and the signal's levels."""

from tonearm_analysis.engine.loudness.collector import LoudnessCollector

__all__ = ["LoudnessCollector"]
