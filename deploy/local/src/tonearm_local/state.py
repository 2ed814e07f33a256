"""What the supervisor tells the other commands: one JSON file, replaced whole."""

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Literal

from tonearm_local.processes import ProcessId
from tonearm_local.settings import LocalSettings

Phase = Literal["waiting", "preparing", "starting", "ready", "restarting", "stopping", "stopped"]


@dataclass
class ComponentState:
    """One row of `make status`. *since_s* is in seconds of the epoch."""

    name: str
    phase: Phase = "waiting"
    pid: int | None = None
    created_at_s: float = 0.0
    since_s: float = 0.0
    start_s: float | None = None
    restarts: int = 0
    failures: int = 0
    url: str = ""
    ports: dict[str, int] = field(default_factory=dict)
    problem: str = ""

    @property
    def process(self) -> ProcessId | None:
        """Identity of the running program."""
        return None if self.pid is None else ProcessId(self.pid, self.created_at_s)


@dataclass
class StackState:
    """All components in the order of their start, and their supervisor."""

    pid: int
    created_at_s: float
    components: dict[str, ComponentState]

    @property
    def supervisor(self) -> ProcessId:
        """Identity of the supervisor."""
        return ProcessId(self.pid, self.created_at_s)

    def ready(self) -> bool:
        """True when every component is."""
        return all(row.phase == "ready" for row in self.components.values())


def run_dir(settings: LocalSettings) -> Path:
    """Folder of lock and state."""
    folder = settings.path("run")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def write(settings: LocalSettings, state: StackState) -> None:
    """Replace the state file."""
    path = run_dir(settings) / "state.json"
    scratch = path.with_suffix(".new")
    scratch.write_text(json.dumps(asdict(state), indent=1), "utf-8")
    scratch.replace(path)


def read(settings: LocalSettings) -> StackState | None:
    """The last state written; None when there never was one."""
    path = run_dir(settings) / "state.json"
    if not path.is_file():
        return None
    raw = json.loads(path.read_text("utf-8"))
    rows = {name: ComponentState(**row) for name, row in raw["components"].items()}
    return StackState(raw["pid"], raw["created_at_s"], rows)


def running(settings: LocalSettings) -> StackState | None:
    """The state of a supervisor that lives; None when none does."""
    state = read(settings)
    return state if state is not None and state.supervisor.alive() else None


class AlreadyRunning(Exception):
    """Another supervisor holds this state directory."""


@contextmanager
def lock(settings: LocalSettings) -> Iterator[IO[str]]:
    """Hold the state directory for the life of a supervisor; the kernel frees it at death."""
    with (run_dir(settings) / "supervisor.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AlreadyRunning(str(settings.path())) from error
        yield file
