"""What an operator sees: bars and colours on a terminal, plain lines elsewhere."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    TaskID,
    TextColumn,
    TransferSpeedColumn,
)
from rich.progress import (
    Progress as Bars,
)
from rich.table import Table

from tonearm_local.artifacts import Progress
from tonearm_local.state import ComponentState, StackState

_COLOURS = {
    "ready": "green",
    "restarting": "red",
    "stopping": "yellow",
    "stopped": "dim",
    "waiting": "dim",
}


class _BarProgress:
    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def begin(self, name: str, *, total_bytes: int) -> None:
        self._tasks[name] = self._bars.add_task(name, total=total_bytes)

    def advance(self, name: str, *, n_bytes: int) -> None:
        self._bars.update(self._tasks[name], advance=n_bytes)

    def done(self, name: str) -> None:
        self._bars.update(self._tasks[name], description=f"{name} (checksum right)")


class _LineProgress:
    """One line when a download begins and one when it ends; a quarter each for large files."""

    _LARGE_BYTES = 20_000_000

    def __init__(self, printer: "Printer") -> None:
        self._printer = printer
        self._seen: dict[str, tuple[int, int]] = {}

    def begin(self, name: str, *, total_bytes: int) -> None:
        self._seen[name] = (0, total_bytes)
        self._printer.line(f"fetching {name} ({total_bytes / 1e6:.1f} MB)")

    def advance(self, name: str, *, n_bytes: int) -> None:
        before, total = self._seen[name]
        self._seen[name] = (before + n_bytes, total)
        quarter = 4 * (before + n_bytes) // total
        if total > self._LARGE_BYTES and quarter > 4 * before // total:
            self._printer.line(f"fetching {name}: {quarter * 25} %")

    def done(self, name: str) -> None:
        self._printer.line(f"fetched  {name}, checksum right")


class Printer:
    """Prints for a person, or for a log when standard output is no terminal."""

    def __init__(self) -> None:
        self.console = Console(highlight=False, soft_wrap=True)

    def line(self, text: str) -> None:
        """One line."""
        self.console.print(text, markup=False)

    def error(self, text: str) -> None:
        """What went wrong, on standard error."""
        Console(stderr=True, highlight=False, soft_wrap=True).print(
            f"error: {text}", style="bold red", markup=False
        )

    def component(self, row: ComponentState) -> None:
        """A component's new phase."""
        took = f" in {row.start_s:.1f} s" if row.phase == "ready" and row.start_s else ""
        more = f"  {row.url}" if row.phase == "ready" and row.url else ""
        if row.phase == "restarting":
            more = f"  {row.problem}"
        self.console.print(
            f"{row.name:<10} {row.phase}{took}{more}",
            style=_COLOURS.get(row.phase, ""),
            markup=False,
        )

    @contextmanager
    def downloads(self) -> Iterator[Progress]:
        """Where fetching tells its progress."""
        if not self.console.is_terminal:
            yield _LineProgress(self)
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
        )
        with Bars(*columns, console=self.console) as bars:
            yield _BarProgress(bars)

    def table(self, state: StackState | None) -> None:
        """The status of all components."""
        if state is None:
            self.line("the stack is down; `make up` starts it")
            return
        table = Table("component", "state", "pid", "up", "restarts", "memory", "address", box=None)
        for row in state.components.values():
            table.add_row(
                row.name,
                row.phase,
                str(row.pid or ""),
                _age(time.time() - row.since_s) if row.phase == "ready" else "",
                str(row.restarts),
                _memory(row.pid),
                row.url or row.problem,
                style=_COLOURS.get(row.phase, ""),
            )
        self.console.print(table)


def _age(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def _memory(pid: int | None) -> str:
    if pid is None:
        return ""
    try:
        process = psutil.Process(pid)
        total = sum(p.memory_info().rss for p in [process, *process.children(recursive=True)])
    except psutil.NoSuchProcess:
        return ""
    return f"{total / 2**20:.0f} MiB"
