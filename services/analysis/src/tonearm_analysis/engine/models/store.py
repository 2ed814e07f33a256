"""Opening the shipped files: digest checked, sessions made once a process, one thread each."""

from __future__ import annotations

import hashlib
import json
import os
from functools import cache
from importlib.resources import files
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


class ModelCorruptedError(Exception):
    """A shipped file is not the one that its card describes."""


class Network(Protocol):
    """What the engine needs of an inference session."""

    def run(self, outputs: list[str] | None, inputs: dict[str, Floats]) -> list[Floats]:
        """Evaluate the named outputs (all, if None) on the named inputs."""


@cache
def read_card(name: str) -> dict[str, Any]:
    """The card of the model `name`: source, licence, credit, digest, input and output."""
    text = files(__package__).joinpath(f"{name}.card.json").read_text(encoding="utf-8")
    card: dict[str, Any] = json.loads(text)
    return card


def _checked_bytes(name: str) -> bytes:
    card = read_card(name)
    data = files(__package__).joinpath(card["file"]).read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != card["sha256"]:
        raise ModelCorruptedError(f"{card['file']} has SHA-256 {digest}, not {card['sha256']}")
    return data


@cache
def open_network(name: str, *, blocked: bool = True) -> Network:
    """The network `name`, ready to run on one thread, the same in every process.

    Raises ModelCorruptedError when the file is not the one its card describes.
    """
    return session(_checked_bytes(name), blocked=blocked)


def session(model: bytes, *, blocked: bool = True) -> Network:
    """The network of an ONNX file.

    blocked: let convolutions keep channels in blocks, which costs time where they have few.
    """
    # The published builds report usage over the network unless told not to before the import.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # noqa: TID251 - it reads nothing else
    # Imported here: it costs a tenth of a second that commands without analysis should not pay.
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    if not blocked:
        level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        options.graph_optimization_level = level
    # The arena keeps a peak's worth of memory for good and is no faster here.
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    opened: Network = onnxruntime.InferenceSession(
        model, options, providers=["CPUExecutionProvider"]
    )
    return opened


@cache
def read_numbers(name: str) -> dict[str, Any]:
    """The fitted constants `name`, from a JSON file with a card.

    Raises ModelCorruptedError when the file is not the one its card describes.
    """
    numbers: dict[str, Any] = json.loads(_checked_bytes(name))
    return numbers
