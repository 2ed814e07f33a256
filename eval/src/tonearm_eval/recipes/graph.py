"""A thin layer over ONNX's helpers: nodes and constants collected one by one."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

OPSET = 17
Shape = list[str | int]


class Graph:
    """Collects the nodes and constants of one ONNX graph."""

    def __init__(self) -> None:
        self.onnx: Any = importlib.import_module("onnx")
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, name: str, values: npt.ArrayLike) -> str:
        """Add a constant and return its name."""
        array = np.ascontiguousarray(values)
        self.constants.append(self.onnx.numpy_helper.from_array(array, name))
        return name

    def add(self, op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """Add a node with one output and return the output's name."""
        self.nodes.append(self.onnx.helper.make_node(op, inputs, [output], **attributes))
        return output

    def save(
        self, path: Path, *, inputs: dict[str, Shape], outputs: dict[str, Shape], credit: str
    ) -> None:
        """Check the graph and write it."""
        helper, kind = self.onnx.helper, self.onnx.TensorProto.FLOAT

        def infos(shapes: dict[str, Shape]) -> list[Any]:
            return [helper.make_tensor_value_info(n, kind, s) for n, s in shapes.items()]

        graph = helper.make_graph(
            self.nodes, path.stem.rstrip("_123"), infos(inputs), infos(outputs), self.constants
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=8,
            producer_name="tonearm",
            doc_string=credit,
        )
        self.onnx.checker.check_model(model)
        self.onnx.save(model, str(path))
