"""Fit the weights of readings, downbeats, meter and confidence.

    python -m tonearm_eval.fit.rhythm CACHE [--hold-out PREFIX]

The clips of cached folders whose name starts with PREFIX are only scored, never fitted on.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tonearm_analysis.engine import harmony, rhythm
from tonearm_analysis.engine.rhythm import bars, readings
from tonearm_analysis.engine.rhythm.estimate import pulse_measures
from tonearm_eval.clips import Clip
from tonearm_eval.fit.cache import HeardClip, heard_clips
from tonearm_eval.fit.files import write_numbers
from tonearm_eval.fit.logistic import choice, logistic
from tonearm_eval.generator import beatless

Doubles = npt.NDArray[np.float64]

SAME_TEMPO: Final = 0.04
READINGS_L2, DOWNBEATS_L2, METER_L2, PULSE_L2 = 10.0, 2.0, 0.1, 1.0
# Styles are dealt into so many hands; chances are checked on the hand that was left out.
STYLE_HANDS: Final = 5
BEATLESS_CLIPS: Final = 120
# Doubtful beats are answered with a low confidence, not with none.
NONE_BELOW: Final = 0.1


@dataclass(frozen=True)
class Example:
    """A clip's grids and measures; `right` is the grid at the true tempo, if there is one."""

    clip: Clip
    grids: list[readings.Grid]
    values: list[dict[str, float]]
    right: int | None
    evidence: Doubles
    is_down: Doubles
    pulse: Doubles


def example(item: HeardClip) -> Example | None:
    """All that the fits need of one clip; None where no beats were found."""
    found = readings.grids(item.heard)
    if not found or item.clip.tempo_bpm is None:
        return None
    values = readings.measures(item.heard, item.harmonic, found)
    truth = item.clip.tempo_bpm
    near = [k for k, grid in enumerate(found) if abs(grid.bpm - truth) <= SAME_TEMPO * truth]
    right = near[0] if near else None
    grid = found[right if right is not None else 0]
    pulse = pulse_measures(item.heard, grid, values[right if right is not None else 0])
    if item.clip.meter == "6/8":
        grid = readings.on_strong_thirds(item.heard, grid)
    table = bars.evidence(item.heard, item.harmonic, grid.times_s)
    down = _downbeat_labels(grid.times_s + item.heard.start_s, item.clip)
    return Example(item.clip, found, values, right, table, down, pulse)


def _downbeat_labels(times_s: Doubles, clip: Clip) -> Doubles:
    """1 on downbeats, 0 on other beats, NaN where no true beat is near."""
    true = np.array([t for t, _ in clip.beats])
    numbers = np.array([n for _, n in clip.beats])
    nearest = np.abs(true[None] - times_s[:, None]).argmin(axis=1)
    close = np.abs(true[nearest] - times_s) < 0.09
    return np.where(close, (numbers[nearest] == 1).astype(float), np.nan)


def fit_readings(examples: list[Example]) -> dict[str, Any]:
    """Weights of the soft-max over readings."""
    names = list(examples[0].values[0])
    rows = np.array([[row[n] for n in names] for e in examples for row in e.values])
    mean, deviation = rows.mean(axis=0), rows.std(axis=0) + 1e-6
    tables, right = [], []
    for e in examples:
        table = (np.array([[row[n] for n in names] for row in e.values]) - mean) / deviation
        tables.append(np.column_stack([table, np.ones(len(table))]))
        truth = e.clip.tempo_bpm or 0.0
        hit = np.array([abs(grid.bpm - truth) <= SAME_TEMPO * truth for grid in e.grids])
        compound = e.clip.meter == "6/8"
        right.append(np.stack([hit & (not compound), hit & compound]))
    w = choice(tables, right, l2=READINGS_L2)
    return {
        "names": names,
        "mean": mean,
        "deviation": deviation,
        "simple": w[0, :-1],
        "simple_bias": w[0, -1],
        "compound": w[1, :-1],
        "compound_bias": w[1, -1],
        "temperature": 1.0,
    }


