"""Weights of the BeatNet wheel -> the beat networks that the engine ships.

Recipe:
    pip download --no-deps BeatNet==1.1.3 && unzip BeatNet-1.1.3-py3-none-any.whl -d beatnet
    pip install onnx
    python -m tonearm_eval.recipes.beat_models beatnet/BeatNet/models OUT

The graph takes several stretches of a recording at once (time, stretch, feature), so that the
recurrent layers multiply matrices instead of vectors.  Values are unchanged.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tonearm_eval.recipes.graph import Graph
from tonearm_eval.recipes.torch_file import state_dict

FEATURES, HIDDEN = 272, 150
CREDIT = "BeatNet 1.1.3, Heydari, Cwitkowitz and Duan, CC BY 4.0; converted, values unchanged"


def onnx_gates(rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Reorder LSTM gates from torch's i f g o to ONNX's i o f g."""
    i, f, g, o = np.split(rows, 4, axis=0)
    return np.concatenate([i, o, f, g], axis=0)


def build(weights: dict[str, npt.NDArray[Any]]) -> Graph:
    """The network: convolution over frequency, two LSTM layers, soft-max over three classes."""
    g = Graph()
    rows = g.add(
        "Reshape", ["features", g.constant("row_shape", np.array([-1, 1, FEATURES]))], "rows"
    )
    conv_w, conv_b = (
        g.constant("cw", weights["conv1.weight"]),
        g.constant("cb", weights["conv1.bias"]),
    )
    conv = g.add("Conv", [rows, conv_w, conv_b], "conv", kernel_shape=[10])
    pooled = g.add(
        "MaxPool", [g.add("Relu", [conv], "relu")], "pool", kernel_shape=[2], strides=[2]
    )
    lin_w = g.constant("lw", weights["linear0.weight"])
    lin_b = g.constant("lb", weights["linear0.bias"])
    flat = g.add("Flatten", [pooled], "flat", axis=1)
    embedded = g.add("Gemm", [flat, lin_w, lin_b], "embedded", transB=1)
    grid = g.add("Shape", ["features"], "grid", start=0, end=2)
    width = g.constant("width", np.array([HIDDEN]))
    state = g.add(
        "Reshape", [embedded, g.add("Concat", [grid, width], "wide_grid", axis=0)], "sequence0"
    )
    one = g.constant("one", np.array([1]))
    for layer in range(2):
        state = lstm(g, weights, state, layer, one)
    flat_shape = g.constant("flat_shape", np.array([-1, HIDDEN]))
    flat = g.add("Reshape", [state, flat_shape], "states")
    out = [g.constant("ow", weights["linear.weight"]), g.constant("ob", weights["linear.bias"])]
    soft = g.add("Softmax", [g.add("Gemm", [flat, *out], "logits", transB=1)], "soft", axis=1)
    three = g.constant("three", np.array([3]))
    g.add("Reshape", [soft, g.add("Concat", [grid, three], "out_grid", axis=0)], "probabilities")
    return g


def lstm(g: Graph, weights: dict[str, npt.NDArray[Any]], state: str, layer: int, one: str) -> str:
    """Add one recurrent layer and return its output's name."""
    ih, hh = f"lstm.weight_ih_l{layer}", f"lstm.weight_hh_l{layer}"
    bias = [onnx_gates(weights[f"lstm.bias_{part}_l{layer}"]) for part in ("ih", "hh")]
    inputs = [
        state,
        g.constant(f"w{layer}", onnx_gates(weights[ih])[None]),
        g.constant(f"r{layer}", onnx_gates(weights[hh])[None]),
        g.constant(f"b{layer}", np.concatenate(bias)[None]),
    ]
    out = g.add("LSTM", inputs, f"lstm{layer}", hidden_size=HIDDEN)
    return g.add("Squeeze", [out, one], f"sequence{layer + 1}")


def main() -> None:
    """Convert the three networks and print the digest of each file."""
    parser = argparse.ArgumentParser(
        prog="python -m tonearm_eval.recipes.beat_models",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("weights", type=Path, help="folder with model_{1,2,3}_weights.pt")
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for number in (1, 2, 3):
        path = args.out / f"beat_crnn_{number}.onnx"
        build(state_dict(args.weights / f"model_{number}_weights.pt")).save(
            path,
            inputs={"features": ["time", "stretch", FEATURES]},
            outputs={"probabilities": ["time", "stretch", 3]},
            credit=CREDIT,
        )
        print(hashlib.sha256(path.read_bytes()).hexdigest(), path.name)


if __name__ == "__main__":
    main()
