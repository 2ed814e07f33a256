"""The commands of an operator: up, down, and what they print."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import NoReturn

from tonearm_local import artifacts, envoy, java, logs, probes, processes, stack, state
from tonearm_local.progress import Printer
from tonearm_local.settings import LocalSettings
from tonearm_local.surroundings import ROOT, inherited

_POLL_S = 0.1
_FAILURES_MAX = 3
_DOWN_S = 75.0
_LOG_TAIL_LINES = 15


class StackError(Exception):
    """The stack cannot do what was asked; the message is for the operator."""


def up(
    settings: LocalSettings, printer: Printer, *, infra_only: bool, without: Sequence[str]
) -> None:
    """Bring the stack up and wait until it is ready; joins a stack that already runs.

    Raises StackError when a port is taken or a component keeps failing.
    """
    wanted = stack.components(settings, infra_only=infra_only, without=without)
    names = [component.name for component in wanted]
    current = state.running(settings)
    if current is not None and not set(names) <= set(current.components):
        missing = ", ".join(sorted(set(names) - set(current.components)))
        printer.line(f"stack runs without {missing}: starting it anew")
        down(settings, printer)
        current = None
    if current is None:
        clean(settings, printer)
        _check_ports(settings, names)
        prepare(settings, printer, names)
        _start_supervisor(settings, infra_only=infra_only, without=without)
    _follow(settings, printer)


def prepare(settings: LocalSettings, printer: Printer, names: Sequence[str]) -> None:
    """Fetch whatever the components need, with progress."""
    groups = [name for name in ("kafka", "zipkin") if name in names]
    with printer.downloads() as progress:
        artifacts.fetch(groups, progress)
    if groups:
        java.prepare(settings)
    if "gateway" in names and not envoy.installed():
        printer.line("installing Envoy")
        envoy.install()


def clean(settings: LocalSettings, printer: Printer) -> None:
    """End what a supervisor that died left running."""
    old = state.read(settings)
    pids = [row.process for row in old.components.values() if row.process] if old else []
    left = {
        process.pid: process
        for process in [*processes.recorded(pids), *processes.leftovers(settings.path())]
    }
    if left:
        printer.line(f"ending {len(left)} processes that an earlier run left behind")
        processes.end(list(left.values()))
    shutil.rmtree(settings.path("tmp"), ignore_errors=True)


def _check_ports(settings: LocalSettings, names: Sequence[str]) -> None:
    wanted = [
        (port, setting, name) for name in names for setting, port in settings.ports()[name].items()
    ]
    seen: dict[int, str] = {}
    for port, setting, _ in wanted:
        if port in seen:
            raise StackError(f"{setting} and {seen[port]} are both {port}")
        seen[port] = setting
    for port, setting, name in wanted:
        if not probes.port_is_free("127.0.0.1", port):
            who = processes.holder(port)
            taken = f"taken by {who}" if who else "taken"
            raise StackError(
                f"port {port} ({name}) is {taken}: free it or set {setting} to another port"
            )


def _start_supervisor(settings: LocalSettings, *, infra_only: bool, without: Sequence[str]) -> None:
    log = settings.path("logs", "supervisor.log")
    log.parent.mkdir(parents=True, exist_ok=True)
    argv = [sys.executable, "-m", "tonearm_local", "supervise"]
    argv += ["--infra-only"] if infra_only else []
    argv += [word for name in without for word in ("--without", name)]
    env = inherited() | {"TONEARM_STATE_DIR": str(settings.path())}
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603 - this interpreter, this package
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=ROOT,
            env=env,
            start_new_session=True,
        )
    deadline = time.monotonic() + settings.up_timeout_s
    while True:
        current = state.running(settings)
        if current is not None and current.pid == process.pid:
            # Popen's destructor would warn about a daemon that is meant to outlive it.
            process.returncode = 0
            return
        if process.poll() is not None or time.monotonic() > deadline:
            raise StackError(f"the supervisor did not start; see {log}")
        time.sleep(_POLL_S)


def _follow(settings: LocalSettings, printer: Printer) -> None:
    began = time.monotonic()
    told: dict[str, tuple[str, int]] = {}
    while True:
        current = state.running(settings)
        if current is None:
            raise StackError("the supervisor ended; see `make logs`")
        for row in current.components.values():
            now = (row.phase, row.failures)
            if told.get(row.name) != now:
                told[row.name] = now
                printer.component(row)
            if row.failures >= _FAILURES_MAX:
                _give_up(settings, row)
        if current.ready():
            printer.line(f"ready in {time.monotonic() - began:.1f} s")
            return
        if time.monotonic() - began > settings.up_timeout_s:
            late = [row.name for row in current.components.values() if row.phase != "ready"]
            raise StackError(f"not ready after {settings.up_timeout_s:.0f} s: {', '.join(late)}")
        time.sleep(_POLL_S)


def _give_up(settings: LocalSettings, row: state.ComponentState) -> NoReturn:
    tail = "\n".join(logs.tail(settings.path("logs", f"{row.name}.log"), _LOG_TAIL_LINES))
    raise StackError(f"{row.name} does not start: {row.problem}\n{tail}")


def down(settings: LocalSettings, printer: Printer) -> None:
    """Stop the stack; returns when no process of it is left. Fine when none runs."""
    current = state.running(settings)
    if current is not None:
        os.kill(current.pid, signal.SIGTERM)
        told: dict[str, str] = {}
        deadline = time.monotonic() + _DOWN_S
        while current.supervisor.alive() and time.monotonic() < deadline:
            now = state.read(settings)
            for row in now.components.values() if now else ():
                if row.phase in {"stopping", "stopped"} and told.get(row.name) != row.phase:
                    told[row.name] = row.phase
                    printer.component(row)
            _reap(current.pid)
            time.sleep(_POLL_S)
        if current.supervisor.alive():
            printer.line("the supervisor does not end: killing it")
            os.kill(current.pid, signal.SIGKILL)
    clean(settings, printer)
    (state.run_dir(settings) / "state.json").unlink(missing_ok=True)
    printer.line("stack is down")


def _reap(pid: int) -> None:
    """Collect the supervisor when it is this process's own child (up and down in one run)."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return


def as_json(settings: LocalSettings) -> str:
    """The status for programs: {"running": bool, "components": {...}}."""
    current = state.running(settings)
    rows = {} if current is None else current.components
    return json.dumps(
        {
            "running": current is not None,
            "ready": current is not None and current.ready(),
            "supervisor_pid": None if current is None else current.pid,
            "components": {name: vars(row) for name, row in rows.items()},
        },
        indent=2,
    )
