"""Fit the weights of key, chords and "is there pitch at all".

    python -m tonearm_eval.fit.harmony CACHE [--hold-out PREFIX]

Key weights are pulled towards the published key profiles of Albrecht and Shanahan (2013), counts
of notes in scores, so that generated music corrects them and does not replace them.  Each clip
counts half as it is and half as stretches cut out of it anywhere: first chords and the bars on
which phrases begin then weigh no more than they should in excerpts, and what they weigh where music
begins is learnt beside it.  An excerpt of a clip that
`tonearm_eval.degrade` made is left out of a fit together with the clip that it comes from.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from tonearm_analysis.engine import harmony
from tonearm_analysis.engine.harmony import chords, key, reader
from tonearm_analysis.engine.harmony.cqt import FRAME_RATE_HZ
from tonearm_analysis.engine.harmony.estimate import pitched_measures
from tonearm_analysis.engine.harmony.model import Chord
from tonearm_analysis.engine.harmony.sums import HarmonySums
from tonearm_analysis.engine.numerics import softmax
from tonearm_eval.fit.cache import HeardClip, heard_clips
from tonearm_eval.fit.files import write_numbers
from tonearm_eval.fit.logistic import logistic
from tonearm_eval.generator import beatless
from tonearm_eval.score import key_weight, triad

Doubles = npt.NDArray[np.float64]

KEY_L2, CHORD_L2 = 5.0, 1.0
# What is told by places in the music may weigh where it begins, and hardly where it is cut: records
# are less regular than generated music (eval/README.md).
PLACED_L2, FROM_START_L2 = 30.0, 2.0
STYLE_FOLDS: Final = 6
# Share of each degree of the scale, from the tonic upwards.
PROFILES: Final = (
    (0.238, 0.006, 0.111, 0.006, 0.137, 0.094, 0.016, 0.214, 0.009, 0.080, 0.008, 0.081),
    (0.220, 0.006, 0.104, 0.123, 0.019, 0.103, 0.012, 0.214, 0.062, 0.022, 0.061, 0.052),
)
PROFILE_SCALE: Final = 0.5
STRETCHES_PER_CLIP: Final = 14
CUTS_PER_CLIP: Final = 2
CUT_S: Final = (9.0, 18.0)
CHANGE_BEATS, CHANGE_FRAMES = 1.0, 1.5
# Noise, wind and speech stay below a hundredth; records of machines and feedback lie between, where
# an answer with little confidence says more than none.
NONE_BELOW: Final = 0.1
UNPITCHED: Final = ("white", "pink", "brown", "clicks", "babble", "wind", "sweep")


def sounding_frames(item: HeardClip) -> npt.NDArray[np.bool_]:
    """The frames that the engine counts for the key."""
    out = reader.sounding_frames(item.harmonic.level)
    return out if out.any() else np.ones(len(out), bool)


@dataclass(frozen=True)
class KeyRow:
    """What the key rests on in a clip: measures by pitch class of the whole, and of cuts of it.

    style, folder: of the clip that it was cut from, where it was.
    """

    truth: int
    style: str
    folder: str
    begun: Doubles
    cuts: tuple[Doubles, ...]

    @classmethod
    def of(cls, item: HeardClip, rng: np.random.Generator) -> KeyRow:
        """The measures of a clip with a key."""
        if item.clip.key is None:
            raise ValueError(f"{item.clip.name} has no key")
        found = chords.chord_sequence(item.harmonic, [t for t, _ in item.clip.beats])
        cuts = []
        for _ in range(CUTS_PER_CLIP):
            length_s = min(rng.uniform(*CUT_S), item.harmonic.duration_s)
            start_s = rng.uniform(0, item.harmonic.duration_s - length_s)
            cuts.append(stretch_measures(item, found, start_s, start_s + length_s))
        folder, _, style = (item.clip.cut_from or f"{item.clip.path.parts[-3]}//").split("/")
        return cls(
            item.clip.key,
            style or item.clip.style,
            folder,
            stretch_measures(item, found, 0.0, item.harmonic.duration_s),
            tuple(cuts),
        )


def stretch_measures(
    item: HeardClip, found: Sequence[Chord], start_s: float, stop_s: float
) -> Doubles:
    """The key's measures of a stretch of a clip, on the true downbeats, as of a recording."""
    sounding = sounding_frames(item)
    stretch = slice(round(start_s * FRAME_RATE_HZ), round(stop_s * FRAME_RATE_HZ) + 1)
    inside = np.zeros(len(sounding), bool)
    inside[stretch] = True
    frames = sounding & inside
    return key.key_measures(
        item.harmonic,
        frames if frames.any() else inside,
        chords=[c for c in found if c.end_s > start_s and c.start_s < stop_s],
        downbeats_s=[t for t, n in item.clip.beats if n == 1 and start_s <= t < stop_s],
        begins=reader.beginning(item.harmonic.level[stretch], sounding[stretch]),
    )


