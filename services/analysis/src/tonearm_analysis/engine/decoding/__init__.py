"""Decoding: bytes of any container to float32 blocks. libsndfile first, FFmpeg for the rest."""

from tonearm_analysis.engine.decoding.source import Source, SourceFormat, blocks_of, open_source

__all__ = ["Source", "SourceFormat", "blocks_of", "open_source"]
