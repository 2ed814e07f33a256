"""Spectral description of a recording, block by block."""

from __future__ import annotations

from typing import Any

import numpy as np

from tonearm_analysis.engine.blocks import LOW_RATE_HZ, Block, Floats
from tonearm_analysis.engine.spectral import features
from tonearm_analysis.engine.spectral.bands import BandCollector
from tonearm_analysis.engine.spectral.energy import energy
from tonearm_analysis.engine.spectral.frames import (
    BATCH_FRAMES,
    FRAME_LENGTH,
    HOP_LENGTH,
    CentredFrames,
    framed,
)
from tonearm_analysis.engine.statistics import FrameTable

WINDOW_FRAMES = 1 << 15
"""Frames over which the loudest one sets the 80 dB floor: 12.7 minutes. A recording below that
has one floor, as in librosa; a longer one has one per window, so memory stays flat."""
TOP_DB = np.float32(80)
_FLUX_LEAD = 3
"""Frames before a rise can be told: one of lag, two of the centred frame's half."""
_SCALARS = (
    "centroid_hz",
    "bandwidth_hz",
    "rolloff_hz",
    "flatness",
    "zero_crossing_rate",
    "rms",
)


class SpectralCollector:
    """Everything of `Spectral`, in one pass over the mono signal.

    pace: of so many stretches of BATCH_FRAMES (2.2 s) one is measured, the first among them.
    """

    def __init__(self, *, sample_rate_hz: int, pace: int = 1) -> None:
        self._pace = pace
        self._batches = 0
        self._frames = CentredFrames()
        self._samples = 0
        self._bands = BandCollector(sample_rate_hz=sample_rate_hz, pace=pace)
        self._scalars = FrameTable(len(_SCALARS))
        self._contrast = FrameTable(features.CONTRAST_BANDS)
        self._mfcc = FrameTable(features.MFCC_COUNT)
        self._flux = FrameTable(1)
        self._rows: list[Floats] = []
        self._mel_db: list[Floats] = []
        self._extremes: list[tuple[Floats, Floats]] = []
        self._waiting = 0

    def feed(self, block: Block) -> None:
        """Add a block."""
        self._bands.feed(block)
        if not len(block.low) and not block.is_last:
            return
        self._samples += len(block.low)
        for samples in self._frames.feed(block.low, is_last=block.is_last):
            if self._batches % self._pace == 0:
                self._measure(samples)
            self._batches += 1
            if self._waiting >= WINDOW_FRAMES:
                self._close_window()

    def finish(self) -> dict[str, Any]:
        """Return the part `spectral` of the result."""
        self._close_window()
        scalars = dict(zip(_SCALARS, self._scalars.stats(), strict=True))
        flux = self._flux.stats()[0]
        return {
            "sample_rate_hz": LOW_RATE_HZ,
            "frame_length": FRAME_LENGTH,
            "hop_length": HOP_LENGTH,
            "frames": self._scalars.frames,
            **scalars,
            "flux": flux,
            "contrast_db": self._contrast.stats(),
            "mfcc": self._mfcc.stats(),
            **self._bands.finish(),
            "energy": energy(scalars, flux),
        }

    def _measure(self, samples: Floats) -> None:
        """Take the features of a batch of frames, from the samples behind them."""
        frames = framed(samples)
        # Where the signal starts and, at its end, ends in these samples.
        first = FRAME_LENGTH // 2 - self._batches * BATCH_FRAMES * HOP_LENGTH
        magnitudes = features.magnitudes(frames)
        power = magnitudes * magnitudes
        _, centroid, bandwidth = features.moments(magnitudes)
        rows = (
            centroid,
            bandwidth,
            features.rolloff_hz(magnitudes),
            features.flatness(power),
            features.crossing_rates(samples, first=first, end=first + self._samples),
            features.rms(samples),
        )
        self._rows.append(np.stack(rows))
        self._mel_db.append(features.power_db(features.mel_powers(power)))
        self._extremes.append(features.contrast_extremes(magnitudes))
        self._waiting += len(frames)

    def _close_window(self) -> None:
        """Turn what waits into cepstrum, flux and contrast, which need the window's maximum."""
        if not self._waiting:
            return
        self._scalars.add(np.concatenate(self._rows, axis=1).T)
        floor = max(batch.max() for batch in self._mel_db) - TOP_DB
        cepstra, rises = [], []
        before = np.empty((0, features.MEL_BANDS), dtype=np.float32)
        # Batch by batch: each copy of a whole window's mel bands would be 17 MB.
        for batch in self._mel_db:
            held = np.maximum(batch, floor)
            cepstra.append(features.mfcc(held).copy())
            rises.append(_rises(np.concatenate([before, held])))
            if self._pace == 1:  # stretches that are no neighbours have no rise between them
                before = held[-1:]
        self._mfcc.add(np.concatenate(cepstra))
        lead = np.zeros(_FLUX_LEAD if self._pace == 1 else 0, dtype=np.float32)
        self._flux.add(np.concatenate([lead, *rises])[: self._waiting, None])
        peaks = _floored(features.power_db(np.concatenate([p for p, _ in self._extremes])))
        valleys = _floored(features.power_db(np.concatenate([v for _, v in self._extremes])))
        self._contrast.add(peaks - valleys)
        self._rows, self._mel_db, self._extremes, self._waiting = [], [], [], 0


def _floored(db: Floats) -> Floats:
    held: Floats = np.maximum(db, db.max() - TOP_DB)
    return held


def _rises(mel_db: Floats) -> Floats:
    """Return the mean rise over all mel bands from frame to frame, as librosa.onset_strength."""
    rises: Floats = np.maximum(np.diff(mel_db, axis=0), 0).mean(axis=1)
    return rises
