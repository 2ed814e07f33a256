"""From sound to beat activations, on a stream: memory stays flat whatever the length.

A `Listener` takes mono sound in blocks of any size.  What it keeps of each 20 ms is a handful of
numbers: the networks' probabilities of a beat and of a downbeat, and three onset strengths.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from tonearm_analysis.engine.models import Network, open_network
from tonearm_analysis.engine.rhythm.bands import (
    HOP_SAMPLES,
    N_BANDS,
    WINDOW_SAMPLES,
    Floats,
    log_bands,
)

NETWORKS: Final = {
    "full": ("beat_crnn_1", "beat_crnn_2", "beat_crnn_3"),
    "fast": ("beat_crnn_3",),
}
# The networks look back a few seconds at most: a stretch read after this much lead-in gives the
# probabilities of the whole recording within .01.
LEAD_IN_FRAMES: Final = 400
# Above this length the recording is read as up to four stretches side by side, a third faster.
STRETCH_FRAMES: Final = 1_500
STRETCHES_MAX: Final = 4
# Frames gathered before the networks run: four minutes, 13 MB.
WINDOW_FRAMES: Final = 12_000
LOW_BANDS: Final = slice(0, 36)  # up to about 200 Hz: kick drum and bass
HIGH_BANDS: Final = slice(100, N_BANDS)  # from about 2.5 kHz: hi-hat, snare, consonants


@dataclass(frozen=True)
class Heard:
    """What is kept of a recording for everything about rhythm.

    activations: (n, 2), probability of a beat that is no downbeat, and of a downbeat.
    onsets: (n, 3), mean rise over all, low and high bands.
    levels: (n,), mean of the band levels.  Frame k is centred on second k / 50.
    duration_s: length of the sound.
    """

    activations: Floats
    onsets: Floats
    levels: Floats
    duration_s: float


class Listener:
    """Hears blocks of mono sound at 22 050 Hz and hands back what it `Heard`."""

    def __init__(self, profile: Literal["full", "fast"] = "full") -> None:
        self._networks = [open_network(name) for name in NETWORKS[profile]]
        self._sound = np.zeros(WINDOW_SAMPLES // 2, np.float32)
        self._context_frames = 0
        self._n_samples = 0
        self._n_frames = 0
        self._pending: list[Floats] = []
        self._pending_frames = 0
        self._last: Floats | None = None
        self._activations: list[Floats] = []
        self._onsets: list[Floats] = []
        self._levels: list[Floats] = []

    def push(self, block: npt.NDArray[np.floating]) -> None:
        """Hear one block, shape (n,); values that are not numbers count as silence."""
        block = np.nan_to_num(block.astype(np.float32, copy=False), nan=0.0, posinf=0.0, neginf=0.0)
        self._n_samples += len(block)
        self._sound = np.concatenate([self._sound, block])
        n_ready = (len(self._sound) - WINDOW_SAMPLES) // HOP_SAMPLES + 1
        if n_ready > 0:
            self._measure(n_ready)

    def finish(self) -> Heard:
        """Hear the end of the sound and return what was heard; the listener is then spent."""
        n_left = -(-self._n_samples // HOP_SAMPLES) - self._n_frames
        if n_left > 0:
            self._sound = np.concatenate([self._sound, np.zeros(WINDOW_SAMPLES, np.float32)])
            self._measure(n_left)
        if self._pending_frames:
            self._read()
        empty = np.zeros(0, np.float32)
        return Heard(
            activations=np.concatenate([*self._activations, empty.reshape(0, 2)]),
            onsets=np.concatenate([*self._onsets, empty.reshape(0, 3)]),
            levels=np.concatenate([*self._levels, empty]),
            duration_s=self._n_samples / 22_050.0,
        )

    def _measure(self, n_frames: int) -> None:
        """Turn the first `n_frames` frames of the kept sound into features."""
        levels = log_bands(self._sound, n_frames)
        self._sound = self._sound[n_frames * HOP_SAMPLES :]
        before = levels[:1] if self._last is None else self._last[None]
        rises = np.maximum(np.diff(levels, axis=0, prepend=before), 0.0)
        self._last = levels[-1].copy()
        self._pending.append(np.concatenate([levels, rises], axis=1))
        low, high = rises[:, LOW_BANDS].mean(axis=1), rises[:, HIGH_BANDS].mean(axis=1)
        self._onsets.append(np.stack([rises.mean(axis=1), low, high], axis=1))
        self._levels.append(levels.mean(axis=1))
        self._n_frames += n_frames
        self._pending_frames += n_frames
        if self._pending_frames - self._context_frames >= WINDOW_FRAMES:
            self._read()

    def _read(self) -> None:
        """Run the networks over the pending features; the last of them become the next lead-in."""
        features = np.concatenate(self._pending)
        context = self._context_frames
        probabilities = sum(_run(network, features) for network in self._networks)
        mean = np.asarray(probabilities, np.float32)[context:, :2] / np.float32(len(self._networks))
        self._activations.append(mean)
        self._context_frames = min(LEAD_IN_FRAMES, len(features))
        self._pending = [features[len(features) - self._context_frames :].copy()]
        self._pending_frames = 0


def _run(network: Network, features: Floats) -> Floats:
    """Probabilities (n, 3) of features (n, 272), read as several overlapping stretches."""
    n = len(features)
    count = min(STRETCHES_MAX, max(1, n // STRETCH_FRAMES))
    length = -(-(n + (count - 1) * LEAD_IN_FRAMES) // count)
    starts = [min(k * (length - LEAD_IN_FRAMES), n - length) for k in range(count)]
    stacked = np.stack([features[s : s + length] for s in starts], axis=1)
    (read,) = network.run(["probabilities"], {"features": stacked})
    out = np.empty((n, 3), np.float32)
    for k, start in enumerate(starts):
        skip = 0 if k == 0 else LEAD_IN_FRAMES
        out[start + skip : start + length] = read[skip:, k]
    return out
