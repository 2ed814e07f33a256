"""The supervisor with small real children: order, restarts, failures, an end that leaves nothing."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from tonearm_local import environment, processes, state, supervisor
from tonearm_local.component import Command, Component, Run, StepFailed
from tonearm_local.settings import LocalSettings
from tonearm_local.supervisor import Supervisor

LASTING = "import signal; signal.pause()"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('x', flush=True)\nwhile True: signal.pause()"


@pytest.fixture
def settings(tmp_path: Path) -> LocalSettings:
    return LocalSettings(_env_file=None, TONEARM_STATE_DIR=tmp_path / "with a space")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "_BACK_OFF_FIRST_S", 0.01)
    monkeypatch.setattr(supervisor, "_POLL_S", 0.01)


def python(code: str, *arguments: str) -> Command:
    argv = [sys.executable, "-I", "-S", "-c", code, *arguments]
    return Command(argv, environment.child({}), Path("/"))


async def always() -> bool:
    return True


def component(name: str, code: str = LASTING, *arguments: str) -> Component:
    return Component(name, lambda: python(code, *arguments), always, stop_s=5.0)


@asynccontextmanager
async def running(settings: LocalSettings, *components: Component) -> AsyncIterator[None]:
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        task = group.create_task(Supervisor(settings, components).run())
        await until(lambda: state.read(settings) is not None)
        try:
            yield
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            await task


async def until(fact: Callable[[], bool]) -> None:
    while not fact():
        await asyncio.sleep(0.01)


def row(settings: LocalSettings, name: str) -> state.ComponentState:
    found = state.read(settings)
    assert found is not None
    return found.components[name]


async def test_starts_what_is_needed_first_and_leaves_nothing(settings: LocalSettings) -> None:
    first, second = component("first"), replace(component("second"), after=("first",))
    async with running(settings, second, first):
        await until(lambda: row(settings, "second").phase == "ready")
        assert row(settings, "first").since_s <= row(settings, "second").since_s
        pids = [row(settings, name).pid for name in ("first", "second")]
    assert not any(psutil.pid_exists(pid) for pid in pids if pid)
    assert processes.leftovers(settings.path()) == []
    assert row(settings, "first").phase == "stopped"


async def test_restarts_what_dies(settings: LocalSettings) -> None:
    async with running(settings, component("one")):
        await until(lambda: row(settings, "one").phase == "ready")
        before = row(settings, "one").pid
        assert before is not None
        os.kill(before, signal.SIGKILL)
        await until(lambda: row(settings, "one").restarts == 1)
        await until(lambda: row(settings, "one").phase == "ready")
        assert row(settings, "one").pid != before


async def test_the_log_says_what_died_of_what(
    settings: LocalSettings, capfd: pytest.CaptureFixture[str]
) -> None:
    async with running(settings, component("one")):
        await until(lambda: row(settings, "one").phase == "ready")
        pid = row(settings, "one").pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await until(lambda: row(settings, "one").restarts == 1)
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert {line["component"] for line in lines} == {"one"}
    (died,) = [line for line in lines if line["event"] == "restarting"]
    assert (died["level"], died["problem"]) == ("warning", "ended with signal SIGKILL")
    assert [line["event"] for line in lines[:3]] == ["preparing", "starting", "ready"]


async def test_tells_why_a_component_does_not_start(settings: LocalSettings) -> None:
    async def never() -> bool:
        return False

    broken = replace(component("broken", "raise SystemExit(7)"), ready=never)
    async with running(settings, broken):
        await until(lambda: row(settings, "broken").failures >= 3)
        assert "exit code 7" in row(settings, "broken").problem


async def test_a_failed_step_is_repeated_without_harm_to_its_server(
    settings: LocalSettings,
) -> None:
    attempts = []

    async def finish(_run: Run) -> None:
        attempts.append(1)
        if len(attempts) < 3:
            raise StepFailed("not yet")

    async with running(settings, replace(component("one"), finish=finish)):
        await until(lambda: row(settings, "one").phase == "ready")
        assert len(attempts) == 3
        assert row(settings, "one").restarts == 0


async def test_preparation_runs_to_its_end_before_the_start(
    settings: LocalSettings, tmp_path: Path
) -> None:
    made = tmp_path / "made"

    async def prepare(run: Run) -> None:
        await run(python("import pathlib, sys; pathlib.Path(sys.argv[1]).touch()", str(made)))

    code = "import pathlib, signal, sys; assert pathlib.Path(sys.argv[1]).exists(); signal.pause()"
    async with running(settings, replace(component("one", code, str(made)), prepare=prepare)):
        await until(lambda: row(settings, "one").phase == "ready")
        assert made.exists()


async def test_a_failed_preparation_names_its_exit_code(settings: LocalSettings) -> None:
    async def prepare(run: Run) -> None:
        await run(python("raise SystemExit(3)"))

    async with running(settings, replace(component("one"), prepare=prepare)):
        await until(lambda: row(settings, "one").failures > 0)
        assert "exit code 3" in row(settings, "one").problem


async def test_what_does_not_listen_is_killed(settings: LocalSettings) -> None:
    stubborn = replace(component("stubborn", STUBBORN), stop_s=0.2)
    log = settings.path("logs", "stubborn.log")
    async with running(settings, stubborn):
        await until(lambda: log.is_file() and log.read_text("utf-8").startswith("x"))
        pid = row(settings, "stubborn").pid
        assert pid is not None
    assert not psutil.pid_exists(pid)


async def test_grandchildren_end_with_their_parent(settings: LocalSettings) -> None:
    code = (
        "import os, signal, subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()'])\n"
        "print(child.pid, flush=True)\n"
        "signal.pause()"
    )
    log = settings.path("logs", "parent.log")
    async with running(settings, component("parent", code)):
        await until(lambda: log.is_file() and log.read_text("utf-8").endswith("\n"))
        grandchild = int(log.read_text("utf-8"))
        assert psutil.pid_exists(grandchild)
    assert not psutil.pid_exists(grandchild) or (
        psutil.Process(grandchild).status() == psutil.STATUS_ZOMBIE
    )


async def test_logs_are_cut_before_they_fill_the_disk(
    settings: LocalSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "_LOG_BYTES_MAX", 10)
    monkeypatch.setattr(supervisor, "_HOUSEKEEPING_S", 0.01)
    code = "print('more than ten bytes', flush=True); import signal; signal.pause()"
    async with running(settings, component("chatty", code)):
        old = settings.path("logs", "chatty.log.1")
        await until(old.exists)
        assert "more than ten" in old.read_text("utf-8")


async def test_ends_with_the_process_that_it_was_started_for(tmp_path: Path) -> None:
    owner = await asyncio.create_subprocess_exec(sys.executable, "-c", LASTING)
    settings = LocalSettings(
        _env_file=None, TONEARM_STATE_DIR=tmp_path, TONEARM_DIE_WITH_PID=owner.pid
    )
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        task = group.create_task(Supervisor(settings, [component("one")]).run())
        await until(lambda: state.read(settings) is not None)
        owner.kill()
        await owner.wait()
        await task
    assert processes.leftovers(tmp_path) == []
