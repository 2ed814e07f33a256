"""A recursive filter of complex pole pairs as matrix products: blocks at once, not samples.

The output of a block of BLOCK samples is a product of its samples with the impulse response,
plus a product of the filter's state at its start with the decaying modes. The states of all
blocks follow from one another by one multiplication per mode; those chains are products with
triangular matrices as well. Exact but for rounding (float32 products, float64 states), and
several times faster than sample by sample.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tonearm_analysis.engine.blocks import Floats

BLOCK = 32
_GROUP = 32
_GROUPS_MAX = 64
CHUNK_FRAMES_MAX = BLOCK * _GROUP * _GROUPS_MAX

Complexes = NDArray[np.complex128]


class BlockFilter:
    """H(z) = b(z) / a(z) for each channel, where a has only complex pairs of simple roots."""

    def __init__(self, numerator: NDArray[np.float64], poles: Complexes, *, channels: int) -> None:
        """Make the filter.

        numerator: b, as many terms as there are poles plus one; a is monic.
        poles: one of each conjugate pair.
        """
        self._states: Complexes = np.zeros((channels, len(poles)), dtype=np.complex128)
        residues = _residues(numerator, poles)
        ages = np.arange(BLOCK)
        modes = poles[:, None] ** ages
        response = 2 * (residues[:, None] * modes).real.sum(axis=0)
        impulse = np.concatenate([[numerator[0]], response[:-1]])
        reach = ages[None, :] - ages[:, None]
        toeplitz = np.where(reach >= 0, impulse[np.abs(reach)], 0.0)
        fading = 2 * residues[:, None] * modes
        # One product: samples, then real and imaginary part of each state.
        self._output = np.concatenate([toeplitz, fading.real, -fading.imag]).astype(np.float32)
        gathering = modes[:, ::-1].T
        self._input = np.concatenate([gathering.real, gathering.imag], axis=1).astype(np.float32)
        step = poles**BLOCK
        self._in_group = _chain(step, _GROUP)
        self._across = _chain(step**_GROUP, _GROUPS_MAX)
        self._fade = step[:, None] ** np.arange(1, _GROUP + 1)
        self._leaps = (step**_GROUP)[:, None] ** np.arange(_GROUPS_MAX)
        self._whole: Floats = np.empty((0, 0, 0), dtype=np.float32)
        self._heard: Floats = np.empty((0, 0, 0), dtype=np.float32)

    def run(self, planar: Floats) -> Floats:
        """Return the output of the next samples of the first channels, shape (channels, n).

        n is a multiple of BLOCK; channels that are left out keep their state. The output may be
        overwritten by the next call.
        """
        length = planar.shape[1]
        if length <= CHUNK_FRAMES_MAX:
            return self._run_chunk(planar)
        parts = [
            self._run_chunk(planar[:, start : start + CHUNK_FRAMES_MAX]).copy()
            for start in range(0, length, CHUNK_FRAMES_MAX)
        ]
        return np.concatenate(parts, axis=1)

    def states_are_equal(self) -> bool:
        """Tell whether all channels have heard the same so far."""
        return bool((self._states == self._states[0]).all())

    def spread_first_state(self) -> None:
        """Let every channel go on from the first one's state."""
        self._states[:] = self._states[0]

    def _run_chunk(self, planar: Floats) -> Floats:
        channels, length = planar.shape
        pairs = self._states.shape[1]
        shape = (channels, length // BLOCK, BLOCK + 2 * pairs)
        if self._whole.shape != shape:
            # Kept from chunk to chunk: fresh memory of this size costs as much as the products.
            self._whole = np.empty(shape, dtype=np.float32)
            self._heard = np.empty((*shape[:2], BLOCK), dtype=np.float32)
        whole = self._whole
        whole[:, :, :BLOCK] = planar.reshape(channels, -1, BLOCK)
        states = self._chained(whole[:, :, :BLOCK] @ self._input)
        whole[:, :, BLOCK : BLOCK + pairs] = states.real.transpose(0, 2, 1)
        whole[:, :, BLOCK + pairs :] = states.imag.transpose(0, 2, 1)
        return np.matmul(whole, self._output, out=self._heard).reshape(channels, length)

    def _chained(self, gathered: Floats) -> Complexes:
        """Return each block's state at its start, shape (channels, pairs, n), and keep the last.

        gathered: what each block adds to the states, real parts then imaginary ones.
        """
        channels, count, pairs = *gathered.shape[:2], gathered.shape[2] // 2
        groups = -(-count // _GROUP)
        inputs = np.zeros((channels, pairs, groups * _GROUP), dtype=np.complex128)
        inputs.real[:, :, :count] = gathered[:, :, :pairs].transpose(0, 2, 1)
        inputs.imag[:, :, :count] = gathered[:, :, pairs:].transpose(0, 2, 1)
        # Within each group as if it began at rest; then what each group hands on.
        ends = inputs.reshape(channels, pairs, groups, _GROUP) @ self._in_group
        handed = self._states[:channels, :, None] * self._leaps[:, :groups]
        last = ends[:, :, None, :-1, -1]
        handed[:, :, 1:] += (last @ self._across[:, : groups - 1, : groups - 1])[:, :, 0]
        ends += handed[:, :, :, None] * self._fade[:, None, :]
        chain = ends.reshape(channels, pairs, -1)
        states = np.empty((channels, pairs, count), dtype=np.complex128)
        states[:, :, 0], states[:, :, 1:] = self._states[:channels], chain[:, :, : count - 1]
        self._states[:channels] = chain[:, :, count - 1]
        return states


def _chain(factor: Complexes, length: int) -> Complexes:
    """Return matrices that sum inputs with powers of a factor, shape (pairs, length, length)."""
    reach = np.arange(length)[None, :] - np.arange(length)[:, None]
    powers = factor[:, None, None] ** np.abs(reach)
    return np.where(reach >= 0, powers, 0)


def _residues(numerator: NDArray[np.float64], poles: Complexes) -> Complexes:
    """Return c with H(z) = b0 + sum of c / (z - p) over all poles; one of each pair."""
    every = np.concatenate([poles, poles.conj()])
    rest = numerator - numerator[0] * np.poly(every).real
    slopes = [np.prod([p - q for q in every if q != p]) for p in poles]
    return np.asarray(np.polyval(rest[1:], poles) / np.array(slopes), dtype=np.complex128)
