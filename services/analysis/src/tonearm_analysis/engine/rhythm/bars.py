"""What speaks for a downbeat at each beat of a grid.

The networks' downbeat probability, onset strengths at the beat, before and after it (long notes
start on strong beats), and how much chord, root, bass, pitch classes and level change there.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

from tonearm_analysis.engine.harmony.cqt import FRAME_RATE_HZ as HARMONY_RATE_HZ
from tonearm_analysis.engine.harmony.listening import HeardHarmony
from tonearm_analysis.engine.rhythm import pulse
from tonearm_analysis.engine.rhythm.bands import FRAME_RATE_HZ
from tonearm_analysis.engine.rhythm.listening import Heard

Doubles = npt.NDArray[np.float64]

# Sums over harmony begin at a whole number of these, about ten minutes: few of hours at a time.
SPAN_FRAMES: Final = 6_463
# Harmony on either side of a beat is compared over so many beats at most.
REACH_BEATS: Final = 4
DISTANCES_BEATS: Final = (-4, -2, -1, 0, 1, 2, 4)
# Spans of harmony, beats, that are compared before and after a beat.
CHANGES: Final = {
    "pitch": (1, 2, 4),
    "root": (1, 2),
    "chord_bass": (1, 2, 4),
    "chords": (1, 2, 4),
    "bass": (1, 2),
    "treble": (1, 2),
}
# What may be louder after a beat than before, and what is added to either.
VOLUMES: Final = {"bass": 0.1, "treble": 0.1, "level": 0.05}
# Parts of the sound around a beat, in beats from it, without the onsets of the beats themselves.
AROUND: Final = ((0.2, 0.85), (0.2, 1.85), (-0.8, -0.15))


def _span(when: Doubles, reach_s: float, frames: int) -> tuple[int, int]:
    """First and last (exclusive) frame of harmony that the beats' surroundings need."""
    first = int(max(float(when.min()) - reach_s, 0.0) * HARMONY_RATE_HZ)
    last = int((float(when.max()) + reach_s) * HARMONY_RATE_HZ) + 3
    return min(first // SPAN_FRAMES * SPAN_FRAMES, frames - 1), min(max(last, 1), frames)


def _running(values: npt.NDArray[np.floating]) -> Doubles:
    total = np.cumsum(values.reshape(len(values), -1), axis=0, dtype=np.float64)
    return np.concatenate([np.zeros((1, total.shape[1])), total])


def _up_to(running: Doubles, times_s: Doubles) -> Doubles:
    """Sums up to each time, the frame that it falls into counted by the part before it."""
    last = len(running) - 1
    place = np.clip(times_s * HARMONY_RATE_HZ + 0.5, 0, last)
    whole = np.minimum(place.astype(int), last - 1)
    part = (place - whole)[:, None]
    return np.asarray(running[whole] * (1 - part) + running[whole + 1] * part, np.float64)


def _change(before: Doubles, after: Doubles) -> Doubles:
    """1 less the cosine of the angle between each pair of rows."""
    size = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
    return np.asarray(1.0 - (before * after).sum(axis=1) / (size + 1e-9), np.float64)


def evidence(heard: Heard, harmonic: HeardHarmony, moves_s: Sequence[Doubles]) -> list[Doubles]:
    """Of each move of a grid the evidence (beats, measures).

    Each measure is in deviations from its mean over the move.  moves_s: at least two beats each,
    from the first frame; all along one stretch, so that sums over it serve all.
    """
    gap_s = float(np.median(np.diff(moves_s[0])))
    times_s = np.concatenate(moves_s)
    columns = [
        *_at_beats(heard, times_s),
        *_around_beats(heard, times_s, gap_s),
        *_harmony(harmonic, times_s + heard.start_s, gap_s),
    ]
    ends = np.cumsum([len(move) for move in moves_s])
    out = []
    for table in np.split(np.stack(columns, axis=1), ends[:-1]):
        centred = table - table.mean(axis=0)
        out.append(np.asarray(centred / (centred.std(axis=0) + 0.05), np.float64))
    return out


def _at_beats(heard: Heard, times_s: Doubles) -> list[Doubles]:
    """What the networks and the onsets say of the beats themselves."""
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
    return columns


def _around_beats(heard: Heard, times_s: Doubles, gap_s: float) -> list[Doubles]:
    """How much happens between a beat and its neighbours."""
    columns = []
    for curve in (heard.onsets[:, 0], heard.activations.sum(axis=1)):
        running = np.concatenate([[0.0], np.cumsum(curve, dtype=np.float64)])
        for start, stop in AROUND:
            first, last = (
                np.clip(np.round((times_s + part * gap_s) * FRAME_RATE_HZ), 0, len(curve))
                .astype(int) for part in (start, stop)
            )  # fmt: skip
            mean = (running[last] - running[first]) / np.maximum(last - first, 1)
            columns.append(np.log(mean / (float(curve.mean()) + 1e-9) + 0.05))
    return columns


def _harmony(harmonic: HeardHarmony, when_s: Doubles, gap_s: float) -> list[Doubles]:
    """How harmony and level differ before and after each beat."""
    first, last = _span(when_s, REACH_BEATS * gap_s, len(harmonic.level))
    when = when_s - first / HARMONY_RATE_HZ
    inside = {
        name: getattr(harmonic, name)[first:last].reshape(last - first, -1)
        for name in (*CHANGES, *VOLUMES)
    }
    volumes = [inside[name].sum(axis=1, dtype=np.float64)[:, None] for name in VOLUMES]
    changes = [inside[name] for name in CHANGES]
    # All side by side: one running sum, looked at once at each distance from the beats.
    running = _running(np.concatenate([*changes, *volumes], axis=1))
    at_s = {beats: when + beats * gap_s for beats in DISTANCES_BEATS}
    sums = {beats: _up_to(running, times_s) for beats, times_s in at_s.items()}

    @cache
    def means(start: int, stop: int) -> Doubles:
        width = np.maximum((at_s[stop] - at_s[start]) * HARMONY_RATE_HZ, 1e-6)[:, None]
        return np.asarray((sums[stop] - sums[start]) / width, np.float64)

    out, first = [], 0
    for (name, spans_beats), values in zip(CHANGES.items(), changes, strict=True):
        own = slice(first, first := first + values.shape[1])
        out += [_change(means(-beats, 0)[:, own], means(0, beats)[:, own]) for beats in spans_beats]
        if name == "chords":  # one that stays over the next beat began here
            out.append(_change(means(0, 1)[:, own], means(1, 2)[:, own]))
    for column, floor in enumerate(VOLUMES.values(), first):
        before, after = means(-1, 0)[:, column], means(0, 1)[:, column]
        out.append(np.log((after + floor) / (before + floor)))
    return out
