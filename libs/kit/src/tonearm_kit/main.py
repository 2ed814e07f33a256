"""The command line that every service has: `serve`, `migrate`, `settings`."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from importlib.metadata import version
from typing import Any, TypeVar

from tonearm_kit import logs, telemetry
from tonearm_kit.lifecycle import EXIT_FAILED, run_service
from tonearm_kit.logs import get_logger
from tonearm_kit.settings import BaseServiceSettings, load, redacted

S = TypeVar("S", bound=BaseServiceSettings)

_HELP = {
    "serve": "run until SIGTERM",
    "migrate": "apply what the schema lacks, then exit",
    "settings": "print the settings as JSON, secrets masked",
}

log = get_logger(__name__)


def main(
    service: str,
    *,
    settings: type[S],
    serve: Callable[[S, asyncio.Event], Coroutine[Any, Any, None]],
    migrate: Callable[[S], Awaitable[list[str]]],
    epilog: str | None = None,
) -> None:
    """Run the command that the arguments name and exit with its status.

    epilog: the last words of the help, such as what else the service's caller knows. A wrong
    setting exits with status 2 and one line; a failed migration with 1.
    """
    parser = argparse.ArgumentParser(prog=f"python -m tonearm_{service}", epilog=epilog)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in _HELP.items():
        commands.add_parser(name, help=text)
    command = parser.parse_args().command
    values = load(settings)
    if command == "settings":
        sys.stdout.write(json.dumps(redacted(values), indent=2, sort_keys=True) + "\n")
        return
    logs.configure(service, level=values.log_level, format=values.log_format)
    if command == "migrate":
        raise SystemExit(asyncio.run(_migrate(partial(migrate, values))))
    with telemetry.configure(
        service,
        version=version(f"tonearm-{service}"),
        exporter=values.otel_traces_exporter,
        metrics_exporter=values.otel_metrics_exporter,
    ):
        log.info("starting", settings=redacted(values))
        raise SystemExit(run_service(partial(serve, values), grace_s=values.shutdown_grace_s))


async def _migrate(migrate: Callable[[], Awaitable[list[str]]]) -> int:
    try:
        applied = await migrate()
    except Exception as error:
        log.critical("migration failed", exc_info=error)
        return EXIT_FAILED
    log.info("schema is up to date", applied=applied)
    return 0
