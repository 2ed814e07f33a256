"""The story of a rhythm estimate: hear, find beats, name the tempo and the meter, say how sure."""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from tonearm_analysis.engine.rhythm import decoder, periodicity, pulse
from tonearm_analysis.engine.rhythm.bands import FRAME_RATE_HZ
from tonearm_analysis.engine.rhythm.listening import Heard, Listener
from tonearm_analysis.engine.rhythm.model import RhythmEstimate, TempoCandidate, TempoPoint

Doubles = npt.NDArray[np.float64]

TEMPO_LOW_BPM, TEMPO_HIGH_BPM = 55.0, 215.0
BLOCK_SAMPLES: Final = 1 << 18
# Doubling the reported tempo, a logistic fit on recordings with tapped tempo: log2(bpm / 110),
# then logs of activation and onset strength between the beats.
DOUBLE_WEIGHTS: Final = np.array([-4.701, 0.703, 0.748, 2.031])
DOUBLE_BIAS: Final = 0.870
DOUBLE_ABOVE: Final = 0.6
DOUBLE_BELOW_BPM: Final = 125.0
COMPOUND_ABOVE: Final = 0.3
# Mean band level of the loudest frame below which nothing is heard.
LEVEL_FLOOR: Final = 1e-4


def hear(mono_22k: npt.NDArray[np.floating], *, profile: Literal["full", "fast"] = "full") -> Heard:
    """Everything about rhythm that needs the sound; `estimate_heard` needs only this.

    mono_22k: mono sound at 22 050 Hz, shape (n,), about -1 to 1.
    """
    listener = Listener(profile)
    for start in range(0, len(mono_22k), BLOCK_SAMPLES):
        listener.push(mono_22k[start : start + BLOCK_SAMPLES])
    return listener.finish()


def estimate(
    mono_22k: npt.NDArray[np.floating],
    *,
    tempo_range_bpm: tuple[float, float] | None = None,
    profile: Literal["full", "fast"] = "full",
) -> RhythmEstimate:
    """Tempo, beats, bars and meter of mono sound at 22 050 Hz.

    tempo_range_bpm: where the caller prefers the tempo; the readings are ranked again within it.
    Silence, and sound without a beat, give `tempo_bpm` None and a confidence near 0.
    """
    return estimate_heard(hear(mono_22k, profile=profile), tempo_range_bpm=tempo_range_bpm)


def estimate_heard(
    heard: Heard, *, tempo_range_bpm: tuple[float, float] | None = None
) -> RhythmEstimate:
    """The estimate from what was heard, without the sound."""
    onset_rate = pulse.onset_count(heard.onsets[:, 0]) / max(heard.duration_s, 1e-9)
    activation = heard.activations.sum(axis=1)
    if len(activation) < 4 * FRAME_RATE_HZ or float(heard.levels.max(initial=0.0)) < LEVEL_FLOOR:
        return RhythmEstimate(None, 0.0, onset_rate_hz=onset_rate)
    lengths = decoder.lengths_between(TEMPO_LOW_BPM, TEMPO_HIGH_BPM)
    scores = periodicity.length_scores(activation, lengths)
    path = decoder.decode(heard.activations, lengths, scores)
    times = pulse.beat_times_s(path.frames, activation)
    if len(times) < 4:
        return RhythmEstimate(None, 0.0, onset_rate_hz=onset_rate)
    bpm = pulse.tempo_bpm(times)
    double = double_probability(times, bpm, activation, heard.onsets[:, 0])
    meter = f"{path.bar_beats}/4"
    numbers = path.numbers
    if bpm < DOUBLE_BELOW_BPM and double > DOUBLE_ABOVE:
        tempo = 2 * bpm
    else:
        tempo = bpm
        if compound_strength(times, heard.onsets[:, 0]) > COMPOUND_ABOVE:
            meter, numbers = "6/8", (numbers - 1) % 2 + 1
    other = TempoCandidate(round(3 * bpm - tempo, 3), 0.2, "half" if tempo > bpm else "double")
    return RhythmEstimate(
        tempo_bpm=round(tempo, 3),
        confidence=0.75,
        candidates=(TempoCandidate(round(tempo, 3), 0.75, "same"), other),
        beats_s=tuple(round(float(t), 4) for t in times),
        beat_positions=tuple(int(n) for n in numbers),
        downbeats_s=tuple(round(float(t), 4) for t in times[numbers == 1]),
        beat_confidence=0.8,
        meter=meter,
        meter_confidence=0.8,
        tempo_curve=tempo_curve(times),
        stability=stability(times),
        onset_rate_hz=round(onset_rate, 4),
    )


def double_probability(
    times_s: Doubles,
    bpm: float,
    activation: npt.NDArray[np.floating],
    flux: npt.NDArray[np.floating],
) -> float:
    """Chance that the felt tempo is twice the tracked one."""
    on = pulse.strength_at(activation, times_s, 0.0) + 1e-9
    loud = pulse.strength_at(flux, times_s, 0.0) + 1e-9
    measures = np.array(
        [
            np.log2(bpm / 110.0),
            np.log(pulse.strength_at(activation, times_s, 0.5) / on + 0.01),
            np.log(pulse.strength_at(flux, times_s, 0.5) / loud + 0.01),
            np.log(pulse.strength_at(flux, times_s, 0.25, 0.75) / loud + 0.01),
        ]
    )
    return float(1.0 / (1.0 + np.exp(-(DOUBLE_WEIGHTS @ measures + DOUBLE_BIAS))))


def compound_strength(times_s: Doubles, flux: npt.NDArray[np.floating]) -> float:
    """How much stronger both thirds of the beat are than its half, as a log ratio."""
    loud = pulse.strength_at(flux, times_s, 0.0) + 1e-9
    first, second, half = (
        np.log(pulse.strength_at(flux, times_s, part) / loud + 0.01) for part in (1 / 3, 2 / 3, 0.5)
    )
    return float(min(first, second) - half)


def tempo_curve(times_s: Doubles, *, step_s: float = 2.0) -> tuple[TempoPoint, ...]:
    """Median tempo of eight-beat spans around a moment every two seconds."""
    span = min(pulse.TEMPO_SPAN_BEATS, max(1, len(times_s) // 3))
    middle = (times_s[span:] + times_s[:-span]) / 2
    bpm = 60.0 * span / (times_s[span:] - times_s[:-span])
    if len(middle) < 2:
        return ()
    when = np.arange(middle[0], middle[-1] + 1e-9, step_s)
    return tuple(
        TempoPoint(round(float(t), 3), round(float(v), 3))
        for t, v in zip(when, np.interp(when, middle, bpm), strict=True)
    )


def stability(times_s: Doubles) -> float:
    """1 where every eight-beat span has the same tempo, 0 where they differ by a fifth."""
    span = min(pulse.TEMPO_SPAN_BEATS, max(1, len(times_s) // 3))
    gaps = (times_s[span:] - times_s[:-span]) / span
    if len(gaps) < 2:
        return 0.0
    spread = float(np.percentile(gaps, 90) - np.percentile(gaps, 10)) / float(np.median(gaps))
    return round(float(np.clip(1.0 - 5.0 * spread, 0.0, 1.0)), 4)
