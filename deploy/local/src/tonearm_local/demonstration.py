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
    where = {
        "TONEARM_SERVER": settings.gateway_url,
        "TONEARM_CONFIG_DIR": str(settings.path("demo", "client")),
    }
    email, password = f"demo-{secrets.token_hex(4)}@example.org", secrets.token_urlsafe(18)
    known = ("--email", email, "--password-stdin")
    _client(printer, where, "register", *known, "--full-name", "Demo", password=password)
    _client(printer, where, "login", *known, password=password)
    _client(printer, where, "upload", str(file.absolute()), "--watch")
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
        [sys.executable, "-m", "tonearm_eval.band", "--out", str(target), *_whim()],
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


def _whim() -> list[str]:
    """Another piece each time: a recording that is known already would be answered at once."""
    tempo = secrets.choice(("92", "104", "112", "120", "126"))
    key = secrets.choice(("A minor", "E minor", "C major", "G major"))
    return ["--seed", str(secrets.randbelow(100_000)), "--tempo", tempo, "--key", key]


def _client(
    printer: Printer, where: dict[str, str], *words: str, password: str | None = None
) -> None:
    shown = " ".join(Path(word).name if word.startswith("/") else word for word in words)
    printer.line(f"\n$ tonearm {shown}")
    done = subprocess.run(  # noqa: S603 - this interpreter, this repository
        [sys.executable, "-m", "tonearm_cli", *words],
        cwd=ROOT,
        env=inherited() | where,
        input=password,
        text=True,
        timeout=_UPLOAD_S,
        check=False,
    )
    if done.returncode != 0:
        raise StackError(f"`tonearm {words[0]}` ended with exit code {done.returncode}")
