"""A stack for tests: ports of its own, state under `.local/test`, gone afterwards."""

import fcntl
import json
import os
import random
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from tonearm_local import containers
from tonearm_local.probes import port_is_free
from tonearm_local.settings import LocalSettings
from tonearm_local.surroundings import ROOT, inherited

MARK = "TONEARM_TEST_STACK"
_PORTS = range(20_000, 30_000)
"""Below the range that operating systems take for outgoing connections."""
_FOREIGN = (
    "KAFKA_BOOTSTRAP_SERVERS",
    "OBJECT_STORE_URL",
    "OTEL_TRACES_EXPORTER",
    "OTEL_EXPORTER_ZIPKIN_ENDPOINT",
    "TOKEN_ISSUER",
    "TONEARM_TEST_DATABASE_URL",
    *(f"{name}_DATABASE_URL" for name in ("AUTH", "INGEST", "ANALYSIS", "NOTIFY")),
)
_POLL_S = 0.1
_COMMAND_S = 300
_RUNS_MAX = 8


class TestStackError(Exception):
    """The stack for tests did not do what was asked."""

    __test__ = False


@dataclass(frozen=True)
class Stack:
    """A running stack, seen from outside. *env* reaches it from any child process."""

    env: Mapping[str, str]

    @property
    def gateway_url(self) -> str:
        """What a client calls."""
        return self.env["TONEARM_GATEWAY_URL"]

    @property
    def zipkin_url(self) -> str:
        """The tracing backend."""
        return self.env["TONEARM_ZIPKIN_URL"]

    @property
    def kafka(self) -> str:
        """Bootstrap servers."""
        return self.env["KAFKA_BOOTSTRAP_SERVERS"]

    @property
    def database_admin_url(self) -> str:
        """Postgres as its administrator, database `postgres`."""
        return self.env["TONEARM_TEST_DATABASE_URL"]

    @property
    def state_dir(self) -> Path:
        """Where the stack keeps its state."""
        return Path(self.env["TONEARM_STATE_DIR"])

    def service_url(self, name: str) -> str:
        """A service's own HTTP address, past the gateway."""
        return self.env[f"TONEARM_{name.upper()}_URL"]

    def service_env(self, name: str) -> dict[str, str]:
        """What service *name* is told, its database URL included."""
        return _exports(_call(["env", name], self.env))

    def log(self, name: str) -> str:
        """All that a component wrote."""
        return self.state_dir.joinpath("logs", f"{name}.log").read_text("utf-8", "replace")

    def status(self) -> dict[str, Any]:
        """As `status --json`."""
        done = _run(["status", "--json"], self.env)
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def pid(self, name: str) -> int:
        """Process id of a running component."""
        pid: int = self.status()["components"][name]["pid"]
        return pid

    def kill(self, name: str) -> int:
        """`kill -9` a component; returns the number of its restarts before."""
        row = self.status()["components"][name]
        os.kill(row["pid"], signal.SIGKILL)
        restarts: int = row["restarts"]
        return restarts

    def wait_ready(
        self, name: str, *, restarts_min: int = 0, timeout_s: float = 60.0
    ) -> dict[str, Any]:
        """Wait until a component is ready after at least so many restarts; returns its row."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            row: dict[str, Any] = self.status()["components"].get(name, {})
            if row.get("phase") == "ready" and row["restarts"] >= restarts_min:
                return row
            time.sleep(_POLL_S)
        raise TestStackError(
            f"{name} is not ready after {timeout_s:.0f} s\n{self.log(name)[-2000:]}"
        )


def from_environment() -> Stack | None:
    """The stack that `make test` started for this run; None outside of it."""
    env = inherited()
    return Stack(env) if MARK in env else None


@contextmanager
def temporary(*options: str, env: Mapping[str, str] | None = None) -> Iterator[Stack]:
    """Start a stack; when the block ends, or this process dies, all of it is stopped.

    *options* go to `up`, such as `--infra-only`; *env* overrides settings of the stack.
    """
    with ExitStack() as exits:
        state_dir = exits.enter_context(_place())
        settings_env = _environment(state_dir) | dict(env or {})
        _call(["down"], settings_env)
        _clear(state_dir)
        exits.callback(_call, ["down"], settings_env)
        if inherited().get("TONEARM_STACK") == "testcontainers" and containers.docker_answers():
            own = LocalSettings(_env_file=None, TONEARM_STATE_DIR=state_dir)
            settings_env |= exits.enter_context(containers.running(own))
        sys.stderr.write(f"starting a stack for tests in {state_dir}\n")
        _call(["up", *options], settings_env)
        told = _exports(_call(["env"], settings_env))
        yield Stack(settings_env | told | {MARK: "1"})


def run_pytest(arguments: Sequence[str]) -> int:
    """Run pytest with the stack's addresses in its environment; returns its exit code.

    Says nothing after pytest's own last line when all is well.
    """

    def interrupted(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupted)
    with temporary() as stack:
        argv = [sys.executable, "-m", "pytest", *arguments]
        return subprocess.run(argv, cwd=ROOT, env=dict(stack.env), check=False).returncode  # noqa: S603


def free_ports(n: int) -> list[int]:
    """*n* different ports that nobody listens on."""
    found: list[int] = []
    for port in random.sample(_PORTS, len(_PORTS)):
        if port_is_free("127.0.0.1", port):
            found.append(port)
        if len(found) == n:
            return found
    raise TestStackError(f"no {n} free ports")


@contextmanager
def _place() -> Iterator[Path]:
    """A state directory that no other run uses; the first is free unless runs overlap."""
    base = ROOT / ".local"
    base.mkdir(exist_ok=True)
    for number in range(1, _RUNS_MAX + 1):
        name = "test" if number == 1 else f"test-{number}"
        with (base / f"{name}.lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield base / name
            return
    raise TestStackError(f"{_RUNS_MAX} test runs are under way already")


def _clear(state_dir: Path) -> None:
    """Remove what the last run left, but for the class-data archives: they hold no state."""
    for path in sorted(state_dir.rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink():
            with suppress(OSError):  # not empty: an archive is in it
                path.rmdir()
        elif path.suffix != ".jsa":
            path.unlink()


def _environment(state_dir: Path) -> dict[str, str]:
    settings = [setting for ports in LocalSettings().ports().values() for setting in ports]
    env = {name: value for name, value in inherited().items() if name not in _FOREIGN}
    env |= {name: str(port) for name, port in zip(settings, free_ports(len(settings)), strict=True)}
    return env | {
        "TONEARM_ENV_FILE": "",
        "TONEARM_STATE_DIR": str(state_dir),
        "TONEARM_DIE_WITH_PID": str(os.getpid()),
        "POSTGRES_FSYNC": "false",
        # Tests tell their own client address, or they would share one address's limits.
        "GATEWAY_TRUSTED_HOPS": "1",
    }


def _exports(text: str) -> dict[str, str]:
    words = [shlex.split(line)[1] for line in text.splitlines()]
    return dict(word.split("=", 1) for word in words)


def _run(arguments: list[str], env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - this interpreter, this package
        [sys.executable, "-m", "tonearm_local", *arguments],
        cwd=ROOT,
        env=dict(env),
        capture_output=True,
        text=True,
        timeout=_COMMAND_S,
        check=False,
    )


def _call(arguments: list[str], env: Mapping[str, str]) -> str:
    done = _run(arguments, env)
    if done.returncode != 0:
        raise TestStackError(f"{' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout
