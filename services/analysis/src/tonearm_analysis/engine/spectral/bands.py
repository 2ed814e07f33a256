"""Energy by band at the recording's own rate, and where its spectrum ends."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.fft

from tonearm_analysis.engine.blocks import Block, Floats
from tonearm_analysis.engine.spectral.features import row_sums
from tonearm_analysis.engine.statistics import FrameTable

BANDS: tuple[tuple[str, float, float], ...] = (
    ("low", 20.0, 150.0),
    ("mid_low", 150.0, 800.0),
    ("mid_high", 800.0, 4000.0),
    ("high", 4000.0, 20000.0),
)
FRAME_S = 0.046
FRAMES_AT_ONCE = 48
"""What fewer frames cost whatever their number weighs too much."""
_WINDOW_TERMS = (0.35875, -0.48829, 0.14128, -0.01168)
CUTOFF_DB = -90.0
"""Below the strongest bin of the mean spectrum: practically nothing."""


class BandCollector:
    """Share of each band in the energy of all bands, frame by frame without overlap.

    pace: of so many frames one is measured.
    """

    def __init__(self, *, sample_rate_hz: int, pace: int = 1) -> None:
        self._rate = sample_rate_hz
        self._pace = pace
        self._seen = 0
        self._length = 1 << round(np.log2(sample_rate_hz * FRAME_S))
        phase = 2 * np.pi * np.arange(self._length) / self._length
        # Blackman-Harris: what leaks past the cutoff stays 92 dB down.
        terms = [a * np.cos(k * phase) for k, a in enumerate(_WINDOW_TERMS)]
        self._window = np.sum(terms, axis=0).astype(np.float32)
        hz = np.arange(self._length // 2 + 1) * (sample_rate_hz / self._length)
        self._edges = [np.searchsorted(hz, [low, high]) for _, low, high in BANDS]
        self._held: Floats = np.empty(0, dtype=np.float32)
        self._shares = FrameTable(len(BANDS))
        self._mean_power = np.zeros(len(hz))
        self._waiting: list[Floats] = []

    def feed(self, block: Block) -> None:
        """Add a block."""
        # Most rates leave nothing over: frames and blocks are powers of two.
        held = np.concatenate([self._held, block.mono]) if len(self._held) else block.mono
        if block.is_last and not self._seen:
            # A very short recording is one padded frame. Elsewhere the last part of a frame is
            # left out: its abrupt end would spread over the whole spectrum.
            held = np.concatenate([held, np.zeros(-len(held) % self._length, dtype=np.float32)])
        whole = len(held) // self._length * self._length
        frames = held[:whole].reshape(-1, self._length)
        chosen = frames[-self._seen % self._pace :: self._pace]
        self._seen += len(frames)
        if len(chosen):
            self._waiting.append(chosen)
            if sum(map(len, self._waiting)) >= FRAMES_AT_ONCE:
                self._measure_waiting()
            else:
                self._waiting[-1] = chosen.copy()  # the block's own until the next one
        self._held = held[whole:].copy()

    def finish(self) -> dict[str, Any]:
        """Return the fields `band_energies` and `cutoff_hz`."""
        self._measure_waiting()
        stats = self._shares.stats()
        return {
            "band_energies": [
                {"name": name, "low_hz": low, "high_hz": high, "share": share}
                for (name, low, high), share in zip(BANDS, stats, strict=True)
            ],
            "cutoff_hz": self._cutoff_hz(),
        }

    def _measure_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        if waiting:
            self._measure(waiting[0] if len(waiting) == 1 else np.concatenate(waiting))

    def _measure(self, frames: Floats) -> None:
        spectrum = scipy.fft.rfft(frames * self._window, axis=1, overwrite_x=True)
        power: Floats = np.abs(spectrum)
        power *= power
        self._mean_power += power.sum(axis=0)
        sums = np.stack([row_sums(power[:, a:b]) for a, b in self._edges], axis=1)
        total = sums.sum(axis=1, keepdims=True)
        heard = total[:, 0] > 0
        self._shares.add(sums[heard] / total[heard])

    def _cutoff_hz(self) -> float | None:
        top = float(self._mean_power.max(initial=0.0))
        if top <= 0:
            return None
        above = np.flatnonzero(self._mean_power > top * 10 ** (CUTOFF_DB / 10))
        return float((above[-1] + 1) * self._rate / self._length)
