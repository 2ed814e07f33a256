"""A recursive filter of complex pole pairs as matrix products: blocks at once, not samples.

The output of a block of BLOCK samples is a product of its samples with the impulse response,
plus a product of the filter's state at its start with the decaying modes. Each block's state
follows from the one before by one multiplication per mode. That chain is products as well: within
groups of blocks as if each group began at rest, then from group to group in the same way. Exact
but for rounding (float32 products, float64 from group to group), and several times faster than
sample by sample.

A state is a row of real numbers: the modes' real parts, then their imaginary parts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from operator import mul

import numpy as np
from numpy.typing import NDArray

from tonearm_analysis.engine.blocks import Floats

BLOCK = 32
_GROUPS = (8, 16, 48)
"""Blocks in a group, groups in a group of those, and those in a chunk."""
CHUNK_FRAMES_MAX = BLOCK * 8 * 16 * 48
_BLOCKS_AT_ONCE = 192

Complexes = NDArray[np.complex128]
Doubles = NDArray[np.float64]
Reals = NDArray[np.floating]
"""float32 or float64, as its level has it."""


class BlockFilter:
    """H(z) = b(z) / a(z) for each channel, where a has only complex pairs of simple roots."""

    def __init__(self, numerator: Doubles, poles: Complexes, *, channels: int) -> None:
        """Make the filter.

        numerator: b, as many terms as there are poles plus one; a is monic.
        poles: one of each conjugate pair.
        """
        self._states: Doubles = np.zeros((channels, 2 * len(poles)))
        self._matrices = _matrices(tuple(numerator.tolist()), tuple(poles.tolist()))
        self._heard: Floats = np.empty((0, BLOCK), dtype=np.float32)
        self._faded: Floats = self._heard

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
        blocks = planar.reshape(-1, BLOCK)
        if len(self._heard) != len(blocks):
            # Kept from chunk to chunk: fresh memory of this size costs as much as the products.
            self._heard, self._faded = np.empty_like(blocks), np.empty_like(blocks)
        gathered = (blocks @ self._matrices.gathering).reshape(channels, length // BLOCK, -1)
        states = self._chained(gathered).reshape(len(blocks), -1)
        # Some blocks at a time: BLAS multiplies small matrices without rearranging them first.
        some = (-1, math.gcd(len(blocks), _BLOCKS_AT_ONCE), BLOCK)
        np.matmul(blocks.reshape(some), self._matrices.direct, out=self._heard.reshape(some))
        self._heard += np.matmul(states, self._matrices.fading, out=self._faded)
        return self._heard.reshape(channels, length)

    def _chained(self, gathered: Floats) -> Floats:
        """Return each block's state at its start, shape (channels, n, 2 pairs); keep the last.

        gathered: what each block adds to the states.
        """
        channels, count, width = gathered.shape
        whole = -(-count // (_GROUPS[0] * _GROUPS[1])) * _GROUPS[0] * _GROUPS[1]
        if whole > count:
            silence = np.zeros((channels, whole - count, width), dtype=np.float32)
            gathered = np.concatenate([gathered, silence], axis=1)
        low, mid, high = self._matrices.levels
        in_low, ends = low.within(gathered)
        in_mid, ends = mid.within(ends)
        begun = self._states[:channels, None]
        spans = high.starts_of(np.concatenate([begun, ends], axis=1))
        starts = low.spread(mid.spread(spans[:, :-1], in_mid), in_low)
        self._states[:channels] = spans[:, -1] if whole == count else starts[:, count]
        return np.asarray(starts[:, :count], dtype=np.float32)


class _Level:
    """A chain s[k + 1] = f s[k] + g[k] of states, in groups of so many."""

    def __init__(self, factor: Complexes, length: int, kind: type) -> None:
        powers = np.stack([_as_matrix(factor**age) for age in range(length + 1)])
        width = powers.shape[1]
        ages = np.arange(length + 1)
        reach = ages[None, :] - ages[:, None]
        chain = np.where((reach >= 0)[:, :, None, None], powers[np.abs(reach)], 0.0)
        size = (length + 1) * width
        self._chain: Reals = chain.transpose(0, 2, 1, 3).reshape(size, size).astype(kind)
        before_first = np.zeros((size, width))
        within = np.concatenate([before_first, self._chain[:, :-width]], axis=1)
        self._within: Reals = within[:-width].astype(kind)
        self._spread: Reals = np.concatenate(list(powers[:-1]), axis=1).astype(kind)

    def within(self, inputs: Reals) -> tuple[Reals, Doubles]:
        """Return the states before each input, as if each group began at rest, and behind the last.

        inputs: shape (channels, n, width), n whole groups. Shapes (groups of all channels,
        length * width) and (channels, n / length, width).
        """
        channels, _, width = inputs.shape
        size = len(self._within)
        states = inputs.reshape(-1, size) @ self._within
        ends = states[:, size:].reshape(channels, -1, width)
        return states[:, :size], ends.astype(np.float64)

    def starts_of(self, inputs: Doubles) -> Doubles:
        """Return the state behind each input of one group of at most length + 1."""
        channels, count, width = inputs.shape
        size = count * width
        states = inputs.reshape(channels, size) @ self._chain[:size, :size]
        return np.asarray(states.reshape(channels, count, width), dtype=np.float64)

    def spread(self, starts: Reals, states: Reals) -> Reals:
        """Return the state before each input from each group's start, shape (channels, n, width).

        starts: of the groups, shape (channels, groups, width); states: what `within` gave.
        """
        channels, _, width = starts.shape
        befores: Reals = starts.reshape(-1, width).astype(self._spread.dtype) @ self._spread
        befores += states
        return befores.reshape(channels, -1, width)


@dataclass(frozen=True, slots=True)
class _Matrices:
    """What the products multiply by."""

    direct: Floats
    """From a block's samples to what it would answer at rest, shape (BLOCK, BLOCK)."""
    gathering: Floats
    """From a block's samples to what they add to the state at its end, shape (BLOCK, width)."""
    fading: Floats
    """From the state at a block's start to what is left of it there, shape (width, BLOCK)."""
    levels: tuple[_Level, ...]