def left_out_fits(examples: list[Example]) -> list[tuple[dict[str, Any], list[Example]]]:
    """Readings fitted without some styles, each beside the examples of those styles."""
    styles = sorted({e.clip.style for e in examples})
    hand = {style: k % STYLE_HANDS for k, style in enumerate(styles)}
    out = []
    for number in range(min(STYLE_HANDS, len(styles))):
        kept = [e for e in examples if hand[e.clip.style] != number]
        left = [e for e in examples if hand[e.clip.style] == number]
        out.append((fit_readings(kept or left), left))
    return out


def fit_temperature(fits: list[tuple[dict[str, Any], list[Example]]]) -> float:
    """The soft-max temperature that makes chances come true on styles outside the fit."""
    best, best_loss = 1.0, np.inf
    for temperature in np.geomspace(0.7, 3.0, 24):
        loss = 0.0
        for numbers, left in fits:
            for e in left:
                chance = reading_chances(numbers | {"temperature": temperature}, e)
                share = chance[:, e.right].sum() if e.right is not None else 0.0
                loss -= float(np.log(share + 1e-3))
        if loss < best_loss:
            best, best_loss = float(temperature), loss
    return best


def report_left_out(fits: list[tuple[dict[str, Any], list[Example]]], temperature: float) -> None:
    """Print how often the first reading is right in styles outside the fit, by its chance."""
    rows = []
    for numbers, left in fits:
        for e in left:
            chance = reading_chances(numbers | {"temperature": temperature}, e).sum(axis=0)
            first, truth = int(chance.argmax()), e.clip.tempo_bpm or 0.0
            rows.append((chance[first], abs(e.grids[first].bpm - truth) <= SAME_TEMPO * truth))
    stated, right = np.array(rows, float).T
    print(f"styles left out: tempo {right.mean():.3f}, stated {stated.mean():.3f}, n = {len(rows)}")
    for low, high in ((0.0, 0.5), (0.5, 0.65), (0.65, 0.8), (0.8, 0.95), (0.95, 1.01)):
        inside = (stated >= low) & (stated < high)
        if inside.any():
            print(f"  stated {stated[inside].mean():.2f}: {right[inside].mean():.2f} right, "
                  f"n = {inside.sum()}")  # fmt: skip


def reading_chances(numbers: dict[str, Any], e: Example) -> Doubles:
    """The chances that the numbers give the readings of an example, shape (2, grids)."""
    table = np.array([[row[n] for n in numbers["names"]] for row in e.values])
    table = (table - numbers["mean"]) / numbers["deviation"]
    scores = np.stack([
        table @ numbers[kind] + numbers[f"{kind}_bias"] for kind in ("simple", "compound")
    ]) / numbers["temperature"]  # fmt: skip
    chance = np.exp(scores - scores.max())
    return np.asarray(chance / chance.sum(), np.float64)


def fit_downbeats(examples: list[Example]) -> dict[str, Any]:
    """Logistic weights of a downbeat; every clip counts the same."""
    used = [e for e in examples if e.right is not None]
    x = np.concatenate([bars.in_context(e.evidence) for e in used])
    y = np.concatenate([e.is_down for e in used])
    weight = np.concatenate([np.full(len(e.is_down), 30 / len(e.is_down)) for e in used])
    known = ~np.isnan(y)
    w, bias = logistic(x[known], y[known], weight[known], l2=DOWNBEATS_L2)
    return {"weights": w, "bias": bias}


def meter_terms(e: Example, downbeats: dict[str, Any]) -> tuple[bars.Count, bars.Count, Doubles]:
    """Counts in three and in four and what the choice between them rests on."""
    logits = bars.downbeat_logits(e.evidence, downbeats)
    three, four = bars.count_bars(logits, 3), bars.count_bars(logits, 4)
    grid = e.grids[e.right or 0]
    return three, four, np.array([three.score - four.score, grid.three_over_four])


def fit_meter(examples: list[Example], downbeats: dict[str, Any]) -> dict[str, Any]:
    """Log odds of three beats to the bar over four."""
    used = [e for e in examples if e.right is not None and e.clip.meter in ("3/4", "4/4")]
    x = np.stack([meter_terms(e, downbeats)[2] for e in used])
    y = np.array([float(e.clip.meter == "3/4") for e in used])
    w, bias = logistic(x, y, np.ones(len(y)), l2=METER_L2)
    return {"weights": w, "bias": bias}


