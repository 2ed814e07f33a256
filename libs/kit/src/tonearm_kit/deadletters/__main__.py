"""`python -m tonearm_kit.deadletters list|show|edit|redrive|discard|audit`.

`tonearm dlq` is the same command. Output is one JSON document per line with `--json`.
"""

from __future__ import annotations

import argparse
import asyncio
import getpass
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tonearm_kit.clock import SystemClock
from tonearm_kit.deadletters.desk import Desk
from tonearm_kit.deadletters.letters import DeadLetter
from tonearm_kit.errors import AppError
from tonearm_kit.kafka.client import KafkaBroker
from tonearm_kit.kafka.log import KafkaLog
from tonearm_kit.kafka.ports import BrokerError
from tonearm_kit.kafka.producer import KafkaProducer
from tonearm_kit.kafka.topics import KafkaSettings


def parser(prog: str) -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    root = argparse.ArgumentParser(prog=prog, description="Work the events that died.")
    root.add_argument("--bootstrap-servers", help="default: KAFKA_BOOTSTRAP_SERVERS")
    root.add_argument("--actor", default=None, help="who the audit log names; default: you")
    commands = root.add_subparsers(dest="command", required=True)
    listed = commands.add_parser("list", help="show the letters, oldest first")
    _filters(listed)
    listed.add_argument("--all-states", action="store_true", help="closed ones, too")
    listed.add_argument("--json", action="store_true")
    shown = commands.add_parser("show", help="everything about one letter, with its audit log")
    shown.add_argument("id")
    edited = commands.add_parser("edit", help="replace the data of an event")
    edited.add_argument("id")
    edited.add_argument("--value", required=True, help="JSON object, or @FILE")
    edited.add_argument("--reason")
    redriven = commands.add_parser("redrive", help="give letters to their group once more")
    redriven.add_argument("id", nargs="*")
    redriven.add_argument("--all", action="store_true", help="every open letter that matches")
    redriven.add_argument("--dry-run", action="store_true", help="say what would be sent")
    redriven.add_argument("--rate", type=float, help="at most so many a second")
    redriven.add_argument("--reason")
    _filters(redriven)
    discarded = commands.add_parser("discard", help="close a letter without sending it")
    discarded.add_argument("id")
    discarded.add_argument("--reason", required=True)
    audited = commands.add_parser("audit", help="who did what")
    audited.add_argument("id", nargs="?")
    return root


def _filters(command: argparse.ArgumentParser) -> None:
    command.add_argument("--group", help="of this consumer group")
    command.add_argument("--stack-hash", help="that died at this place")
    command.add_argument("--type", dest="event_type", help="of this event type")


async def run(desk: Desk, options: argparse.Namespace) -> int:
    """Run one parsed command on a desk; returns the exit status. Raises `AppError`."""
    command = options.command
    if command == "list":
        states = ("open", "redriven", "discarded") if options.all_states else ("open",)
        letters = await _matching(desk, options, states)
        _say_letters(letters, as_json=options.json)
    elif command == "show":
        letter = await desk.letter(options.id)
        actions = [_audit_json(action) for action in await desk.actions(options.id)]
        _say(json.dumps({**letter.as_json(whole=True), "audit": actions}, indent=2))
    elif command == "edit":
        value = await asyncio.to_thread(_value, options.value)
        letter = await desk.edit(options.id, value, reason=options.reason)
        _say(f"{letter.id}: edited, still open; redrive it to try")
    elif command == "discard":
        letter = await desk.discard(options.id, reason=options.reason)
        _say(f"{letter.id}: discarded")
    elif command == "audit":
        for action in await desk.actions(options.id):
            _say(json.dumps(_audit_json(action)))
    else:
        return await _redrive(desk, options)
    return 0


async def _redrive(desk: Desk, options: argparse.Namespace) -> int:
    if bool(options.id) == options.all:
        sys.stderr.write("redrive: name letters or say --all\n")
        return 2
    if options.all:
        letters = await _matching(desk, options, ("open",))
    else:
        letters = await desk.letters_by_id(options.id)
    result = await desk.redrive(
        letters, dry_run=options.dry_run, rate_per_s=options.rate, reason=options.reason
    )
    word = "would be redriven" if result.dry_run else "redriven"
    for letter in result.letters:
        _say(f"{letter.id}: {word} to {letter.group}")
    _say(f"{len(result.letters)} {word}")
    return 0


async def _matching(
    desk: Desk, options: argparse.Namespace, states: Sequence[str]
) -> list[DeadLetter]:
    return await desk.letters(
        group=options.group,
        states=states,
        stack_hash=options.stack_hash,
        event_type=options.event_type,
    )


def _say_letters(letters: Sequence[DeadLetter], *, as_json: bool) -> None:
    if as_json:
        for letter in letters:
            _say(json.dumps(letter.as_json()))
        return
    for letter in letters:
        failed_at = letter.failed_at.strftime("%Y-%m-%d %H:%M:%S")
        _say(
            f"{letter.id}  {failed_at}  {letter.state:9}  {letter.group}  "
            f"{letter.event_type or '-'}  [{letter.stack_hash or '-'}]  {letter.reason}"
        )
    _say(f"{len(letters)} dead letters")


def _audit_json(action: Any) -> dict[str, Any]:
    return {
        "at": action.at.isoformat(),
        "actor": action.actor,
        "action": action.verb,
        "letter": action.letter_id,
        "group": action.group,
        "reason": action.reason,
        "value": action.value,
    }


def _value(given: str) -> str:
    return Path(given[1:]).read_text(encoding="utf-8") if given.startswith("@") else given


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")


async def _with_kafka(options: argparse.Namespace) -> int:
    servers = options.bootstrap_servers or KafkaSettings().kafka_bootstrap_servers
    async with KafkaProducer.open(servers, client_id="tonearm-dlq") as producer:
        desk = Desk(
            log=KafkaLog(servers),
            sender=producer,
            topics=KafkaBroker(servers),
            clock=SystemClock(),
            actor=options.actor or getpass.getuser(),
        )
        return await run(desk, options)


def main(arguments: Sequence[str] | None = None, *, prog: str = "tonearm dlq") -> int:
    """Run the command; returns the exit status."""
    options = parser(prog).parse_args(arguments)
    try:
        return asyncio.run(_with_kafka(options))
    except AppError as error:
        sys.stderr.write(f"{prog}: {error.detail}\n")
    except BrokerError as error:
        sys.stderr.write(f"{prog}: {error}\n")
    return 1


if __name__ == "__main__":
    raise SystemExit(main(prog="python -m tonearm_kit.deadletters"))
