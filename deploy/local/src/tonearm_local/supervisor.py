"""Keeps the components running: starts them in order, restarts what dies, stops all at the end."""

import asyncio
import json
import os
import random
import signal
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from tonearm_local import processes, state
from tonearm_local.artifacts import FetchError
from tonearm_local.component import Command, Component, Run, StepFailed
from tonearm_local.processes import ProcessId
from tonearm_local.settings import LocalSettings

_POLL_S = 0.1
_STEP_S = 120.0
_BACK_OFF_FIRST_S = 0.5
_BACK_OFF_MAX_S = 15.0
_HEALTHY_S = 30.0
_LOG_BYTES_MAX = 20 * 1024 * 1024
_HOUSEKEEPING_S = 60.0
_OWNER_POLL_S = 1.0


class Supervisor:
    """Runs *components* until told to stop. One instance per process and state directory."""

    def __init__(self, settings: LocalSettings, components: Sequence[Component]) -> None:
        self._settings = settings
        self._components = {component.name: component for component in components}
        self._ready = {name: asyncio.Event() for name in self._components}
        self._children: dict[str, asyncio.subprocess.Process] = {}
        self._stop = asyncio.Event()
        me = ProcessId.of(os.getpid())
        assert me is not None  # noqa: S101 - this process runs
        rows = {
            name: state.ComponentState(name, url=component.url, ports=dict(component.ports))
            for name, component in self._components.items()
        }
        self._state = state.StackState(me.pid, me.created_at_s, rows)

    async def run(self) -> None:
        """Until SIGTERM or SIGINT; then stop in the reverse order of starting."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        self._write()
        async with asyncio.TaskGroup() as group:
            keepers = [group.create_task(self._keep(c)) for c in self._components.values()]
            keepers.append(group.create_task(self._housekeeping()))
            keepers.append(group.create_task(self._outlive_nobody()))
            await self._stop.wait()
            for keeper in keepers:
                keeper.cancel()
        await self._stop_all()

    def log_path(self, name: str) -> Path:
        """Where a component's output goes."""
        return self._settings.path("logs", f"{name}.log")

    async def _keep(self, component: Component) -> None:
        row = self._state.components[component.name]
        for name in component.after:
            await self._ready[name].wait()
        back_off_s = _BACK_OFF_FIRST_S
        while True:
            healthy_s = await self._once(component, row)
            self._ready[component.name].clear()
            if healthy_s > _HEALTHY_S:
                back_off_s = _BACK_OFF_FIRST_S
            self._set(row, phase="restarting")
            # Jitter: services that fell together do not come back in step.
            await asyncio.sleep(back_off_s * random.uniform(0.8, 1.2))  # noqa: S311
            back_off_s = min(back_off_s * 2, _BACK_OFF_MAX_S)
            row.restarts += 1

    async def _once(self, component: Component, row: state.ComponentState) -> float:
        """One life of a component; returns for how many seconds it was ready."""
        began = time.monotonic()
        ready_at: float | None = None
        try:
            self._set(row, phase="preparing")
            await component.prepare(self._runner(component))
            self._set(row, phase="starting")
            process = await self._spawn(component.name, component.command())
            await self._wait_ready(component, process)
            await self._finish(component, row, process)
            ready_at = time.monotonic()
            row.start_s = ready_at - began
            row.failures = 0
            self._set(row, phase="ready", problem="")
            self._ready[component.name].set()
            code = await process.wait()
            row.problem = f"ended with {_describe(code)}"
        except (StepFailed, FetchError, OSError) as error:
            row.failures += 1
            row.problem = str(error)
        await self._clear(component)
        return 0.0 if ready_at is None else time.monotonic() - ready_at

    async def _spawn(self, name: str, command: Command) -> asyncio.subprocess.Process:
        process = await processes.spawn(
            command, log=self.log_path(name), state_dir=self._settings.path()
        )
        self._children[name] = process
        identity = ProcessId.of(process.pid)
        row = self._state.components[name]
        row.pid = process.pid
        row.created_at_s = identity.created_at_s if identity else 0.0
        self._write()
        return process

    async def _wait_ready(self, component: Component, process: asyncio.subprocess.Process) -> None:
        deadline = time.monotonic() + component.start_s
        while not await component.ready():
            if process.returncode is not None:
                raise StepFailed(f"ended while starting with {_describe(process.returncode)}")
            if time.monotonic() > deadline:
                raise StepFailed(f"not ready after {component.start_s:.0f} s")
            await asyncio.sleep(_POLL_S)

    async def _finish(
        self, component: Component, row: state.ComponentState, process: asyncio.subprocess.Process
    ) -> None:
        """Run the last step until it works: its failure is no reason to restart a good server."""
        back_off_s = _BACK_OFF_FIRST_S
        while process.returncode is None:
            try:
                await component.finish(self._runner(component))
            except (StepFailed, OSError) as error:
                row.failures += 1
                row.problem = str(error)
                self._write()
                await asyncio.sleep(back_off_s)
                back_off_s = min(back_off_s * 2, _BACK_OFF_MAX_S)
            else:
                return
        raise StepFailed(f"ended while starting with {_describe(process.returncode)}")

    def _runner(self, component: Component) -> Run:
        async def run(command: Command) -> None:
            key = f"{component.name}:step"
            process = await processes.spawn(
                command,
                log=self.log_path(component.name),
                state_dir=self._settings.path(),
            )
            self._children[key] = process
            try:
                code = await asyncio.wait_for(process.wait(), _STEP_S)
            except TimeoutError as error:
                await processes.stop(process, asking=signal.SIGTERM, wait_s=2.0)
                raise StepFailed(f"{_short(command)} took over {_STEP_S:.0f} s") from error
            del self._children[key]
            if code != 0:
                raise StepFailed(f"{_short(command)} ended with {_describe(code)}")

        return run

    async def _clear(self, component: Component) -> None:
        """End what is left of a component's group before it starts anew."""
        process = self._children.pop(component.name, None)
        if process is not None:
            await processes.stop(process, asking=component.stop_signal, wait_s=component.stop_s)
        row = self._state.components[component.name]
        row.pid = None
        self._write()

    async def _stop_all(self) -> None:
        """Dependants first; components that nothing depends on stop side by side."""
        for key in [key for key in self._children if key.endswith(":step")]:
            await processes.stop(self._children.pop(key), asking=signal.SIGTERM, wait_s=2.0)
        remaining = dict(self._components)
        while remaining:
            needed = {name for c in remaining.values() for name in c.after}
            layer = [c for name, c in remaining.items() if name not in needed]
            async with asyncio.TaskGroup() as group:
                for component in layer:
                    group.create_task(self._stop_one(component))
                    del remaining[component.name]

    async def _stop_one(self, component: Component) -> None:
        row = self._state.components[component.name]
        self._set(row, phase="stopping")
        await self._clear(component)
        self._set(row, phase="stopped")

    async def _housekeeping(self) -> None:
        """Keep logs bounded. Children append, so cutting a file under them is safe."""
        while True:
            for path in self._settings.path("logs").glob("*.log"):
                if path.stat().st_size > _LOG_BYTES_MAX:
                    path.with_suffix(".log.1").write_bytes(path.read_bytes())
                    os.truncate(path, 0)
            await asyncio.sleep(_HOUSEKEEPING_S)

    async def _outlive_nobody(self) -> None:
        """Stop when the process that this stack was started for (a test run) has ended."""
        if self._settings.die_with_pid is None:
            return
        owner = ProcessId.of(self._settings.die_with_pid)
        while owner is not None and owner.alive():  # noqa: ASYNC110 - another process's end
            await asyncio.sleep(_OWNER_POLL_S)
        self._stop.set()

    def _set(
        self, row: state.ComponentState, *, phase: state.Phase, problem: str | None = None
    ) -> None:
        row.phase = phase
        row.since_s = time.time()
        if problem is not None:
            row.problem = problem
        self._write()
        _log(row)

    def _write(self) -> None:
        state.write(self._settings, self._state)


def _log(row: state.ComponentState) -> None:
    """Tell a change as the services tell theirs; the state keeps only the last one."""
    line = {
        "component": row.name,
        "pid": row.pid,
        "restarts": row.restarts,
        **({"problem": row.problem} if row.problem else {}),
        "event": row.phase,
        "service": "supervisor",
        "level": "warning" if row.phase == "restarting" else "info",
        "time": datetime.fromtimestamp(row.since_s, UTC).isoformat().replace("+00:00", "Z"),
    }
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def _short(command: Command) -> str:
    words = [Path(command.argv[0]).name, *command.argv[1:]]
    return " ".join(words if len(words) <= 4 else [words[0], "...", *words[-4:]])


def _describe(code: int | None) -> str:
    if code is not None and code < 0:
        return f"signal {signal.Signals(-code).name}"
    return f"exit code {code}"
