"""K-weighting (ITU-R BS.1770-4, annex 1) at any sample rate, and energy per 10 ms.

The recommendation prints coefficients for 48 kHz. Other rates take the bilinear transform of
the same analogue prototypes: a high shelf (+4 dB, 1682 Hz) and a high pass (38 Hz).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from tonearm_analysis.engine.blocks import Floats
from tonearm_analysis.engine.loudness.energies import Energies, EnergyKeeper
from tonearm_analysis.engine.loudness.recursion import BLOCK, BlockFilter

STEPS_PER_S = 100
_SHELF_HZ, _SHELF_DB, _SHELF_Q = 1681.974450955533, 3.999843853973347, 0.7071752369554196
_SHELF_BAND = 0.4996667741545416
_PASS_HZ, _PASS_Q = 38.13547087602444, 0.5003270373238773


def k_weighting(sample_rate_hz: float) -> tuple[NDArray[np.float64], NDArray[np.complex128]]:
    """Return (b, upper poles) of both stages as one filter of order four; a is monic."""
    k = math.tan(math.pi * _SHELF_HZ / sample_rate_hz)
    high = 10 ** (_SHELF_DB / 20)
    band = high**_SHELF_BAND
    a0 = 1 + k / _SHELF_Q + k * k
    shelf_b = np.array(
        [high + band * k / _SHELF_Q + k * k, 2 * (k * k - high), high - band * k / _SHELF_Q + k * k]
    )
    numerator = np.convolve(shelf_b / a0, [1.0, -2.0, 1.0])
    poles = [_upper_pole(_SHELF_HZ, _SHELF_Q, sample_rate_hz)]
    poles.append(_upper_pole(_PASS_HZ, _PASS_Q, sample_rate_hz))
    return numerator, np.array(poles)


def _upper_pole(hz: float, q: float, sample_rate_hz: float) -> complex:
    """Return the pole, of positive imaginary part, of a second-order section with Q > 0.5."""
    k = math.tan(math.pi * hz / sample_rate_hz)
    a0 = 1 + k / q + k * k
    real = (1 - k * k) / a0
    return complex(real, math.sqrt((1 - k / q + k * k) / a0 - real * real))


def channel_weights(channels: int) -> NDArray[np.float64]:
    """Return the weight of each channel by the usual order for that count.

    Surround channels (60-120 degrees) weigh 1.41, the LFE nothing. Counts without a usual
    layout weigh 1 throughout.
    """
    surround = 1.41
    layouts = {
        4: [1, 1, surround, surround],
        5: [1, 1, 1, surround, surround],
        6: [1, 1, 1, 0, surround, surround],
        8: [1, 1, 1, 0, 1, 1, surround, surround],
    }
    return np.array(layouts.get(channels, [1] * channels), dtype=np.float64)


class KWeightedEnergy:
    """Weighted energy of every whole 10 ms, summed over channels."""

    def __init__(self, *, sample_rate_hz: int, channels: int) -> None:
        self._rate = sample_rate_hz
        weights = channel_weights(channels)
        # What weighs nothing is not heard.
        self._heard = np.flatnonzero(weights) if not weights.all() else slice(None)
        self._weights: Floats = weights[self._heard].astype(np.float32)
        self._filter = BlockFilter(*k_weighting(sample_rate_hz), channels=len(self._weights))
        self._rest = np.empty((channels, 0), dtype=np.float32)
        self._frames = 0
        self._steps = 0
        self._open_energy = 0.0
        self._kept = EnergyKeeper()

    def feed(self, planar: Floats) -> None:
        """Add samples, shape (channels, n)."""
        if self._rest.shape[1]:
            planar = np.concatenate([self._rest, planar], axis=1)
        whole = planar.shape[1] // BLOCK * BLOCK
        self._rest = planar[:, whole:].copy()
        if whole:
            self._measure(planar[:, :whole], frames=whole)

    def finish(self) -> Energies:
        """Return the mean squares of all whole steps; nothing may follow."""
        frames = self._rest.shape[1]
        if frames:
            padding = np.zeros((len(self._rest), BLOCK - frames), dtype=np.float32)
            self._measure(np.concatenate([self._rest, padding], axis=1), frames=frames)
        return self._kept.finish()

    def _measure(self, planar: Floats, *, frames: int) -> None:
        """Add the energy of the first `frames` samples of whole blocks."""
        power = self._weighted_power(planar[self._heard])[:frames]
        # Rates that are no multiple of a hundred share the odd samples out, without drift: step k
        # ends at k * rate // STEPS_PER_S.
        last = ((self._frames + frames + 1) * STEPS_PER_S - 1) // self._rate
        ends = np.arange(self._steps, last + 1) * self._rate // STEPS_PER_S
        starts = np.maximum(ends - self._frames, 0)
        begun = len(starts) - (starts[-1] == frames)
        sums = np.zeros(len(starts))
        sums[:begun] = np.add.reduceat(power, starts[:begun])
        sums[0] += self._open_energy
        self._kept.add(sums[:-1] / np.diff(ends))
        self._open_energy = float(sums[-1])
        self._steps = last
        self._frames += frames

    def _weighted_power(self, planar: Floats) -> Floats:
        weights = self._weights
        if self._is_twice_the_same(planar):
            # One run of the filter says it all: mono material in two channels.
            heard = self._filter.run(planar[:1])
            self._filter.spread_first_state()
            weights = weights[:1] * np.float32(2)
        else:
            heard = self._filter.run(planar)
        heard *= heard
        if weights.max() != 1 or weights.min() != 1:
            heard *= weights[:, None]
        power: Floats = heard[0]
        for other in heard[1:]:
            power += other
        return power

    def _is_twice_the_same(self, planar: Floats) -> bool:
        # In stereo the first samples tell already.
        if len(planar) != 2 or planar[0, :BLOCK].tobytes() != planar[1, :BLOCK].tobytes():
            return False
        return self._filter.states_are_equal() and np.array_equal(planar[0], planar[1])
