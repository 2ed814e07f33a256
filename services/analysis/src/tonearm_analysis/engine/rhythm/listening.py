"""From sound to beat activations, on a stream: memory stays flat whatever the length.

A `Listener` takes mono sound in blocks of any size.  What it keeps of each 20 ms is a handful of
numbers: the networks' probabilities of a beat and of a downbeat, and three onset strengths.
Frames count from the first sound, and the sound is brought to one level first, so that neither
leading silence nor gain changes what is heard.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal, Protocol

import numpy as np
import numpy.typing as npt

from tonearm_analysis.engine.numerics import finite
from tonearm_analysis.engine.rhythm.bands import FRAME_RATE_HZ, SAMPLE_RATE_HZ, Floats
from tonearm_analysis.engine.rhythm.joint import JointEar
from tonearm_analysis.engine.rhythm.student import StudentEar

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


class Ear(Protocol):
    """Hears sound of one level, from its first sample on.

    activations: parts of (n, 2), in order, of a beat that is no downbeat, and of a downbeat.
    onsets: parts of (n, 3), mean rise over all, low and high bands; may be ahead of these.
    """

    activations: list[Floats]
    onsets: list[Floats]

    def hear(self, sound: Floats) -> None:
        """Hear the next samples at 22 050 Hz."""

    def finish(self) -> None:
        """Hear the end of the sound."""


class Listener:
    """Hears blocks of mono sound at 22 050 Hz and hands back what it `Heard`.

    ear: what to hear with, if not with the profile's.
    """

    def __init__(
        self, profile: Literal["full", "fast"] = "full", *, ear: Ear | None = None
    ) -> None:
        self._ear: Ear = ear or (JointEar() if profile == "full" else StudentEar())
        self._opening: list[Floats] | None = []
        self._opening_samples = 0
        self._gain = np.float32(1.0)
        self._n_samples = 0
        self._start_samples = 0
        self._kept_from = 0

    def push(self, block: npt.NDArray[np.floating]) -> None:
        """Hear one block, shape (n,); values that are not numbers count as silence."""
        block = finite(block.astype(np.float32, copy=False))
        self._n_samples += len(block)
        if self._opening is None:
            self._ear.hear(block * self._gain)
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
        return self._kept_from + sum(len(part) for part in self._ear.activations)

    def heard(self, first: int, stop: int) -> Heard:
        """Frames that the networks have read, counted from the first sound, and are still kept."""
        return self._kept().between(first - self._kept_from, stop - self._kept_from)

    def forget(self, stop: int) -> None:
        """Keep no frame before this one."""
        kept, count = self._kept(), stop - self._kept_from
        self._ear.activations, self._ear.onsets = (
            [kept.activations[count:].copy()],
            [kept.onsets[count:].copy()],
        )
        self._kept_from = stop

    def finish(self) -> Heard:
        """Hear the end of the sound and return what is kept; nothing can be heard after that."""
        if self._opening is not None:
            self._open()
        self._ear.finish()
        return self._kept()

    def _kept(self) -> Heard:
        return Heard(
            activations=np.concatenate([*self._ear.activations, np.zeros((0, 2), np.float32)]),
            onsets=np.concatenate([*self._ear.onsets, np.zeros((0, 3), np.float32)]),
            start_s=self.start_s + self._kept_from / FRAME_RATE_HZ,
            duration_s=self._n_samples / SAMPLE_RATE_HZ,
        )

    def _open(self) -> None:
        """Set the gain by the opening, drop what lies before its first sound, and hear it."""
        sound = np.concatenate([*(self._opening or []), np.zeros(0, np.float32)])
        self._opening = None
        if not len(sound):
            return
        peak = max(float(sound.max()), -float(sound.min()))
        start = _first_above(sound, START_SHARE_OF_PEAK * peak)
        self._start_samples += start
        sound = sound[start:]
        self._gain = np.float32(LEVEL_RMS / _level(sound))
        sound *= self._gain
        self._ear.hear(sound)


def _first_above(sound: Floats, size: float) -> int:
    """Where the first sample larger than `size` is; 0 where none is."""
    for start in range(0, len(sound), LEVEL_BLOCK_SAMPLES):
        larger = np.abs(sound[start : start + LEVEL_BLOCK_SAMPLES]) > size
        if larger.any():
            return start + int(larger.argmax())
    return 0


def _level(sound: Floats) -> float:
    """Root mean square of the blocks of .4 s that are within 40 dB of the loudest; never 0."""
    whole = len(sound) // LEVEL_BLOCK_SAMPLES * LEVEL_BLOCK_SAMPLES
    blocks = sound[:whole].reshape(-1, LEVEL_BLOCK_SAMPLES) if whole else sound[None]
    power = np.array([_power(block.astype(np.float64)) for block in blocks])
    loud = power[power >= power.max() * QUIET_SHARE**2]
    return float(np.sqrt(loud.mean())) + 1e-12


def _power(sound: npt.NDArray[np.float64]) -> float:
    return float(sound @ sound) / len(sound)
