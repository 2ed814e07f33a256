"""From sound to beat activations, on a stream: memory stays flat whatever the length.

A `Listener` takes mono sound in blocks of any size.  What it keeps of each 20 ms is a handful of
numbers: the networks' probabilities of a beat and of a downbeat, and three onset strengths.
Frames count from the first sound, and the sound is brought to one level first, so that neither
leading silence nor gain changes what is heard.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from tonearm_analysis.engine.memory import give_back
from tonearm_analysis.engine.models import Network, open_network
from tonearm_analysis.engine.numerics import finite
from tonearm_analysis.engine.rhythm.bands import (
    FRAME_RATE_HZ,
    HOP_SAMPLES,
    N_BANDS,
    SAMPLE_RATE_HZ,
    WINDOW_SAMPLES,
    Floats,
    log_bands,
)

NETWORKS: Final = {
    "full": ("beat_crnn_1", "beat_crnn_2", "beat_crnn_3"),
    "fast": ("beat_crnn_3",),
}
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
LOW_BANDS: Final = slice(0, 36)  # up to about 200 Hz: kick drum and bass
HIGH_BANDS: Final = slice(100, N_BANDS)  # from about 2.5 kHz: hi-hat, snare, consonants
# The level of the first minute, its quiet parts left out, sets the gain for the rest.
OPENING_SAMPLES: Final = 60 * SAMPLE_RATE_HZ
LEVEL_RMS: Final = 0.1
SILENCE: Final = 1e-5
START_SHARE_OF_PEAK: Final = 1e-3
LEVEL_BLOCK_SAMPLES: Final = 8_820
QUIET_SHARE: Final = 0.01


@dataclass(frozen=True)
class Heard:
    """What is kept of a recording for everything about rhythm.

    activations: (n, 2), probability of a beat that is no downbeat, and of a downbeat.
    onsets: (n, 3), mean rise over all, low and high bands.
    start_s: where the sound starts; frame k is centred on second start_s + k / 50.
    duration_s: length of the recording.
    """

    activations: Floats
    onsets: Floats
    start_s: float
    duration_s: float

    @property
    def end_s(self) -> float:
        """When the last frame ends."""
        return self.start_s + len(self.activations) / FRAME_RATE_HZ

    def between(self, first: int, last: int) -> Heard:
        """The frames from `first` to before `last`."""
        return replace(
            self,
            activations=self.activations[first:last],
            onsets=self.onsets[first:last],
            start_s=self.start_s + first / FRAME_RATE_HZ,
        )


class Listener:
    """Hears blocks of mono sound at 22 050 Hz and hands back what it `Heard`."""

    def __init__(self, profile: Literal["full", "fast"] = "full") -> None:
        self._networks = [open_network(name) for name in NETWORKS[profile]]
        self._opening: list[Floats] | None = []
        self._opening_samples = 0
        self._gain = np.float32(1.0)
        self._n_samples = 0
        self._start_samples = 0
        self._sound = np.zeros(WINDOW_SAMPLES // 2, np.float32)
        self._sound_samples = 0
        self._context_frames = 0
        self._n_frames = 0
        self._pending: list[Floats] = []
        self._pending_frames = 0
        self._last: Floats | None = None
        self._windows = 0
        self._kept_from = 0
        self._activations: list[Floats] = []
        self._onsets: list[Floats] = []

    def push(self, block: npt.NDArray[np.floating]) -> None:
        """Hear one block, shape (n,); values that are not numbers count as silence."""
        block = finite(block.astype(np.float32, copy=False))
        self._n_samples += len(block)
        if self._opening is None:
            self._hear(block * self._gain)
            return
        if not self._opening:
            loud = np.flatnonzero(np.abs(block) > SILENCE)
            skip = int(loud[0]) if len(loud) else len(block)
            self._start_samples += skip
            block = block[skip:]
        if len(block):
            self._opening.append(block)
            self._opening_samples += len(block)
        if self._opening_samples >= OPENING_SAMPLES:
            self._open()

    @property
    def start_s(self) -> float:
        """Where the sound starts."""
        return self._start_samples / SAMPLE_RATE_HZ

    @property
    def frames(self) -> int:
        """How many frames the networks have read."""
        return self._kept_from + sum(len(part) for part in self._activations)

    def heard(self, first: int, stop: int) -> Heard:
        """Frames that the networks have read, counted from the first sound, and are still kept."""
        return self._kept().between(first - self._kept_from, stop - self._kept_from)

    def forget(self, stop: int) -> None:
        """Keep no frame before this one."""
        kept, count = self._kept(), stop - self._kept_from
        self._activations, self._onsets = (
            [kept.activations[count:].copy()],
            [kept.onsets[count:].copy()],
        )
        self._kept_from = stop

    def finish(self) -> Heard:
        """Hear the end of the sound and return what is kept; nothing can be heard after that."""
        if self._opening is not None:
            self._open()
        n_left = -(-self._sound_samples // HOP_SAMPLES) - self._n_frames
        if n_left > 0:
            self._sound = np.concatenate([self._sound, np.zeros(WINDOW_SAMPLES, np.float32)])
            self._measure(n_left)
        if self._pending_frames:
            self._read()
        return self._kept()

    def _kept(self) -> Heard:
        return Heard(
            activations=np.concatenate([*self._activations, np.zeros((0, 2), np.float32)]),
            onsets=np.concatenate([*self._onsets, np.zeros((0, 3), np.float32)]),
            start_s=self.start_s + self._kept_from / FRAME_RATE_HZ,
            duration_s=self._n_samples / SAMPLE_RATE_HZ,
        )

    def _open(self) -> None:
        """Set the gain by the opening, drop what lies before its first sound, and hear it."""
        sound = np.concatenate([*(self._opening or []), np.zeros(0, np.float32)])
        self._opening = None
        if not len(sound):
            return
        peak = float(np.abs(sound).max())
        start = int(np.argmax(np.abs(sound) > START_SHARE_OF_PEAK * peak))
        self._start_samples += start
        sound = sound[start:]
        self._gain = np.float32(LEVEL_RMS / _level(sound))
        self._hear(sound * self._gain)

    def _hear(self, sound: Floats) -> None:
        self._sound_samples += len(sound)
        self._sound = np.concatenate([self._sound, sound])
        n_ready = (len(self._sound) - WINDOW_SAMPLES) // HOP_SAMPLES + 1
        if n_ready > 0:
            self._measure(n_ready)

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
        self._onsets.append(rises @ _onset_shares())
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
        self._activations.append(total / np.float32(len(self._networks)))
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


def _level(sound: Floats) -> float:
    """Root mean square of the blocks of .4 s that are within 40 dB of the loudest; never 0."""
    whole = len(sound) // LEVEL_BLOCK_SAMPLES * LEVEL_BLOCK_SAMPLES
    blocks = sound[:whole].reshape(-1, LEVEL_BLOCK_SAMPLES) if whole else sound[None]
    power = np.mean(np.square(blocks, dtype=np.float64), axis=1)
    loud = power[power >= power.max() * QUIET_SHARE**2]
    return float(np.sqrt(loud.mean())) + 1e-12


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
