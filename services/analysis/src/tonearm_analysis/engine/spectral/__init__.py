"""Stage `spectral`: short-time description of the mono mix, by librosa's definitions."""

from tonearm_analysis.engine.spectral.collector import SpectralCollector

__all__ = ["SpectralCollector"]
