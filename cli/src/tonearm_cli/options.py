"""Options that many commands share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tonearm_cli.output import Output

if TYPE_CHECKING:
    from tonearm_cli.api import Api

DEFAULT_SERVER = "http://127.0.0.1:8080"
TEMPO_BPM_MIN, TEMPO_BPM_MAX = 20, 400

Json = Annotated[
    bool, typer.Option("--json", help="Print JSON, one document a line, and nothing else.")
]
Server = Annotated[
    str, typer.Option("--server", envvar="TONEARM_SERVER", help="Address of the gateway.")
]
Evidence = Annotated[
    bool,
    typer.Option("--evidence", help="Also show the rivals and the numbers behind tempo and key."),
]
ConfigDir = Annotated[
    Path | None,
    typer.Option(
        "--config-dir",
        envvar="TONEARM_CONFIG_DIR",
        help="Folder that keeps log-ins. Default: the usual one of this system.",
    ),
]
Token = Annotated[
    str | None,
    typer.Option(
        "--token", envvar="TONEARM_TOKEN", help="Access token to use instead of the log-in."
    ),
]


@dataclass(frozen=True, slots=True)
class Tempi:
    """From `low` to `high`, in BPM."""

    low: float
    high: float


def _tempi(text: str) -> Tempi:
    low, _, high = text.partition("-")
    try:
        found = Tempi(float(low), float(high))
    except ValueError:
        found = Tempi(0.0, 0.0)
    if not TEMPO_BPM_MIN <= found.low < found.high <= TEMPO_BPM_MAX:
        raise typer.BadParameter(
            f"{text!r} is no range of tempi: two numbers that rise within "
            f"{TEMPO_BPM_MIN}-{TEMPO_BPM_MAX}, such as 80-160."
        )
    return found


TempoRange = Annotated[
    Tempi | None,
    typer.Option(
        "--tempo-range",
        parser=_tempi,
        metavar="LOW-HIGH",
        help="Tempi that you prefer, in BPM, such as 80-160: those inside are ranked first.",
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """How to reach the server, as the options say."""

    server: str
    config_dir: Path | None
    token: str | None = None

    def run(self, work: Callable[[Api], Awaitable[None]]) -> None:
        """Run `work` with the API open."""
        asyncio.run(self._run(work))

    async def _run(self, work: Callable[[Api], Awaitable[None]]) -> None:
        from platformdirs import user_config_path

        from tonearm_cli.api import Api
        from tonearm_cli.credentials import CredentialsFile
        from tonearm_cli.errors import EXIT_USAGE, CliError

        if not self.server.startswith(("http://", "https://")):
            raise CliError(
                f"--server must begin with http:// or https://, not {self.server!r}.",
                exit_code=EXIT_USAGE,
            )
        folder = self.config_dir or user_config_path("tonearm")
        kept = CredentialsFile(folder)
        async with Api.open(self.server.rstrip("/"), kept=kept, token=self.token or None) as api:
            await work(api)


__all__ = [
    "DEFAULT_SERVER",
    "ConfigDir",
    "Json",
    "Output",
    "Remote",
    "Server",
    "TempoRange",
    "Token",
]
