"""What stands behind a verdict, for people: its rivals, and the numbers that decided."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich import box
from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tonearm_cli import say


def evidence(result: Mapping[str, Any]) -> RenderableType:
    """Return the rivals and the evidence of tempo and key; stages without any say nothing."""
    return Group(*(Padding(part, (0, 0, 1, 2)) for part in _parts(result)))


def _parts(result: Mapping[str, Any]) -> Iterator[RenderableType]:
    for stage, verdict, name in (("rhythm", "Tempo", "bpm"), ("harmony", "Key", "key")):
        part = result.get(stage) or {}
        candidates, numbers = part.get("candidates") or (), part.get("evidence") or {}
        if candidates:
            yield _rivals(verdict, name, candidates)
        if numbers:
            yield _numbers(stage, numbers)


def _rivals(verdict: str, name: str, candidates: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), title_justify="left")
    table.add_column(verdict, justify="right")
    table.add_column("Probability", justify="right")
    table.add_column("Relation")
    for candidate in candidates:
        value = candidate[name]
        shown = value if isinstance(value, str) else say.number(value, 1, "BPM")
        table.add_row(shown, f"{candidate['probability']:.3f}", str(candidate["relation"]))
    return table


def _numbers(stage: str, numbers: Mapping[str, Any]) -> RenderableType:
    pairs = [Text(f"{name} {value:g}") for name, value in sorted(numbers.items())]
    title = Text(f"Evidence of {stage}", style="bold")
    return Group(title, Columns(pairs, padding=(0, 2), column_first=True))