def key_centre(n_features: int) -> Doubles:
    """The weights before any clip was seen: profiles on treble and pitch."""
    start = np.zeros((2, 12, n_features))
    for mode, profile in enumerate(np.array(PROFILES)):
        shape = PROFILE_SCALE * (profile - profile.mean()) / profile.std()
        for column in ("treble", "pitch"):
            start[mode, :, key.FEATURES.index(column)] = shape
    return np.append(start.ravel(), 0.0)


def key_l2() -> Doubles:
    """How hard each weight is pulled to where it was before."""
    by_name = dict.fromkeys(key.PLACED, PLACED_L2) | dict.fromkeys(key.FROM_START, FROM_START_L2)
    columns = [by_name.get(name, KEY_L2) for name in key.FEATURES]
    return np.append(np.tile(columns, 2 * 12), KEY_L2)


def fit_key(rows: list[KeyRow]) -> dict[str, Any]:
    """Soft-max weights over 24 keys, shared by all tonics, near the profiles'."""
    tables = np.stack([table for row in rows for table in (row.begun, *row.cuts)])
    truth = np.repeat([row.truth for row in rows], 1 + CUTS_PER_CLIP)
    weight = np.tile([0.5, *[0.5 / CUTS_PER_CLIP] * CUTS_PER_CLIP], len(rows))
    n, size = len(tables), 12 * tables.shape[2]
    turned = np.stack([np.roll(tables, -t, axis=1).reshape(n, size) for t in range(12)], 1)
    centre, pull, each = key_centre(tables.shape[2]), key_l2(), np.arange(n)
    flat = turned.astype(np.float32).reshape(12 * n, size)

    def loss(p: Doubles) -> tuple[float, Doubles]:
        w = p[:-1].reshape(2, size).astype(np.float32)
        score = (flat @ w.T).reshape(n, 12, 2).transpose(0, 2, 1).reshape(n, 24).astype(np.float64)
        score[:, 12:] += p[-1]
        chance = softmax(score, axis=1)
        value = -(weight * np.log(chance[each, truth] + 1e-12)).sum()
        value += (pull * (p - centre) ** 2).sum()
        chance[each, truth] -= 1
        chance *= weight[:, None]
        by_turn = chance.reshape(n, 2, 12).transpose(0, 2, 1).reshape(12 * n, 2)
        gradient = (by_turn.astype(np.float32).T @ flat).astype(np.float64).ravel()
        gradient = np.append(gradient, chance[:, 12:].sum()) + 2 * pull * (p - centre)
        return float(value), gradient

    found = minimize(loss, centre, jac=True, method="L-BFGS-B", options={"maxiter": 300}).x
    major, minor = found[:-1].reshape(2, 12, -1)
    return {
        "features": [*key.FEATURES],
        "major": major,
        "minor": minor,
        "minor_bias": found[-1],
        "temperature": 1.0,
    }


def key_scores(numbers: dict[str, Any], table: Doubles) -> Doubles:
    """Scores of the 24 keys by the given numbers."""
    turned = np.stack([np.roll(table, -t, axis=0) for t in range(12)])
    major = np.einsum("tdf,df->t", turned, numbers["major"])
    minor = np.einsum("tdf,df->t", turned, numbers["minor"]) + numbers["minor_bias"]
    return np.asarray(np.concatenate([major, minor]) / numbers["temperature"], np.float64)


def fit_temperature(scored: list[tuple[Doubles, int]]) -> float:
    """The soft-max temperature that makes chances come true on clips outside the fit."""

    def loss(temperature: float) -> float:
        return -sum(
            float(np.log(softmax(scores / temperature)[truth] + 1e-4)) for scores, truth in scored
        )

    return float(min(np.geomspace(0.6, 3.0, 48), key=loss))


def crossed_key(rows: list[KeyRow], by: Callable[[KeyRow], str], name: str) -> float:
    """Fit without each group in turn; report, and return the temperature for clips not fitted."""
    begun: list[tuple[Doubles, int]] = []
    cut: list[tuple[Doubles, int]] = []
    for group in sorted({by(row) for row in rows}):
        numbers = fit_key([row for row in rows if by(row) != group])
        for row in rows:
            if by(row) == group:
                begun.append((key_scores(numbers, row.begun), row.truth))
                cut += [(key_scores(numbers, table), row.truth) for table in row.cuts]
    report(f"{name} left out, from the start", begun)
    report(f"{name} left out, cut anywhere", cut)
    return fit_temperature(begun * CUTS_PER_CLIP + cut)


