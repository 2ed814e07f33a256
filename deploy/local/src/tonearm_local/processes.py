"""Starting children that die with their supervisor, and making sure that none is left.

Every child leads a session of its own and carries TONEARM_SUPERVISED in its environment, so
that what an earlier supervisor left behind is found by exactly that mark, never by name.
"""

import asyncio
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from tonearm_local.component import Command

MARK = "TONEARM_SUPERVISED"
_WRAPPER = Path(__file__).with_name("_exec.py")
_KILL_WAIT_S = 5.0
_POLL_S = 0.02


@dataclass(frozen=True)
class ProcessId:
    """A process that cannot be mistaken for a later one with the same number."""

    pid: int
    created_at_s: float

    @staticmethod
    def of(pid: int) -> "ProcessId | None":
        """The identity of a running *pid*; None when it is gone."""
        try:
            return ProcessId(pid, psutil.Process(pid).create_time())
        except psutil.NoSuchProcess:
            return None

    def alive(self) -> bool:
        """True while this very process runs (a zombie has ended)."""
        try:
            process = psutil.Process(self.pid)
            return (
                abs(process.create_time() - self.created_at_s) < 1.0
                and process.status() != psutil.STATUS_ZOMBIE
            )
        except psutil.NoSuchProcess:
            return False


async def spawn(command: Command, *, log: Path, state_dir: Path) -> asyncio.subprocess.Process:
    """Start *command* with its output appended to *log*."""
    who = command.identity
    wrapper = [
        sys.executable,
        "-I",
        "-S",
        str(_WRAPPER),
        str(os.getpid()),
        str(who.uid),
        str(who.gid),
        str(int(who.namespace)),
        str(int(command.death_signal)),
        "--",
    ]
    log.parent.mkdir(parents=True, exist_ok=True)
    scratch = state_dir / "tmp"
    if not scratch.is_dir():
        scratch.mkdir(parents=True, exist_ok=True)
        scratch.chmod(0o1777)  # Postgres may be somebody else
    with log.open("ab") as output:
        return await asyncio.create_subprocess_exec(
            *wrapper,
            *command.argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=command.cwd,
            env={**command.env, MARK: str(state_dir), "TMPDIR": str(scratch)},
            start_new_session=True,
        )


def signal_group(pid: int, number: signal.Signals) -> None:
    """Signal the session led by *pid*; nothing happens when all of it is gone."""
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        return


async def stop(
    process: asyncio.subprocess.Process, *, asking: signal.Signals, wait_s: float
) -> bool:
    """Ask the child to finish, kill its whole group after *wait_s*; False when it was killed.

    Only the leader is asked: it knows how to end its own workers. Whatever of the group is left
    once it ended is killed.
    """
    polite = True
    family = _descendants(process.pid)
    if process.returncode is None:
        process.send_signal(asking)
        try:
            await asyncio.wait_for(process.wait(), wait_s)
        except TimeoutError:
            polite = False
    signal_group(process.pid, signal.SIGKILL)
    await process.wait()
    # Killed is not gone yet: until then a port may stay taken.
    deadline = time.monotonic() + _KILL_WAIT_S
    while any(_runs(each) for each in family) and time.monotonic() < deadline:  # noqa: ASYNC110
        await asyncio.sleep(_POLL_S)
    return polite


def _descendants(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def leftovers(state_dir: Path) -> list[psutil.Process]:
    """Processes that a supervisor of *state_dir* started and that still run."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == str(state_dir):
                found.append(process)
        except (psutil.AccessDenied, psutil.NoSuchProcess, psutil.ZombieProcess):
            continue  # somebody else's, or gone meanwhile
    return [process for process in found if process.pid != os.getpid()]


def recorded(pids: list[ProcessId]) -> list[psutil.Process]:
    """Those of *pids* that still run, with their descendants."""
    found = []
    for identity in pids:
        if identity.alive():
            try:
                process = psutil.Process(identity.pid)
                found += [*process.children(recursive=True), process]
            except psutil.NoSuchProcess:
                continue
    return found


def end(processes: list[psutil.Process]) -> int:
    """End *processes* politely, then by force; returns how many there were."""
    for process in processes:
        _send(process, signal.SIGTERM)
    _gone, alive = psutil.wait_procs(processes, timeout=_KILL_WAIT_S)
    for process in alive:
        # Postgres takes SIGTERM as "when everybody has left"; SIGINT means now.
        _send(process, signal.SIGINT)
    _gone, alive = psutil.wait_procs(alive, timeout=_KILL_WAIT_S)
    for process in alive:
        _send(process, signal.SIGKILL)
    psutil.wait_procs(alive, timeout=_KILL_WAIT_S)
    return len(processes)


def _send(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return


def holder(port: int) -> str:
    """Who listens on *port*, in words; empty when that cannot be told."""
    try:
        for connection in psutil.net_connections("tcp"):
            address = connection.laddr
            if connection.status == psutil.CONN_LISTEN and address and address.port == port:
                if connection.pid is None:
                    return "another user's process"
                return f"process {connection.pid} ({psutil.Process(connection.pid).name()})"
    except (psutil.AccessDenied, psutil.NoSuchProcess):
        return ""
    return ""
