"""Writing a file of fitted numbers and its card into the engine's models."""

from __future__ import annotations

import hashlib
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from tonearm_analysis.engine.models.store import read_card, read_numbers


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, (float, np.floating)):
        return float(f"{float(value):.6g}")
    return value


def models_folder() -> Path:
    """Where the engine keeps its models."""
    return Path(str(files("tonearm_analysis.engine.models")))


def write_numbers(
    name: str,
    numbers: dict[str, Any],
    *,
    task: str,
    training: str,
    recipe: str = "python -m tonearm_eval.fit.rhythm",
) -> None:
    """Write `name`.json and its card; the engine reads the new numbers from now on."""
    path = models_folder() / f"{name}.json"
    path.write_text(json.dumps(_plain(numbers), indent=1) + "\n", encoding="utf-8")
    data = path.read_bytes()
    card = {
        "name": name,
        "file": path.name,
        "sha256": hashlib.sha256(data).hexdigest(),
        "size_bytes": len(data),
        "task": task,
        "licence": "Apache-2.0",
        "credit": "Fitted by the Tonearm authors",
        "training": training,
        "recipe": recipe,
    }
    text = json.dumps(card, indent=1) + "\n"
    (models_folder() / f"{name}.card.json").write_text(text, encoding="utf-8")
    read_card.cache_clear()
    read_numbers.cache_clear()
