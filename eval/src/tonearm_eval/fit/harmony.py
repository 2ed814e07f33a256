"""Fit the weights of key, chords and "is there pitch at all".

    python -m tonearm_eval.fit.harmony CACHE [--hold-out PREFIX]

Key weights are pulled towards those of real recordings that an earlier study gave
(recipes/key_prior.json), so that generated music corrects them and does not replace them.
"""

from __future__ import annotations

import argparse
import json
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from tonearm_analysis.engine import harmony
from tonearm_analysis.engine.harmony import chords, key
from tonearm_analysis.engine.harmony.cqt import FRAME_RATE_HZ
from tonearm_analysis.engine.harmony.estimate import LEVEL_FLOOR, LEVEL_SHARE, pitched_measures
from tonearm_eval.fit.cache import HeardClip, heard_clips
from tonearm_eval.fit.files import write_numbers
from tonearm_eval.fit.logistic import logistic
from tonearm_eval.generator import beatless
from tonearm_eval.score import key_weight, triad

Doubles = npt.NDArray[np.float64]

KEY_L2, CHORD_L2 = 3.0, 1.0
STRETCHES_PER_CLIP: Final = 14
CHANGE_BEATS, CHANGE_FRAMES = 1.0, 1.5
NONE_BELOW: Final = 0.5
UNPITCHED: Final = ("white", "pink", "brown", "clicks", "babble", "wind", "sweep")


def sounding_frames(item: HeardClip) -> npt.NDArray[np.bool_]:
    """The frames that the engine counts for the key."""
    level = item.harmonic.level
    out = level > max(LEVEL_FLOOR, LEVEL_SHARE * float(level.max()))
    return out if out.any() else np.ones(len(level), bool)


def fit_key(items: list[HeardClip]) -> dict[str, Any]:
    """Soft-max weights over 24 keys, shared by all tonics, near the prior's."""
    prior = json.loads(files("tonearm_eval.recipes").joinpath("key_prior.json").read_text())
    tables = np.stack([key.key_measures(i.harmonic, sounding_frames(i)) for i in items])
    turned = np.stack([np.roll(tables, -t, axis=1).reshape(len(items), -1) for t in range(12)], 1)
    truth = np.array([i.clip.key for i in items])
    size, rows = turned.shape[2], np.arange(len(items))
    start = np.zeros((2, 12, tables.shape[2]))
    start[:, :, :3] = np.array([prior["major"], prior["minor"]])
    centre = np.append(start.ravel(), prior["minor_bias"])

    def loss(p: Doubles) -> tuple[float, Doubles]:
        w = p[:-1].reshape(2, size)
        score = np.concatenate([turned @ w[0], turned @ w[1] + p[-1]], axis=1)
        chance = np.exp(score - score.max(axis=1, keepdims=True))
        chance /= chance.sum(axis=1, keepdims=True)
        value = -np.log(chance[rows, truth] + 1e-12).sum() + KEY_L2 * ((p - centre) ** 2).sum()
        chance[rows, truth] -= 1
        parts = [np.einsum("nt,ntd->d", chance[:, k : k + 12], turned) for k in (0, 12)]
        gradient = np.concatenate([*parts, [chance[:, 12:].sum()]]) + 2 * KEY_L2 * (p - centre)
        return float(value), gradient

    found = minimize(loss, centre, jac=True, method="L-BFGS-B", options={"maxiter": 300}).x
    major, minor = found[:-1].reshape(2, 12, -1)
    return {
        "features": [*key.CHROMAS, *key.FAMILIES],
        "major": major,
        "minor": minor,
        "minor_bias": found[-1],
        "temperature": 1.0,
    }


def key_scores(numbers: dict[str, Any], item: HeardClip) -> Doubles:
    """Scores of the 24 keys by the given numbers."""
    table = key.key_measures(item.harmonic, sounding_frames(item))
    turned = np.stack([np.roll(table, -t, axis=0) for t in range(12)])
    major = np.einsum("tdf,df->t", turned, numbers["major"])
    minor = np.einsum("tdf,df->t", turned, numbers["minor"]) + numbers["minor_bias"]
    return np.asarray(np.concatenate([major, minor]) / numbers["temperature"], np.float64)


def fit_temperature(numbers: dict[str, Any], items: list[HeardClip]) -> float:
    """The soft-max temperature that makes chances come true on clips outside the fit."""
    rows = [(key_scores(numbers, item), item.clip.key) for item in items]

    def loss(temperature: float) -> float:
        return -sum(
            float(np.log(key.probabilities(s / temperature)[k] + 1e-4))
            for s, k in rows
            if k is not None
        )

    return float(min(np.geomspace(0.6, 3.0, 24), key=loss))


def fit_chords(items: list[HeardClip]) -> dict[str, Any]:
    """Weights around the network's own chord probabilities, shared by all roots."""
    rng = np.random.default_rng(0)
    seen, own, truth = [], [], []
    for item in items:
        edges = chords.stretches([t for t, _ in item.clip.beats], len(item.harmonic.pitch))
        labels = stretch_labels(item, edges)
        chosen = rng.permutation(np.flatnonzero(labels >= 0))[:STRETCHES_PER_CLIP]
        measures, network = chords.evidence(item.harmonic, edges)
        seen.append(chords.turned(measures[chosen]).astype(np.float32))
        own.append(network[chosen])
        truth.append(labels[chosen])
    p = _chord_fit(np.concatenate(seen), np.concatenate(own), np.concatenate(truth))
    size = (len(p) - 3) // 2
    return {
        "major": p[:size],
        "minor": p[size : 2 * size],
        "network": p[-3],
        "minor_bias": p[-2],
        "none_bias": p[-1],
        "change_beats": CHANGE_BEATS,
        "change_frames": CHANGE_FRAMES,
    }


