"""Tables for people, JSON for programs, from the same rows."""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


class Unmeasurable(RuntimeError):
    """The platform did something else than what is to be measured."""


@dataclass(frozen=True)
class Row:
    """One measured number beside its baseline; `ratio` is measured / baseline."""

    name: str
    unit: str
    measured: float
    baseline: float | None = None
    baseline_name: str = ""

    @property
    def ratio(self) -> float | None:
        """How the measured value compares; None without a baseline."""
        return None if not self.baseline else self.measured / self.baseline


@dataclass
class Report:
    """The rows of one benchmark and the circumstances that they hold in."""

    title: str
    rows: list[Row] = field(default_factory=list)
    circumstances: dict[str, Any] = field(default_factory=dict)

    def table(self) -> str:
        """Return the rows as text."""
        head = ("what", "unit", "measured", "baseline", "ratio", "baseline is")
        lines = [
            (
                row.name,
                row.unit,
                _number(row.measured),
                _number(row.baseline),
                "" if row.ratio is None else f"{row.ratio:.2f}",
                row.baseline_name,
            )
            for row in self.rows
        ]
        widths = [max(len(line[i]) for line in (head, *lines)) for i in range(len(head))]
        text = [self.title, ", ".join(f"{k}: {v}" for k, v in self.circumstances.items())]
        for line in (head, *lines):
            cells = zip(line, widths, strict=True)
            text.append("  ".join(cell.ljust(width) for cell, width in cells).rstrip())
        return "\n".join(text)

    def as_json(self) -> dict[str, Any]:
        """Return the rows with their ratios, JSON-ready."""
        rows = [asdict(row) | {"ratio": row.ratio} for row in self.rows]
        return {"title": self.title, "circumstances": self.circumstances, "rows": rows}


def machine() -> dict[str, Any]:
    """Return what the numbers depend on most."""
    return {
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 1),
    }


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that `share` of all values do not exceed."""
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def write(reports: Sequence[Report], path: Path) -> None:
    """Write all reports as one JSON file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([report.as_json() for report in reports], indent=2) + "\n")


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
