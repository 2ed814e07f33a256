"""Which beats are downbeats: evidence at each beat, then the count that explains it best.

Evidence: the networks' downbeat probability, onset strengths, and how much chord, root, bass and
pitch classes change at the beat.  A logistic fit over five beats turns it into one number a beat.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from tonearm_analysis.engine.harmony.cqt import FRAME_RATE_HZ as HARMONY_RATE_HZ
from tonearm_analysis.engine.harmony.listening import HeardHarmony
from tonearm_analysis.engine.models import read_numbers
from tonearm_analysis.engine.rhythm import pulse
from tonearm_analysis.engine.rhythm.listening import Heard

Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

CONTEXT_BEATS: Final = 2
# What a break in the count costs, nats: a bar too long or too short now and then is music.
BREAK_NATS: Final = 14.0
# Sums over harmony begin at a whole number of these, about ten minutes: few of hours at a time.
SPAN_FRAMES: Final = 6_463


class Count(NamedTuple):
    """Numbers of the beats in bars of `bar_beats`, and the log-likelihood per beat."""

    bar_beats: int
    numbers: Ints
    score: float


def _span(when: Doubles, reach_s: float, frames: int) -> tuple[int, int]:
    """First and last (exclusive) frame of harmony that the beats' surroundings need."""
    first = int(max(float(when.min()) - reach_s, 0.0) * HARMONY_RATE_HZ)
    last = int((float(when.max()) + reach_s) * HARMONY_RATE_HZ) + 3
    return min(first // SPAN_FRAMES * SPAN_FRAMES, frames - 1), min(max(last, 1), frames)


def _running(values: npt.NDArray[np.floating]) -> Doubles:
    total = np.cumsum(values.reshape(len(values), -1), axis=0, dtype=np.float64)
    return np.concatenate([np.zeros((1, total.shape[1])), total])


def _mean_between(running: Doubles, start_s: Doubles, stop_s: Doubles) -> Doubles:
    """Mean of a harmonic feature between two times, frames counted by the part inside."""
    last = len(running) - 1

    def up_to(times_s: Doubles) -> Doubles:
        place = np.clip(times_s * HARMONY_RATE_HZ + 0.5, 0, last)
        whole = np.minimum(place.astype(int), last - 1)
        part = (place - whole)[:, None]
        return np.asarray(running[whole] * (1 - part) + running[whole + 1] * part, np.float64)

    width = np.maximum((stop_s - start_s) * HARMONY_RATE_HZ, 1e-6)[:, None]
    return np.asarray((up_to(stop_s) - up_to(start_s)) / width, np.float64)


def _change(before: Doubles, after: Doubles) -> Doubles:
    """1 less the cosine of the angle between each pair of rows."""
    size = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
    return np.asarray(1.0 - (before * after).sum(axis=1) / (size + 1e-9), np.float64)


def evidence(heard: Heard, harmonic: HeardHarmony, times_s: Doubles) -> Doubles:
    """Evidence (beats, measures), each measure in deviations from its mean over the recording."""
    beat = pulse.strongest_near(heard.activations[:, 0], times_s, reach=2)
    down = pulse.strongest_near(heard.activations[:, 1], times_s, reach=2)
    columns = [
        np.log(down + 0.01) - np.log(beat + 0.01),
        np.log(down + 0.01),
        np.log(beat + down + 0.02),
    ]
    for curve in heard.onsets.T:
        strength = pulse.strongest_near(curve, times_s)
        columns.append(np.log(strength / (strength.mean() + 1e-9) + 0.05))
    when, gap = times_s + heard.start_s, float(np.median(np.diff(times_s)))
    first, last = _span(when, 2 * gap, len(harmonic.level))
    when = when - first / HARMONY_RATE_HZ
    for values in (
        harmonic.pitch,
        harmonic.root,
        harmonic.chord_bass,
        harmonic.chords,
        harmonic.bass,
        harmonic.treble,
    ):
        running = _running(values[first:last])
        for beats in (1, 2):
            before = _mean_between(running, when - beats * gap, when)
            columns.append(_change(before, _mean_between(running, when, when + beats * gap)))
    for values in (harmonic.bass, harmonic.treble):
        running = _running(values[first:last].sum(axis=1))
        after, before = (_mean_between(running, when + k * gap, when + (k + 1) * gap)[:, 0]
                         for k in (0, -1))  # fmt: skip
        columns.append(np.log((after + 0.1) / (before + 0.1)))
    table = np.stack(columns, axis=1)
    table = table - table.mean(axis=0)
    return np.asarray(table / (table.std(axis=0) + 0.05), np.float64)


def in_context(table: Doubles) -> Doubles:
    """Each beat's evidence beside that of its neighbours, two on either side."""
    n = len(table)
    padded = np.pad(table, ((CONTEXT_BEATS, CONTEXT_BEATS), (0, 0)))
    return np.concatenate([padded[k : k + n] for k in range(2 * CONTEXT_BEATS + 1)], axis=1)


def downbeat_logits(table: Doubles, weights: dict[str, Any]) -> Doubles:
    """Log odds that each beat is a downbeat."""
    return np.asarray(
        in_context(table) @ np.array(weights["weights"]) + weights["bias"], np.float64
    )


def count_bars(logits: Doubles, bar_beats: int) -> Count:
    """The best numbering in bars of that many beats; a break in the count has its price."""
    yes, no = -np.log1p(np.exp(-logits)), -np.log1p(np.exp(logits))
    fits = np.repeat(no[:, None], bar_beats, axis=1)
    fits[:, 0] = yes
    value, back = fits[0].copy(), np.zeros(fits.shape, np.int64)
    onward = (np.arange(bar_beats) - 1) % bar_beats
    for beat in range(1, len(logits)):
        step, best = value[onward], int(value.argmax())
        broken = value[best] - BREAK_NATS
        back[beat] = np.where(step >= broken, onward, best)
        value = np.maximum(step, broken) + fits[beat]
    number = int(value.argmax())
    numbers = [number]
    for beat in range(len(logits) - 1, 0, -1):
        number = int(back[beat, number])
        numbers.append(number)
    return Count(bar_beats, np.array(numbers[::-1]) + 1, float(value.max()) / len(logits))


def three_over_four_odds(three: Count, four: Count, decoded: float) -> float:
    """Log odds of bars of three over bars of four."""
    weights: dict[str, Any] = read_numbers("rhythm_weights")["meter"]
    terms = np.array([three.score - four.score, decoded])
    return float(np.array(weights["weights"]) @ terms + weights["bias"])
