"""Fit the weights of readings, places and confidence.

    python -m tonearm_eval.fit.rhythm CACHE [--hold-out PREFIX]

The clips of cached folders whose name starts with PREFIX are only scored, never fitted on.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tonearm_analysis.engine import harmony, rhythm
from tonearm_analysis.engine.rhythm import placing, presence, readings
from tonearm_analysis.engine.rhythm.estimate import METERS
from tonearm_analysis.engine.rhythm.section import Section
from tonearm_eval.fit.alternatives import choice
from tonearm_eval.fit.cache import PROFILES, heard_clips
from tonearm_eval.fit.example import Example, example
from tonearm_eval.fit.files import write_numbers
from tonearm_eval.fit.logistic import logistic
from tonearm_eval.fit.readings import (
    fit_readings,
    fit_temperature,
    left_out_fits,
    report_left_out,
)
from tonearm_eval.generator import beatless

Doubles = npt.NDArray[np.float64]

PLACES_L2, PRESENCE_L2 = 1.0, 10.0
BEATLESS_SOUNDS: Final = 400
# Doubtful beats are answered with a low confidence, not with none.
NONE_BELOW: Final = 0.1


def fit_places(examples: list[Example]) -> dict[str, Doubles]:
    """Weights of the soft-max over places, for either kind of beat."""
    out = {}
    for compound, kind in enumerate(placing.KINDS):
        used = [(e.terms, e.place) for e in examples
                if e.place is not None and (e.clip.meter == "6/8") == bool(compound)]  # fmt: skip
        out[kind] = choice([t for t, _ in used], [p for _, p in used], l2=PLACES_L2)
    return out


def beatless_measures(numbers: dict[str, Any]) -> list[dict[str, float]]:
    """What tells of a beat, of sounds without one, heard by each profile's ear.

    numbers: of the readings, which say along which grid it is looked for.
    """
    rng, rows = np.random.default_rng(11), []
    for index in range(BEATLESS_SOUNDS):
        kind = beatless.KINDS[index % len(beatless.KINDS)]
        sound = beatless.sound(rng, kind, float(rng.uniform(12, 40)))
        harmonic = harmony.hear(sound)
        for profile in PROFILES:
            heard = rhythm.hear(sound, profile=profile)
            found = readings.grids(heard)
            if found:
                values = readings.measures(Section(heard, harmonic), found)
                best = int(readings.chances(numbers, values).sum(axis=0).argmax())
                rows.append(presence.measures(heard, found[best], values[best]))
    return rows


def fit_presence(examples: list[Example], other: list[dict[str, float]]) -> dict[str, Any]:
    """Chance that there is a beat at all.

    other: the measures of sounds without one; all of them together count as much as the music.
    """
    music = [e.presence for e in examples]
    names = sorted(music[0])
    usual = {name: float(np.mean([row[name] for row in music if name in row])) for name in names}
    x = np.array([[row.get(name, mean) for name, mean in usual.items()] for row in music + other])
    mean, deviation = x.mean(axis=0), x.std(axis=0) + 1e-6
    away = np.clip((x - mean) / deviation, -readings.FARTHEST, readings.FARTHEST)
    y = np.repeat([1.0, 0.0], [len(music), len(other)])
    weight = np.repeat([1.0, len(music) / len(other)], [len(music), len(other)])
    weights, bias = logistic(away, y, weight, l2=PRESENCE_L2)
    chance = 1 / (1 + np.exp(-(away @ weights + bias)))
    missed, invented = (chance[y == 1] < NONE_BELOW).mean(), (chance[y == 0] >= NONE_BELOW).mean()
    print(f"presence: {missed:.4f} of music missed, {invented:.3f} of beatless sound kept")
    return {
        "names": names,
        "mean": mean,
        "deviation": deviation,
        "weights": weights,
        "bias": bias,
        "none_below": NONE_BELOW,
    }


def report(name: str, examples: list[Example], numbers: dict[str, Any]) -> None:
    """Print how the numbers do on some examples."""
    tempo, compound, length, place = [], [], [], []
    for e in examples:
        chance = readings.chances(numbers["readings"], e.values)
        kind, index = np.unravel_index(int(chance.argmax()), chance.shape)
        tempo.append(e.hit[index])
        compound.append((kind == 1) == (e.clip.meter == "6/8"))
        if e.place is not None:
            weights = numbers["places"][placing.KINDS[e.clip.meter == "6/8"]]
            best = int((e.terms @ weights).argmax())
            length.append(METERS[e.places[best].bar_beats] == e.clip.meter)
            place.append(best == e.place)
    print(f"{name}: tempo {np.mean(tempo):.3f}, two or three {np.mean(compound):.3f}; "
          f"the reading given: meter {np.mean(length):.3f}, place {np.mean(place):.3f}, "
          f"n = {len(examples)}")  # fmt: skip


def main() -> None:
    """Fit, report and write the weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cache", type=Path)
    parser.add_argument("--hold-out", default="none", help="prefix of folders never fitted on")
    parser.add_argument(
        "--training",
        default="hearings of clips of the generator's development split and of Freedoom's music",
    )
    args = parser.parse_args()
    fitted: list[Example] = []
    held: list[Example] = []
    for item in heard_clips(args.cache):
        one = example(item)
        if one is not None:
            (held if item.clip.path.parts[-3].startswith(args.hold_out) else fitted).append(one)
    crossed = left_out_fits(fitted)
    numbers = {"readings": fit_readings(fitted), "places": fit_places(fitted)}
    numbers["readings"]["temperature"] = temperature = fit_temperature(crossed)
    report_left_out(crossed, temperature)
    numbers["presence"] = fit_presence(fitted, beatless_measures(numbers["readings"]))
    report("fitted", fitted, numbers)
    if held:
        report("held out", held, numbers)
    print("temperature", temperature)
    write_numbers(
        "rhythm_weights", numbers,
        task="chances of tempo readings, places of beats and bars, and of a beat at all",
        training=f"{len(fitted)} {args.training}",
    )  # fmt: skip


if __name__ == "__main__":
    main()
