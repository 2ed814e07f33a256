"""Commands for operators: they talk to Kafka itself, not to a server's HTTP API."""

from __future__ import annotations

import logging

import typer

PASS_ON = {
    "allow_extra_args": True,
    "ignore_unknown_options": True,
    "help_option_names": [],
}
"""The kit's own parsers read these arguments; `--help` included."""


def dlq(ctx: typer.Context) -> None:
    """Work events that died: list, show ID, edit, redrive ID|--all, discard, audit."""
    # Imported here: the offline commands must not pay for Kafka's client.
    from tonearm_kit.deadletters.__main__ import main

    _hush_client()
    raise typer.Exit(main(ctx.args, prog="tonearm dlq"))


def replay(ctx: typer.Context) -> None:
    """Let a consumer group read a topic again: --topic, --from TIME, --group, --dry-run."""
    from tonearm_kit.replay import main

    _hush_client()
    raise typer.Exit(main(ctx.args, prog="tonearm replay"))


def _hush_client() -> None:
    """Leave it to our one line to say what is wrong; the client's log says it too, in its terms."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
