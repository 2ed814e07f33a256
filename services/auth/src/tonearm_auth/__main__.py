"""`python -m tonearm_auth serve | migrate | settings | make-admin EMAIL | rotate-keys`."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable

from tonearm_auth import bootstrap
from tonearm_auth.settings import Settings
from tonearm_kit import logs
from tonearm_kit.errors import AppError
from tonearm_kit.main import main
from tonearm_kit.settings import load

_OPERATOR = ("make-admin", "rotate-keys")


def operate() -> int:
    """Run an operator's command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tonearm_auth")
    commands = parser.add_subparsers(dest="command", required=True)
    admin = commands.add_parser("make-admin", help="make an account a superuser")
    admin.add_argument("email")
    commands.add_parser("rotate-keys", help="publish the next signing key now")
    options = parser.parse_args()
    settings = load(Settings)
    logs.configure("auth", level=settings.log_level, format=settings.log_format)
    if options.command == "make-admin":
        return _run(lambda: _make_admin(settings, options.email))

    async def rotate() -> str:
        return "\n".join(await bootstrap.start_key_rotation(settings))

    return _run(rotate)


async def _make_admin(settings: Settings, email: str) -> str:
    return f"{email} is a superuser now: {await bootstrap.make_admin(settings, email)}"


def _run(work: Callable[[], Awaitable[str]]) -> int:
    async def awaited() -> str:
        return await work()

    try:
        sys.stdout.write(asyncio.run(awaited()) + "\n")
    except AppError as error:
        sys.stderr.write(f"{error.detail}\n")
        return 1
    return 0


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] in _OPERATOR:
        raise SystemExit(operate())
    main(
        "auth",
        settings=Settings,
        serve=bootstrap.serve,
        migrate=bootstrap.migrate,
        epilog="For operators: make-admin EMAIL, rotate-keys.",
    )