def fit_chords(items: list[HeardClip]) -> dict[str, Any]:
    """Weights around the network's own chord probabilities, shared by all roots."""
    rng = np.random.default_rng(0)
    seen, own, truth = [], [], []
    for item in items:
        edges = chords.stretches([t for t, _ in item.clip.beats], len(item.harmonic.pitch))
        labels = stretch_labels(item, edges)
        chosen = rng.permutation(np.flatnonzero(labels >= 0))[:STRETCHES_PER_CLIP]
        if not len(chosen):
            continue
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
        chance = softmax(score, axis=1)
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
    music = [pitched_measures(HarmonySums.of(i.harmonic, sounding_frames(i))) for i in items]
    noise = []
    for index in range(70):
        kind = UNPITCHED[index % len(UNPITCHED)]
        heard = harmony.hear(beatless.sound(rng, kind, float(rng.uniform(8, 20))))
        noise.append(pitched_measures(HarmonySums.of(heard, heard.level > reader.LEVEL_FLOOR)))
    x = np.concatenate([music, noise])
    y = np.append(np.ones(len(music)), np.zeros(len(noise)))
    weight = np.append(np.ones(len(music)), np.full(len(noise), len(music) / len(noise)))
    w, bias = logistic(x, y, weight, l2=0.02)
    chance = 1 / (1 + np.exp(-(x @ w + bias)))
    missed, invented = (chance[y == 1] < NONE_BELOW).mean(), (chance[y == 0] >= NONE_BELOW).mean()
    print(f"pitched: {missed:.3f} of music missed, {invented:.3f} of unpitched sound kept")
    return {"weights": w, "bias": bias, "none_below": NONE_BELOW}


def report(name: str, scored: list[tuple[Doubles, int]]) -> None:
    """Print key accuracy."""
    marks = [key_weight(truth, int(scores.argmax())) for scores, truth in scored]
    exact = np.mean([mark == 1 for mark in marks])
    print(f"{name}: key {exact:.3f} exact, {np.mean(marks):.3f} weighted, n = {len(marks)}")


def write_chords(items: list[HeardClip], training: str) -> None:
    """Fit the chords on the clips that have them, and write their weights."""
    with_chords = [item for item in items if item.clip.chords]
    write_numbers(
        "chord_weights", fit_chords(with_chords),
        task="chances of 24 triads and no chord, around those of the network",
        training=f"{len(with_chords)} {training}",
        recipe="python -m tonearm_eval.fit.harmony",
    )  # fmt: skip


def main() -> None:
    """Fit, report and write the weights: chords first, since the key rests on them too."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cache", type=Path)
    parser.add_argument("--hold-out", default="none", help="prefix of folders never fitted on")
    parser.add_argument(
        "--keep-chords", action="store_true", help="leave the weights of chords as they are"
    )
    parser.add_argument("--training", default="clips of the generator's development split")
    args = parser.parse_args()
    items = [item for item in heard_clips(args.cache) if item.clip.key is not None]
    held = [i for i in items if i.clip.path.parts[-3].startswith(args.hold_out)]
    fitted = [i for i in items if not i.clip.path.parts[-3].startswith(args.hold_out)]
    if not args.keep_chords:
        write_chords(fitted, args.training)
    rng = np.random.default_rng(5)
    rows, others = ([KeyRow.of(item, rng) for item in part] for part in (fitted, held))
    if len({row.folder for row in rows}) > 1:
        crossed_key(rows, lambda row: row.folder, "folders")
    fold = {style: k % STYLE_FOLDS for k, style in enumerate(sorted({r.style for r in rows}))}
    temperature = crossed_key(rows, lambda row: str(fold[row.style]), "sixths of the styles")
    numbers = fit_key(rows) | {"temperature": temperature}
    report("fitted", [(key_scores(numbers, row.begun), row.truth) for row in rows])
    if others:
        report("held out", [(key_scores(numbers, row.begun), row.truth) for row in others])
        cuts = [(key_scores(numbers, table), row.truth) for row in others for table in row.cuts]
        report("held out, cut anywhere", cuts)
    numbers["pitched"] = fit_pitched(fitted)
    write_numbers(
        "key_weights", numbers, task="chances of 24 keys",
        training=f"{len(fitted)} {args.training}; prior: published key profiles, no recordings",
        recipe="python -m tonearm_eval.fit.harmony",
    )  # fmt: skip


if __name__ == "__main__":
    main()
