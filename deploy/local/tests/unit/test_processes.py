"""Children that cannot outlive their supervisor, and leftovers found by their mark alone."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tonearm_local import processes

LASTING = "import signal; signal.pause()"

SUPERVISOR = """
import asyncio, pathlib, sys
from tonearm_local import environment, processes
from tonearm_local.component import Command

async def main(state_dir):
    command = Command([sys.executable, "-c", "import signal; signal.pause()"],
                      environment.child({}), pathlib.Path("/"))
    child = await processes.spawn(command, log=state_dir / "log", state_dir=state_dir)
    print(child.pid, flush=True)
    await child.wait()

asyncio.run(main(pathlib.Path(sys.argv[1])))
"""


def supervisor(state_dir: Path) -> tuple["subprocess.Popen[str]", psutil.Process]:
    process = subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, str(state_dir)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, psutil.Process(int(process.stdout.readline()))


def test_a_child_dies_with_a_killed_supervisor(tmp_path: Path) -> None:
    process, child = supervisor(tmp_path)
    with process:
        process.kill()
    _gone, alive = psutil.wait_procs([child], timeout=10)
    assert alive == []


def test_leftovers_are_found_by_their_mark_and_ended(tmp_path: Path) -> None:
    process, child = supervisor(tmp_path)
    bystander = subprocess.Popen([sys.executable, "-c", LASTING])
    try:
        found = processes.leftovers(tmp_path)
        assert child.pid in {p.pid for p in found}
        assert bystander.pid not in {p.pid for p in found}
        processes.end(found)
        assert not child.is_running()
        assert bystander.poll() is None
    finally:
        for each in (bystander, process):
            each.kill()
            each.wait()
        assert process.stdout is not None
        process.stdout.close()


def test_a_number_taken_by_a_later_process_is_not_the_same_process() -> None:
    me = processes.ProcessId.of(os.getpid())
    assert me is not None
    assert me.alive()
    assert not processes.ProcessId(me.pid, me.created_at_s - 100).alive()
    assert processes.ProcessId.of(2**22 + 5) is None


def test_end_kills_what_ignores_every_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_KILL_WAIT_S", 0.2)
    code = (
        "import signal\n"
        "for number in (signal.SIGTERM, signal.SIGINT): signal.signal(number, signal.SIG_IGN)\n"
        "print('deaf', flush=True)\n"
        "while True: signal.pause()"
    )
    deaf = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    with deaf:
        assert deaf.stdout is not None
        deaf.stdout.readline()
        assert processes.end([psutil.Process(deaf.pid)]) == 1
        assert not psutil.pid_exists(deaf.pid)


def test_the_holder_of_a_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert str(os.getpid()) in processes.holder(port)
    assert processes.holder(port) == ""
