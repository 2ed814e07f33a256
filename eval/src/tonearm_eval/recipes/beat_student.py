"""The small beat network, taught by the three recurrent ones.

Recipe, on the development clips that eval/README.md lists:
    .venv/bin/uv pip install --python .venv/bin/python --require-hashes -r requirements/student.lock
    python -m tonearm_eval.recipes.beat_student hear DEV/dev31 DEV/rough ... \
        --teachers TEACHERS --lessons LESSONS
    python -m tonearm_eval.recipes.beat_student teach --lessons LESSONS --out OUT
TEACHERS is what tonearm_eval.recipes.beat_models wrote. A stopped run of either goes on.  An hour of clips is heard in half a minute, and 7,000 steps take
eight minutes of one core.

The network: pairs of frames embedded in 32 numbers, and twelve convolutions over time, five taps
each and 1 to 32 pairs apart, each added to what it was given.  The same lessons and seed teach the
same network on the same processor and release of JAX; elsewhere, one of its kind.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from tonearm_analysis.engine.models import session
from tonearm_analysis.engine.rhythm.student import N_BANDS
from tonearm_eval.recipes.beat_lessons import Lesson, draw, hear_folder
from tonearm_eval.recipes.graph import Graph

PAIR_VALUES: Final = 4 * N_BANDS
CHANNELS: Final = 32
TAPS: Final = 5
DILATIONS: Final = (1, 2, 4, 8, 16, 32) * 2
STEPS: Final = 7_000
BATCH: Final = 8
LEARNING_RATE: Final = 3e-3
HELD_BACK_EVERY, HELD_BACK_MOST = 50, 64  # lessons left out to watch the loss
SAVE_EVERY: Final = 500
CREDIT: Final = "Tonearm, taught by BeatNet 1.1.3 of Heydari, Cwitkowitz and Duan; CC BY 4.0"

Weights = dict[str, Any]


def first_weights(random: np.random.Generator) -> Weights:
    """Small random weights; each convolution starts near to handing on what it is given."""
    weights: Weights = {
        "w0": random.normal(0.0, PAIR_VALUES**-0.5, (PAIR_VALUES, CHANNELS)),
        "b0": np.zeros(CHANNELS),
        "wo": random.normal(0.0, 0.05, (CHANNELS, 6)),
        "bo": np.array([-3.0, -4.0, 0.0] * 2),
    }
    width = TAPS * CHANNELS
    for layer in range(1, len(DILATIONS) + 1):
        weights[f"w{layer}"] = random.normal(0.0, 0.5 * (2.0 / width) ** 0.5, (width, CHANNELS))
        weights[f"b{layer}"] = np.zeros(CHANNELS)
    return {name: values.astype(np.float32) for name, values in weights.items()}


def features(xp: Any, levels: Any, gains: Any) -> Any:
    """Pairs of frames (b, n / 2, 192): levels at these gains of the magnitudes, and their rises."""
    levels = xp.log10(1.0 + gains * (10.0**levels - 1.0))
    before = xp.concatenate([levels[:, :1], levels[:, :-1]], axis=1)
    both = xp.concatenate([levels, xp.maximum(levels - before, 0.0)], axis=-1)
    return both.reshape(len(levels), -1, PAIR_VALUES)


def scores(xp: Any, weights: Weights, pairs: Any) -> Any:
    """Logits (b, n, 3) of a beat that is no downbeat, a downbeat, and neither."""
    state = xp.maximum(pairs @ weights["w0"] + weights["b0"], 0.0)
    n_pairs = state.shape[1]
    for layer, dilation in enumerate(DILATIONS, 1):
        reach = TAPS // 2 * dilation
        padded = xp.pad(state, ((0, 0), (reach, reach), (0, 0)))
        taps = [padded[:, k * dilation : k * dilation + n_pairs] for k in range(TAPS)]
        heard = xp.concatenate(taps, axis=-1) @ weights[f"w{layer}"] + weights[f"b{layer}"]
        state = state + xp.maximum(heard, 0.0)
    return (state @ weights["wo"] + weights["bo"]).reshape(len(pairs), -1, 3)


def normalised(weights: Weights, mean: Any, deviation: Any) -> Weights:
    """The weights for features as they are, from those for features of mean 0 and deviation 1."""
    own = dict(weights)
    own["w0"] = weights["w0"] / deviation[:, None]
    own["b0"] = weights["b0"] - (mean / deviation) @ weights["w0"]
    return own


def _steps(mean: Any, deviation: Any, n_steps: int) -> tuple[Any, Callable[..., Any], Any]:
    """The optimiser, one step of it, and the loss: divergence from what was wanted, per frame."""
    jax, optax = importlib.import_module("jax"), importlib.import_module("optax")
    jnp = jax.numpy

    def loss(weights: Weights, levels: Any, gains: Any, wanted: Any, weight: Any) -> Any:
        pairs = (features(jnp, levels, gains) - mean) / deviation
        found = jax.nn.log_softmax(scores(jnp, weights, pairs))
        chances = jnp.concatenate([wanted, 1.0 - wanted.sum(-1, keepdims=True)], axis=-1)
        missed = (chances * (jnp.log(jnp.maximum(chances, 1e-6)) - found)).sum(-1)
        return (missed * weight).sum() / weight.sum()

    rate = optax.warmup_cosine_decay_schedule(
        0.0, LEARNING_RATE, min(200, n_steps // 2), n_steps, LEARNING_RATE / 100
    )
    optimiser = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(rate, weight_decay=1e-3))

    def step(weights: Weights, smooth: Weights, state: Any, count: Any, *batch: Any) -> Any:
        slope = jax.grad(loss)(weights, *batch)
        change, state = optimiser.update(slope, state, weights)
        weights = optax.apply_updates(weights, change)
        keep = jnp.minimum(0.998, (count + 1.0) / (count + 10.0))
        smooth = jax.tree.map(lambda a, b: keep * a + (1.0 - keep) * b, smooth, weights)
        return weights, smooth, state

    return optimiser, jax.jit(step), jax.jit(loss)


def _moments(lessons: list[Lesson], random: np.random.Generator) -> tuple[Any, Any]:
    """Mean and deviation of a pair's features over two hundred lessons."""
    chosen = random.integers(0, len(lessons), 200)
    rows = [lessons[k].levels[: len(lessons[k].levels) // 2 * 2] for k in chosen]
    pairs = np.concatenate(
        [features(np, part[None].astype(np.float32), np.float32(1.0))[0] for part in rows]
    )
    return pairs.mean(axis=0), pairs.std(axis=0) + np.float32(1e-3)


def teach(folder: Path, out: Path, *, seed: int, n_steps: int) -> Weights:
    """Teach a network; what it knows is kept in OUT/student.pickle every few hundred steps."""
    random = np.random.default_rng(seed)
    every = [Lesson.read(path) for path in sorted(folder.glob("*.npz"))]
    held = every[::HELD_BACK_EVERY][:HELD_BACK_MOST]
    lessons = [lesson for lesson in every if not any(lesson is other for other in held)]
    mean, deviation = _moments(lessons, random)
    optimiser, step, loss = _steps(mean, deviation, n_steps)
    watched = draw(held, random, plain=True).arrays()
    share = np.array([len(lesson.levels) for lesson in lessons], np.float64)
    share /= share.sum()
    weights = first_weights(random)
    smooth, state, count = weights, optimiser.init(weights), 0
    kept = out / "student.pickle"
    if kept.exists():
        # Our own file, written below.
        weights, smooth, state, count, random = pickle.loads(kept.read_bytes())  # noqa: S301
    while count < n_steps:
        chosen = random.choice(len(lessons), BATCH, p=share)
        batch = draw([lessons[k] for k in chosen], random).arrays()
        weights, smooth, state = step(weights, smooth, state, count, *batch)
        count += 1
        if count % SAVE_EVERY == 0 or count == n_steps:
            print(count, f"{float(loss(smooth, *watched)):.4f}", flush=True)
            kept.write_bytes(pickle.dumps((weights, smooth, state, count, random)))
    return normalised({name: np.asarray(v) for name, v in smooth.items()}, mean, deviation)


def write(weights: Weights, path: Path) -> None:
    """Write the network as a graph from features (frame, 96) to probabilities (frame, 3)."""
    g = Graph()

    def constant(name: str) -> str:
        return g.constant(name, np.asarray(weights[name], np.float32))

    shape = g.constant("pair_shape", np.array([-1, PAIR_VALUES]))
    pairs = g.add("Reshape", ["features", shape], "pairs")
    embedded = g.add("Gemm", [pairs, constant("w0"), constant("b0")], "embedded")
    turned = g.add("Transpose", [g.add("Relu", [embedded], "heard0")], "turned", perm=[1, 0])
    first_axis = g.constant("first_axis", np.array([0]))
    state = g.add("Unsqueeze", [turned, first_axis], "state0")
    for layer, dilation in enumerate(DILATIONS, 1):
        taps = np.asarray(weights[f"w{layer}"], np.float32).reshape(TAPS, CHANNELS, CHANNELS)
        kernel = g.constant(f"w{layer}", taps.transpose(2, 1, 0))
        convolved = g.add(
            "Conv",
            [state, kernel, constant(f"b{layer}")],
            f"convolved{layer}",
            dilations=[dilation],
            kernel_shape=[TAPS],
            pads=[TAPS // 2 * dilation] * 2,
        )
        heard = g.add("Relu", [convolved], f"heard{layer}")
        state = g.add("Add", [state, heard], f"state{layer}")
    flat = g.add("Squeeze", [state, first_axis], "flat")
    back = g.add("Transpose", [flat], "back", perm=[1, 0])
    logits = g.add("Gemm", [back, constant("wo"), constant("bo")], "logits")
    rows = g.add("Reshape", [logits, g.constant("row_shape", np.array([-1, 3]))], "rows")
    g.add("Softmax", [rows], "probabilities", axis=1)
    g.save(
        path,
        inputs={"features": ["frame", 2 * N_BANDS]},
        outputs={"probabilities": ["frame", 3]},
        credit=CREDIT,
    )


def main() -> None:
    """Hear clips, or teach a network with what was heard."""
    parser = argparse.ArgumentParser(
        prog="python -m tonearm_eval.recipes.beat_student",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    hearing = commands.add_parser("hear", help="write lessons from folders of clips")
    hearing.add_argument("folders", type=Path, nargs="+")
    hearing.add_argument(
        "--teachers", type=Path, required=True, help="folder with the recurrent networks, *.onnx"
    )
    teaching = commands.add_parser("teach", help="teach a network, write beat_student.onnx")
    teaching.add_argument("--out", type=Path, required=True)
    teaching.add_argument("--seed", type=int, default=0)
    teaching.add_argument("--steps", type=int, default=STEPS)
    for command in (hearing, teaching):
        command.add_argument("--lessons", type=Path, required=True)
    args = parser.parse_args()
    if args.command == "hear":
        found = sorted(args.teachers.glob("*.onnx"))
        if not found:
            parser.error(
                f"no network in {args.teachers}; tonearm_eval.recipes.beat_models writes them"
            )
        teachers = [session(path.read_bytes()) for path in found]
        for folder in args.folders:
            hear_folder(folder, args.lessons, teachers)
            print(folder, flush=True)
        return
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / "beat_student.onnx"
    write(teach(args.lessons, args.out, seed=args.seed, n_steps=args.steps), path)
    print(hashlib.sha256(path.read_bytes()).hexdigest(), path.name)


if __name__ == "__main__":
    main()
