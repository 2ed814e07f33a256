"""The commands of `tonearm`."""

from __future__ import annotations

from typing import Annotated

import typer

from tonearm_cli.commands import account, analyze, announce, compare, library, operate

_HERE, _THERE, _YOU = "On this machine", "On a server", "Your account"
_OPERATE = "For operators"


def make_app() -> typer.Typer:
    """Return the program."""
    app = typer.Typer(
        name="tonearm",
        help="Listen to music for other software: analyse files here, or at a Tonearm server.",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    app.command(rich_help_panel=_HERE)(analyze.analyze)
    app.command(rich_help_panel=_HERE)(compare.verify)
    app.command(rich_help_panel=_HERE)(compare.diff)
    app.command(rich_help_panel=_THERE)(library.upload)
    app.command(rich_help_panel=_THERE)(library.watch)
    app.command("list", rich_help_panel=_THERE)(library.list_)
    app.command(rich_help_panel=_THERE)(library.show)
    app.command(rich_help_panel=_THERE)(library.download)
    app.command(rich_help_panel=_THERE)(library.delete)
    app.command(rich_help_panel=_YOU)(account.register)
    app.command(rich_help_panel=_YOU)(account.login)
    app.command(rich_help_panel=_YOU)(account.logout)
    app.command(rich_help_panel=_YOU)(account.whoami)
    app.command(rich_help_panel=_OPERATE)(announce.announce)
    app.command(rich_help_panel=_OPERATE, context_settings=operate.PASS_ON)(operate.dlq)
    app.command(rich_help_panel=_OPERATE, context_settings=operate.PASS_ON)(operate.replay)
    return app


def _version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        typer.echo(version("tonearm-cli"))
        raise typer.Exit


def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Listen to music for other software: analyse files here, or at a Tonearm server."""
