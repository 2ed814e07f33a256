"""Two recurrent networks over quarter-tone bands: the mean of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Final

import numpy as np

from tonearm_analysis.engine.memory import give_back
from tonearm_analysis.engine.models import Network, open_network
from tonearm_analysis.engine.rhythm.bands import (
    HIGH_BANDS,
    HOP_SAMPLES,
    LOW_BANDS,
    N_BANDS,
    WINDOW_SAMPLES,
    Floats,
    log_bands,
)

NETWORKS: Final = ("beat_crnn_2", "beat_crnn_3")
# A stretch read after this much lead-in gives the probabilities of the whole recording within .01
# in 99 frames of 100: the networks look back, and only so far.
LEAD_IN_FRAMES: Final = 400
# From this length on two halves are read side by side: a frame takes a quarter less time, which by
# then is worth more than the lead-in that is read twice.
HALVED_FRAMES: Final = 2_500
# Frames gathered before the networks run: two minutes, 7 MB, and ten times that while they do.
WINDOW_FRAMES: Final = 6_000
# From then on free memory is given back before the networks take ten times their input: the most
# that a long recording needs is theirs alone, not theirs on top of what others let go of.
WINDOWS_UNTIDIED: Final = 2


class CrnnEar:
    """Hears sound of one level; an `Ear` of listening.py.

    networks: what to hear with, if not with those that ship.
    """

    def __init__(self, networks: Sequence[Network] | None = None) -> None:
        self.activations: list[Floats] = []
        self.onsets: list[Floats] = []
        self._networks = networks or [open_network(name) for name in NETWORKS]
        self._sound = np.zeros(WINDOW_SAMPLES // 2, np.float32)
        self._sound_samples = 0
        self._context_frames = 0
        self._n_frames = 0
        self._pending: list[Floats] = []
        self._pending_frames = 0
        self._last: Floats | None = None
        self._windows = 0

    def hear(self, sound: Floats) -> None:
        """Hear the next samples."""
        self._sound_samples += len(sound)
        self._sound = np.concatenate([self._sound, sound])
        n_ready = (len(self._sound) - WINDOW_SAMPLES) // HOP_SAMPLES + 1
        if n_ready > 0:
            self._measure(n_ready)

    def finish(self) -> None:
        """Hear the end of the sound."""
        n_left = -(-self._sound_samples // HOP_SAMPLES) - self._n_frames
        if n_left > 0:
            self._sound = np.concatenate([self._sound, np.zeros(WINDOW_SAMPLES, np.float32)])
            self._measure(n_left)
        if self._pending_frames:
            self._read()

    def _measure(self, n_frames: int) -> None:
        """Turn the first `n_frames` frames of the kept sound into features."""
        features = np.empty((n_frames, 2 * N_BANDS), np.float32)
        levels, rises = features[:, :N_BANDS], features[:, N_BANDS:]
        levels[:] = log_bands(self._sound, n_frames)
        self._sound = self._sound[n_frames * HOP_SAMPLES :]
        np.subtract(levels[0], levels[0] if self._last is None else self._last, out=rises[0])
        np.subtract(levels[1:], levels[:-1], out=rises[1:])
        np.maximum(rises, 0.0, out=rises)
        self._last = levels[-1].copy()
        self._pending.append(features)
        self.onsets.append(rises @ _onset_shares())
        self._n_frames += n_frames
        self._pending_frames += n_frames
        if self._pending_frames >= WINDOW_FRAMES:
            self._read()

    def _read(self) -> None:
        """Run the networks over the pending features; the last of them become the next lead-in."""
        if self._windows >= WINDOWS_UNTIDIED:
            give_back()
        self._windows += 1
        features = np.concatenate(self._pending)
        context = self._context_frames
        total = np.zeros((len(features) - context, 2), np.float32)
        for network in self._networks:
            total += _run(network, features)[context:, :2]
        self.activations.append(total / np.float32(len(self._networks)))
        self._context_frames = min(LEAD_IN_FRAMES, len(features))
        self._pending = [features[len(features) - self._context_frames :].copy()]
        self._pending_frames = 0


@cache
def _onset_shares() -> Floats:
    """What turns the rises of all bands into the mean over all, low and high bands."""
    shares = np.zeros((N_BANDS, 3), np.float32)
    for column, bands in enumerate((slice(N_BANDS), LOW_BANDS, HIGH_BANDS)):
        shares[bands, column] = 1.0 / len(shares[bands])
    return shares


def _run(network: Network, features: Floats) -> Floats:
    """Probabilities (n, 3) of features (n, 272), read as two overlapping stretches if they are long."""
    n = len(features)
    count = 2 if n >= HALVED_FRAMES else 1
    length = -(-(n + (count - 1) * LEAD_IN_FRAMES) // count)
    starts = [min(k * (length - LEAD_IN_FRAMES), n - length) for k in range(count)]
    stacked = np.stack([features[s : s + length] for s in starts], axis=1)
    (read,) = network.run(["probabilities"], {"features": stacked})
    out = np.empty((n, 3), np.float32)
    for k, start in enumerate(starts):
        skip = 0 if k == 0 else LEAD_IN_FRAMES
        out[start + skip : start + length] = read[skip:, k]
    return out
