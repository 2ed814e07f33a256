"""What is going on, live, on standard error: ticked steps, and the one that runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from tonearm_cli import say
from tonearm_cli.output import Output


class Board:
    """Steps as they finish. Without a terminal each is a plain line; with `--json`, nothing."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._rows: list[tuple[Text, Text, Text, Text]] = []
        self._busy: Spinner | None = None
        self._live: Live | None = None

    @contextmanager
    def shown(self) -> Iterator[Board]:
        """Keep the board on the screen; it stays there afterwards without its spinner."""
        if self._output.as_json or not self._output.err.is_terminal:
            yield self
            return
        with Live(console=self._output.err, refresh_per_second=12) as live:
            self._live = live
            try:
                yield self
            finally:
                self._busy = None
                live.update(self._content())
                self._live = None

    def done(self, name: str, found: str, *, took_s: float | None = None) -> None:
        """Tick a step."""
        self._add("✓", "green", name, Text(found), took_s)

    def warned(self, name: str, reason: str) -> None:
        """Mark a step that is done without."""
        self._add("!", "yellow", name, Text(reason, style="yellow"), None)

    def failed(self, name: str, reason: str) -> None:
        """Cross a step."""
        self._add("✗", "red", name, Text(reason, style="red"), None)

    def busy(self, text: str) -> None:
        """Say what runs now."""
        self._busy = Spinner("dots", Text(text, style="dim"), style="cyan")
        self._refresh()

    def _add(self, mark: str, style: str, name: str, found: Text, took_s: float | None) -> None:
        found.no_wrap, found.overflow = True, "ellipsis"
        took = Text("" if took_s is None else say.took(took_s), style="dim")
        self._rows.append((Text(mark, style=style), Text(name, style="bold"), took, found))
        if self._output.as_json:
            return
        if self._output.err.is_terminal:
            self._refresh()
        else:
            line = f"{mark} {name:<11} {took.plain:>7}  {found.plain}"
            self._output.err.print(line.rstrip(), soft_wrap=True, markup=False)

    def _refresh(self) -> None:
        if self._live is not None:
            self._live.update(self._content())

    def _content(self) -> RenderableType:
        grid = Table.grid(padding=(0, 1, 0, 0))
        grid.add_column(width=1)
        grid.add_column(no_wrap=True, min_width=11)
        grid.add_column(no_wrap=True, justify="right", min_width=7)
        grid.add_column(no_wrap=True, overflow="ellipsis")
        for row in self._rows:
            grid.add_row(*row)
        return Group(grid, self._busy) if self._busy else Group(grid)


class Bar:
    """A progress bar for bytes."""

    def __init__(self, progress: Progress | None, task: Any) -> None:
        self._progress, self._task = progress, task

    def advance(self, n_bytes: int) -> None:
        """Move on by `n_bytes`; negative where bytes have to go again."""
        if self._progress is not None:
            self._progress.advance(self._task, n_bytes)


@contextmanager
def byte_bar(output: Output, text: str, *, size_bytes: int, done_bytes: int = 0) -> Iterator[Bar]:
    """Show a bar over `size_bytes` while the block runs; only at a terminal."""
    if output.as_json or not output.err.is_terminal:
        yield Bar(None, None)
        return
    columns = (
        TextColumn("  {task.description}", style="bold"),
        BarColumn(bar_width=32, complete_style="cyan", finished_style="green"),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=output.err, transient=True) as progress:
        yield Bar(progress, progress.add_task(text, total=size_bytes, completed=done_bytes))
