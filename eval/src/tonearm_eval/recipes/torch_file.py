"""Read the tensors of a PyTorch weight file with numpy alone."""

from __future__ import annotations

import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

DTYPES = {"FloatStorage": np.float32, "LongStorage": np.int64}


class _Storage(NamedTuple):
    """A flat buffer of the archive."""

    values: npt.NDArray[Any]


def _rebuild(storage: _Storage, offset: int, size: Any, stride: Any, *_: Any) -> npt.NDArray[Any]:
    count = int(np.prod(size)) if size else 1
    expected = tuple(int(np.prod(size[axis + 1 :])) for axis in range(len(size)))
    if tuple(stride) != expected:
        raise ValueError("only contiguous tensors are supported")
    return storage.values[offset : offset + count].reshape(size)


class _Unpickler(pickle.Unpickler):
    """Accepts just the names that a plain state dict uses; any other is refused."""

    def __init__(self, archive: zipfile.ZipFile, root: str) -> None:
        super().__init__(archive.open(f"{root}/data.pkl"))
        self._archive, self._root = archive, root

    def find_class(self, module: str, name: str) -> Any:
        """The few classes and functions that a state dict names."""
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch" and name in DTYPES:
            return name
        raise pickle.UnpicklingError(f"unexpected {module}.{name}")

    def persistent_load(self, pid: Any) -> _Storage:
        """A storage: its type, its member's name in the archive and where it lived."""
        _, kind, key, *_rest = pid
        data = self._archive.read(f"{self._root}/data/{key}")
        return _Storage(np.frombuffer(data, DTYPES[kind]))


def state_dict(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Tensors by name.  Raises pickle.UnpicklingError for anything but a plain state dict."""
    with zipfile.ZipFile(path) as archive:
        root = archive.namelist()[0].split("/")[0]
        return dict(_Unpickler(archive, root).load())
