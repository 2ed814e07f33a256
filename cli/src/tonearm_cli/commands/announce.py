"""`announce`: a superuser's word to everybody."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from tonearm_cli.options import DEFAULT_SERVER, ConfigDir, Json, Output, Remote, Server, Token

if TYPE_CHECKING:
    from tonearm_cli.api import Api


class Kind(StrEnum):
    """What a notice is about."""

    MAINTENANCE = "maintenance"
    INCIDENT = "incident"
    INFO = "info"


def announce(
    message: Annotated[str, typer.Argument(help="What to say, at most 1,000 characters.")],
    kind: Annotated[Kind, typer.Option(help="What it is about.")] = Kind.MAINTENANCE,
    starts_at: Annotated[
        str | None, typer.Option("--from", help="When it begins, e.g. 2026-03-02T03:00:00Z.")
    ] = None,
    ends_at: Annotated[
        str | None, typer.Option("--until", help="When it is expected to end.")
    ] = None,
    server: Server = DEFAULT_SERVER,
    config_dir: ConfigDir = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Tell everybody who listens something, such as of maintenance to come."""
    output = Output(as_json=as_json)
    notice = {"kind": kind.value, "message": message, "starts_at": starts_at, "ends_at": ends_at}

    async def work(api: Api) -> None:
        made = await api.call("POST", "/v1/admin/notices", json=notice)
        output.done(made, f"Told everybody: {message}")

    Remote(server=server, config_dir=config_dir, token=token).run(work)