@lru_cache(maxsize=8)
def _matrices(numerator: tuple[float, ...], upper_poles: tuple[complex, ...]) -> _Matrices:
    """Return a filter's matrices; made once, since that takes as long as two seconds of sound do."""
    poles = np.array(upper_poles)
    residues = _residues(np.array(numerator), poles)
    ages = np.arange(BLOCK)
    modes = poles[:, None] ** ages
    response = 2 * (residues[:, None] * modes).real.sum(axis=0)
    impulse = np.concatenate([[numerator[0]], response[:-1]])
    reach = ages[None, :] - ages[:, None]
    direct = np.where(reach >= 0, impulse[np.abs(reach)], 0.0)
    fading = 2 * residues[:, None] * modes
    gathering = modes[:, ::-1].T
    spans = accumulate((BLOCK, *_GROUPS[:-1]), mul)
    kinds = (np.float32, np.float64, np.float64)
    return _Matrices(
        direct=direct.astype(np.float32),
        gathering=np.concatenate([gathering.real, gathering.imag], axis=1).astype(np.float32),
        fading=np.concatenate([fading.real, -fading.imag]).astype(np.float32),
        levels=tuple(
            _Level(poles**span, length, kind)
            for span, length, kind in zip(spans, _GROUPS, kinds, strict=True)
        ),
    )


def _as_matrix(factors: Complexes) -> Doubles:
    """Return the matrix that multiplies a row of real parts and imaginary parts by factors."""
    real, imag = np.diag(factors.real), np.diag(factors.imag)
    return np.block([[real, imag], [-imag, real]])


def _residues(numerator: Doubles, poles: Complexes) -> Complexes:
    """Return c with H(z) = b0 + sum of c / (z - p) over all poles; one of each pair."""
    every = np.concatenate([poles, poles.conj()])
    rest = numerator - numerator[0] * np.poly(every).real
    slopes = [np.prod([p - q for q in every if q != p]) for p in poles]
    return np.asarray(np.polyval(rest[1:], poles) / np.array(slopes), dtype=np.complex128)
