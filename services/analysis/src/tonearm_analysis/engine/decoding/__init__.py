"""Decoding: bytes of any container to float32 blocks. libsndfile first, FFmpeg for the rest."""

from tonearm_analysis.engine.decoding.opening import blocks_of, check_duration, open_source
from tonearm_analysis.engine.decoding.source import Source, SourceFormat

__all__ = ["Source", "SourceFormat", "blocks_of", "check_duration", "open_source"]
