"""`make demo`: the main job, done by the real client through the gateway."""

import json
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any

from tonearm_local import control
from tonearm_local.control import StackError
from tonearm_local.progress import Printer
from tonearm_local.settings import LocalSettings
from tonearm_local.surroundings import ROOT, inherited

_BAND_S = 120
_UPLOAD_S = 600


def run(settings: LocalSettings, printer: Printer, file: Path | None) -> None:
    """Bring the stack up, register an account, upload *file* and watch; leaves the stack up.

    Raises StackError at the first step that fails.
    """
    if file is not None and not file.is_file():
        raise StackError(f"there is no file {file}")
    control.up(settings, printer, infra_only=False, without=())
    truth: dict[str, Any] = {}
    if file is None:
        printer.line("\nsynthesising a small band")
        file = settings.path("demo", "band.wav")
        truth = _band(file)
    account = {
        "TONEARM_URL": settings.gateway_url,
        "TONEARM_CONFIG_DIR": str(settings.path("demo", "client")),
        "TONEARM_PASSWORD": secrets.token_urlsafe(18),
    }
    email = f"demo-{secrets.token_hex(4)}@example.org"
    _client(printer, account, "register", "--email", email, "--full-name", "Demo")
    _client(printer, account, "login", "--email", email)
    _client(printer, account, "upload", str(file.absolute()), "--watch")
    if truth:
        printer.line(
            f"\nthe band played at {truth['tempo_bpm']:g} BPM in {truth['key']}, "
            f"{truth['loudness_lufs']:g} LUFS"
        )
    printer.line(f"\ngateway  {settings.gateway_url}")
    if settings.zipkin_is_local:
        printer.line(
            f"traces   http://127.0.0.1:{settings.zipkin_port}/zipkin/?serviceName=gateway"
        )
    printer.line("the stack stays up: `make status`, `make logs`, `make down`")


def _band(target: Path) -> dict[str, Any]:
    target.parent.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(  # noqa: S603 - this interpreter, this repository
        [sys.executable, "-m", "tonearm_eval.band", "--out", str(target)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=_BAND_S,
        check=False,
    )
    if done.returncode != 0:
        raise StackError(f"cannot synthesise a recording:\n{done.stderr[-2000:]}")
    truth: dict[str, Any] = json.loads(done.stdout)
    return truth


def _client(printer: Printer, account: dict[str, str], *words: str) -> None:
    shown = " ".join(Path(word).name if word.startswith("/") else word for word in words)
    printer.line(f"\n$ tonearm {shown}")
    done = subprocess.run(  # noqa: S603 - this interpreter, this repository
        [sys.executable, "-m", "tonearm_cli", *words],
        cwd=ROOT,
        env=inherited() | account,
        timeout=_UPLOAD_S,
        check=False,
    )
    if done.returncode != 0:
        raise StackError(f"`tonearm {words[0]}` ended with exit code {done.returncode}")
