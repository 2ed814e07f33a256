"""Music that kept its tempo while the search for beats slipped to the off-beat and back.

Each beat may differ a little in length from the one before, so that a few of them are enough to
move a path by half a beat where the off-beats are louder for a while.  Where one steady pulse of
half beats runs through nearly all of a path and yet the path changes from every second of them to
the others, those between were never played so: the path is laid anew along that pulse.  Which half
is the beat is for the places to say (placing.py), once for the whole stretch.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]

SPAN_BEATS: Final = 8
# A path that gains or loses less within the span, in beats, has not slipped.
LEAST_SLIP_BEATS: Final = 0.3
# How far the true tempo may be from the path's own, as a share of it.
TEMPO_SLACK: Final = 0.015
TRIES_PER_CYCLE: Final = 4
# Length of the mean of the beats' phases in the pulse, 0 to 1: how well it runs through them.
LEAST_AGREEMENT: Final = 0.6
# So many on the same half, and the few others are ornaments.
LARGEST_SHARE: Final = 0.95
NEAR: Final = 0.2  # of the pulse's period


class Pulse(NamedTuple):
    """A steady pulse: when it starts, and its period; seconds."""

    start_s: float
    period_s: float


def without_slips(times_s: Doubles, bpm: float) -> Doubles:
    """The beats (n,), laid along their steady pulse if they slipped from it; else as they are.

    Fewer than sixteen beats, and those without one tempo, stay as they are.
    """
    if len(times_s) < 2 * SPAN_BEATS:
        return times_s
    beat_s = 60.0 / bpm
    gained = (times_s[SPAN_BEATS:] - times_s[:-SPAN_BEATS]) / beat_s - SPAN_BEATS
    if np.abs(gained).max() < LEAST_SLIP_BEATS:
        return times_s
    pulse = _steady_pulse(times_s, beat_s / 2)
    if pulse is None:
        return times_s
    numbers = np.round((times_s - pulse.start_s) / pulse.period_s).astype(np.int64)
    odd = float((numbers % 2).mean())
    if max(odd, 1 - odd) >= LARGEST_SHARE:
        return times_s
    first = int(numbers[0])
    first += (first % 2) != (odd > 0.5)
    steady = pulse.start_s + np.arange(first, int(numbers[-1]) + 1, 2) * pulse.period_s
    return np.asarray(steady[steady >= 0.0], np.float64)


def _steady_pulse(times_s: Doubles, period_s: float) -> Pulse | None:
    """The pulse near that period that runs through most of the times; None where none does."""
    cycles = 2 * TEMPO_SLACK * (times_s[-1] - times_s[0]) / period_s
    tries = max(int(cycles * TRIES_PER_CYCLE), 2 * TRIES_PER_CYCLE)
    periods = period_s * np.linspace(1 - TEMPO_SLACK, 1 + TEMPO_SLACK, tries)
    phases = np.exp(2j * np.pi * times_s[None] / periods[:, None]).mean(axis=1)
    best = int(np.abs(phases).argmax())
    if abs(phases[best]) < LEAST_AGREEMENT:
        return None
    period = float(periods[best])
    pulse = Pulse(float(np.angle(phases[best])) / (2 * np.pi) * period, period)
    for _ in range(2):  # the best of those tried, then a line through the times near it
        pulse = _through(times_s, pulse)
    return pulse


def _through(times_s: Doubles, pulse: Pulse) -> Pulse:
    """The line through the times that are near the pulse, by least squares."""
    number = np.round((times_s - pulse.start_s) / pulse.period_s)
    away = np.abs(times_s - pulse.start_s - number * pulse.period_s)
    near = away < NEAR * pulse.period_s
    number, times = number[near], times_s[near]
    middle, centre = number.mean(), times.mean()
    spread = float(np.square(number - middle).sum())
    period = float(((number - middle) * (times - centre)).sum()) / spread
    return Pulse(float(centre - middle * period), period)