def beatless_measures() -> Doubles:
    """The pulse measures of sounds without a beat."""
    rng, rows = np.random.default_rng(11), []
    for index in range(BEATLESS_CLIPS):
        kind = beatless.KINDS[index % len(beatless.KINDS)]
        sound = beatless.sound(rng, kind, float(rng.uniform(12, 30)))
        heard, harmonic = rhythm.hear(sound), harmony.hear(sound)
        found = readings.grids(heard)
        if not found:
            continue
        values = readings.measures(heard, harmonic, found)
        rows += [pulse_measures(heard, g, v) for g, v in zip(found, values, strict=True)][:3]
    return np.stack(rows)


def fit_pulse(examples: list[Example]) -> dict[str, Any]:
    """Chance that there is a beat at all."""
    music, other = np.stack([e.pulse for e in examples]), beatless_measures()
    x = np.concatenate([music, other])
    y = np.concatenate([np.ones(len(music)), np.zeros(len(other))])
    weight = np.concatenate([np.ones(len(music)), np.full(len(other), len(music) / len(other))])
    w, bias = logistic(x, y, weight, l2=PULSE_L2)
    chance = 1 / (1 + np.exp(-(x @ w + bias)))
    missed, invented = (chance[y == 1] < NONE_BELOW).mean(), (chance[y == 0] >= NONE_BELOW).mean()
    print(f"pulse: {missed:.3f} of music missed, {invented:.3f} of beatless sound kept")
    return {"weights": w, "bias": bias, "none_below": NONE_BELOW}


def report(name: str, examples: list[Example], numbers: dict[str, Any]) -> None:
    """Print how the numbers do on some examples."""
    tempo, compound, three = [], [], []
    for e in examples:
        chance = reading_chances(numbers["readings"], e)
        kind, index = np.unravel_index(int(chance.argmax()), chance.shape)
        truth = e.clip.tempo_bpm or 0.0
        tempo.append(abs(e.grids[index].bpm - truth) <= SAME_TEMPO * truth)
        compound.append((kind == 1) == (e.clip.meter == "6/8"))
        if e.clip.meter != "6/8" and e.right is not None:
            terms = meter_terms(e, numbers["downbeats"])[2]
            odds = terms @ numbers["meter"]["weights"] + numbers["meter"]["bias"]
            three.append((odds > 0) == (e.clip.meter == "3/4"))
    print(f"{name}: tempo {np.mean(tempo):.3f}, compound {np.mean(compound):.3f}, "
          f"3/4 against 4/4 {np.mean(three):.3f}, n = {len(examples)}")  # fmt: skip


def main() -> None:
    """Fit, report and write the weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cache", type=Path)
    parser.add_argument("--hold-out", default="none", help="prefix of folders never fitted on")
    parser.add_argument("--training", default="clips of the generator's development split")
    args = parser.parse_args()
    fitted: list[Example] = []
    held: list[Example] = []
    for item in heard_clips(args.cache):
        one = example(item)
        if one is not None:
            (held if item.clip.path.parts[-3].startswith(args.hold_out) else fitted).append(one)
    crossed = left_out_fits(fitted)
    numbers = {"readings": fit_readings(fitted), "downbeats": fit_downbeats(fitted)}
    numbers["readings"]["temperature"] = temperature = fit_temperature(crossed)
    report_left_out(crossed, temperature)
    numbers["meter"] = fit_meter(fitted, numbers["downbeats"])
    numbers["confidence"] = {"pulse": fit_pulse(fitted)}
    report("fitted", fitted, numbers)
    if held:
        report("held out", held, numbers)
    print("temperature", temperature)
    write_numbers(
        "rhythm_weights", numbers,
        task="chances of tempo readings, downbeats, meter and of a beat at all",
        training=f"{len(fitted)} {args.training}",
    )  # fmt: skip


if __name__ == "__main__":
    main()
