"""Weights of the crema wheel -> the chord network that the engine ships.

Recipe:
    pip download --no-deps crema==0.2.0 && unzip crema-0.2.0-py3-none-any.whl -d crema
    pip install onnx h5py
    python -m tonearm_eval.recipes.chord_model crema/crema/models/chord/model.h5 OUT

The graph is rebuilt layer by layer; batch normalisations become scale and shift.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tonearm_eval.recipes.graph import Graph

Array = npt.NDArray[np.float32]

BINS, PITCH_FILTERS, HIDDEN, EPSILON = 216, 72, 128, 1e-3
CREDIT = "crema 0.2.0, (c) 2017 Brian McFee, BSD-2-Clause; converted, values unchanged"


class Builder:
    """Layers of the chord network, one method a kind."""

    def __init__(self, weights: Any) -> None:
        self.graph, self._weights, self._count = Graph(), weights, 0

    def name(self, stem: str) -> str:
        """A name not used before."""
        self._count += 1
        return f"{stem}{self._count}"

    def read(self, layer: str, tensor: str) -> Array:
        """A tensor of the Keras file."""
        return np.asarray(self._weights[layer][layer][f"{tensor}:0"][()], np.float32)

    def constant(self, values: npt.ArrayLike) -> str:
        """A constant under a new name."""
        return self.graph.constant(self.name("c"), values)

    def node(self, op: str, inputs: list[str], **attributes: Any) -> str:
        """A node under a new name."""
        return self.graph.add(op, inputs, self.name("n"), **attributes)

    def normalised(self, x: str, layer: str, *, channels_first: bool = False) -> str:
        """Batch normalisation with the statistics of training."""
        spread = np.sqrt(self.read(layer, "moving_variance") + EPSILON)
        scale = self.read(layer, "gamma") / spread
        shift = self.read(layer, "beta") - self.read(layer, "moving_mean") * scale
        if channels_first:
            scale, shift = scale.reshape(-1, 1, 1), shift.reshape(-1, 1, 1)
        scaled = self.node("Mul", [x, self.constant(scale.astype(np.float32))])
        return self.node("Add", [scaled, self.constant(shift.astype(np.float32))])

    def convolved(self, x: str, layer: str, **attributes: Any) -> str:
        """Convolution and rectifier; Keras keeps channels last in its kernels."""
        kernel = self.constant(self.read(layer, "kernel").transpose(3, 2, 0, 1))
        bias = self.constant(self.read(layer, "bias"))
        return self.node("Relu", [self.node("Conv", [x, kernel, bias], **attributes)])

    def recurrent(self, x: str, number: int) -> str:
        """A pair of gated recurrent layers, one forward in time and one back."""
        group = self._weights[f"bidirectional_{number}"][f"bidirectional_{number}"]
        sides = [group[f"{side}_gru_{number}"] for side in ("forward", "backward")]

        def both(tensor: str) -> list[Array]:
            return [np.asarray(side[f"{tensor}:0"][()], np.float32) for side in sides]

        kernel = self.constant(np.stack([k.T for k in both("kernel")]))
        recurrence = self.constant(np.stack([r.T for r in both("recurrent_kernel")]))
        unused = np.zeros(3 * HIDDEN, np.float32)
        bias = self.constant(np.stack([np.concatenate([b, unused]) for b in both("bias")]))
        out = self.node(
            "GRU", [x, kernel, recurrence, bias],
            direction="bidirectional", hidden_size=HIDDEN, linear_before_reset=0,
            activations=["HardSigmoid", "Tanh"] * 2,
            activation_alpha=[0.2, 0.2], activation_beta=[0.5, 0.5],
        )  # fmt: skip
        turned = self.node("Transpose", [out], perm=[0, 2, 1, 3])
        return self.node("Reshape", [turned, self.constant(np.array([0, 1, 2 * HIDDEN]))])

    def dense(self, x: str, layer: str, activation: str, output: str) -> str:
        """A dense layer whose activation is an output of the network."""
        kernel, bias = (self.constant(self.read(layer, t)) for t in ("kernel", "bias"))
        raw = self.node("Gemm", [x, kernel, bias])
        attributes = {"axis": 1} if activation == "Softmax" else {}
        return self.graph.add(activation, [raw], output, **attributes)


def build(weights: Any) -> Graph:
    """The network: two convolutions, two recurrent pairs, four answers."""
    b = Builder(weights)
    x = b.node("Transpose", ["cqt"], perm=[2, 0, 1])
    x = b.normalised(x, "batch_normalization_1", channels_first=True)
    x = b.node("Unsqueeze", [x, b.constant(np.array([0]))])
    x = b.convolved(x, "conv2d_1", kernel_shape=[5, 5], pads=[2, 2, 2, 2])
    x = b.normalised(x, "batch_normalization_2")  # one channel, so its place does not matter
    x = b.convolved(x, "conv2d_2", kernel_shape=[1, BINS])
    x = b.node("Transpose", [x], perm=[2, 0, 1, 3])
    x = b.node("Reshape", [x, b.constant(np.array([0, 1, PITCH_FILTERS]))])
    x = b.recurrent(b.normalised(x, "batch_normalization_3"), 1)
    x = b.recurrent(b.normalised(x, "batch_normalization_4"), 2)
    x = b.node("Reshape", [x, b.constant(np.array([0, 2 * HIDDEN]))])
    heads = [
        b.dense(x, "chord_pitch", "Sigmoid", "pitch"),
        b.dense(x, "chord_root", "Softmax", "root"),
        b.dense(x, "chord_bass", "Softmax", "bass"),
    ]
    joined = b.normalised(b.node("Concat", [x, *heads], axis=1), "batch_normalization_5")
    b.dense(joined, "chord_tag", "Softmax", "tag")
    return b.graph


def main() -> None:
    """Convert the network and print the file's digest."""
    parser = argparse.ArgumentParser(
        prog="python -m tonearm_eval.recipes.chord_model",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("weights", type=Path, help="model.h5 of the wheel")
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / "crema_chord.onnx"
    with importlib.import_module("h5py").File(args.weights) as file:
        build(file["model_weights"]).save(
            path,
            inputs={"cqt": ["time", BINS, 2]},
            outputs={"tag": ["time", 170], "pitch": ["time", 12], "root": ["time", 13],
                     "bass": ["time", 13]},
            credit=CREDIT,
        )  # fmt: skip
    print(hashlib.sha256(path.read_bytes()).hexdigest(), path.name)


if __name__ == "__main__":
    main()