def stretch_labels(item: HeardClip, edges: chords.Ints) -> chords.Ints:
    """The true label in the middle of each stretch; -1 where it is no major or minor triad."""
    middle = (edges[1:] + edges[:-1]) / 2 / FRAME_RATE_HZ
    out = np.full(len(middle), -1)
    for start, stop, label in item.clip.chords:
        value = triad(label)
        out[(middle >= start) & (middle < stop)] = -1 if value is None else value
    return out


def _chord_fit(
    seen: npt.NDArray[np.float32], own: Doubles, truth: npt.NDArray[np.int64]
) -> Doubles:
    n, size = len(truth), seen.shape[2]
    centre = np.zeros(2 * size + 3)
    centre[-3] = 1.0
    rows = np.arange(n)

    def loss(p: Doubles) -> tuple[float, Doubles]:
        w = p[: 2 * size].reshape(2, size).astype(np.float32)
        none = np.full((n, 1), p[-1])
        score = np.concatenate([seen @ w[0], seen @ w[1] + p[-2], none], axis=1) + p[-3] * own
        chance = np.exp(score - score.max(axis=1, keepdims=True))
        chance /= chance.sum(axis=1, keepdims=True)
        value = -np.log(chance[rows, truth] + 1e-12).sum() + CHORD_L2 * ((p - centre) ** 2).sum()
        chance[rows, truth] -= 1
        single = chance.astype(np.float32)
        parts = [np.einsum("nr,nrd->d", single[:, k : k + 12], seen) for k in (0, 12)]
        biases = [(chance * own).sum(), chance[:, 12:24].sum(), chance[:, 24].sum()]
        return float(value), np.concatenate([*parts, biases]) + 2 * CHORD_L2 * (p - centre)

    return np.asarray(
        minimize(loss, centre, jac=True, method="L-BFGS-B", options={"maxiter": 150}).x
    )


def fit_pitched(items: list[HeardClip]) -> dict[str, Any]:
    """Chance that a recording has pitch enough for a key."""
    rng = np.random.default_rng(12)
    music = [pitched_measures(i.harmonic, sounding_frames(i)) for i in items]
    noise = []
    for index in range(70):
        kind = UNPITCHED[index % len(UNPITCHED)]
        heard = harmony.hear(beatless.sound(rng, kind, float(rng.uniform(8, 20))))
        noise.append(pitched_measures(heard, heard.level > LEVEL_FLOOR))
    x = np.concatenate([music, noise])
    y = np.append(np.ones(len(music)), np.zeros(len(noise)))
    weight = np.append(np.ones(len(music)), np.full(len(noise), len(music) / len(noise)))
    w, bias = logistic(x, y, weight, l2=0.02)
    chance = 1 / (1 + np.exp(-(x @ w + bias)))
    missed, invented = (chance[y == 1] < NONE_BELOW).mean(), (chance[y == 0] >= NONE_BELOW).mean()
    print(f"pitched: {missed:.3f} of music missed, {invented:.3f} of unpitched sound kept")
    return {"weights": w, "bias": bias, "none_below": NONE_BELOW}


def report(name: str, items: list[HeardClip], numbers: dict[str, Any]) -> None:
    """Print key accuracy."""
    marks = [
        key_weight(item.clip.key, int(key_scores(numbers, item).argmax()))
        for item in items
        if item.clip.key is not None
    ]
    exact = np.mean([mark == 1 for mark in marks])
    print(f"{name}: key {exact:.3f} exact, {np.mean(marks):.3f} weighted, n = {len(marks)}")


def main() -> None:
    """Fit, report and write the weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cache", type=Path)
    parser.add_argument("--hold-out", default="none", help="prefix of folders never fitted on")
    parser.add_argument("--training", default="clips of the generator's development split")
    args = parser.parse_args()
    items = [item for item in heard_clips(args.cache) if item.clip.key is not None]
    held = [i for i in items if i.clip.path.parts[-3].startswith(args.hold_out)]
    fitted = [i for i in items if not i.clip.path.parts[-3].startswith(args.hold_out)]
    halves = fitted[::2], fitted[1::2]
    crossed = [fit_temperature(fit_key(halves[k]), halves[1 - k]) for k in (0, 1)]
    numbers = fit_key(fitted)
    numbers["temperature"] = float(np.mean(crossed))
    report("fitted", fitted, numbers)
    if held:
        report("held out", held, numbers)
    numbers["pitched"] = fit_pitched(fitted)
    training = f"{len(fitted)} {args.training}; prior from 137 clips, most of them recordings"
    write_numbers("key_weights", numbers, task="chances of 24 keys", training=training)
    with_chords = [item for item in fitted if item.clip.chords]
    write_numbers(
        "chord_weights", fit_chords(with_chords),
        task="chances of 24 triads and no chord, around those of the network",
        training=f"{len(with_chords)} {args.training}",
    )  # fmt: skip


if __name__ == "__main__":
    main()
