"""JSON text of replies and pushes.

Everything a server says is one JSON object per line. A publication's data is put in as the
text it was stored with, so that it is encoded once, when it is recorded, and never again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tonearm_notify.domain.codes import Error, Unsubscribe

PING = b"{}"
"""The server's ping and the client's pong alike."""


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a channel's history. Offsets count from 1 within one epoch."""

    offset: int
    epoch: str


@dataclass(frozen=True, slots=True)
class Publication:
    """One entry of a channel's history. `body` is JSON text; `time_ms` is Unix time."""

    offset: int
    body: str
    time_ms: int = 0
    traceparent: str | None = None
    event_id: str = ""

    @property
    def size_bytes(self) -> int:
        """Return about how much memory and wire one copy takes."""
        return len(self.body) + 160


def dumps(value: object) -> str:
    """Return compact JSON."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def publication(pub: Publication) -> str:
    """Return the publication object."""
    parts = [f'{{"data":{pub.body},"offset":{pub.offset}']
    if pub.time_ms:
        parts.append(f',"time":{pub.time_ms}')
    if pub.traceparent:
        parts.append(f',"tags":{{"traceparent":"{pub.traceparent}"}}')
    parts.append("}")
    return "".join(parts)


def push_publication(channel: str, pub: Publication) -> str:
    """Return the push of one publication."""
    return f'{{"push":{{"channel":{dumps(channel)},"pub":{publication(pub)}}}}}'


def push_unsubscribe(channel: str, why: Unsubscribe) -> str:
    """Return the push that ends a subscription."""
    return dumps(
        {"push": {"channel": channel, "unsubscribe": {"code": why.code, "reason": why.reason}}}
    )


def reply_error(command_id: int, error: Error) -> str:
    """Return the refusal of a command."""
    body: dict[str, object] = {"code": error.code, "message": error.message}
    if error.temporary:
        body["temporary"] = True
    return dumps({"id": command_id, "error": body})


def reply(command_id: int, method: str, result: Mapping[str, object] | None = None) -> str:
    """Return the result of a command."""
    return dumps({"id": command_id, method: result or {}})


def subscribe_result(
    position: Position,
    *,
    publications: Iterable[Publication] = (),
    was_recovering: bool = False,
    recovered: bool = False,
) -> str:
    """Return the result object of a subscribe, also used per channel inside `connect`."""
    head: dict[str, object] = {
        "recoverable": True,
        "positioned": True,
        "epoch": position.epoch,
        "offset": position.offset,
    }
    if was_recovering:
        head["was_recovering"] = True
        head["recovered"] = recovered
    return f'{dumps(head)[:-1]},"publications":[{",".join(map(publication, publications))}]}}'


def reply_subscribe(command_id: int, result: str) -> str:
    """Return the reply to a subscribe around a result made by `subscribe_result`."""
    return f'{{"id":{command_id},"subscribe":{result}}}'


def reply_history(command_id: int, position: Position, publications: Iterable[Publication]) -> str:
    """Return the reply to a history command."""
    listed = ",".join(map(publication, publications))
    epoch = dumps(position.epoch)
    return (
        f'{{"id":{command_id},"history":{{"publications":[{listed}],'
        f'"epoch":{epoch},"offset":{position.offset}}}}}'
    )


def reply_connect(
    command_id: int, result: Mapping[str, object], subscriptions: Mapping[str, str]
) -> str:
    """Return the reply to a connect; `subscriptions` maps server-side channels to results."""
    body = dumps(result)
    if subscriptions:
        listed = ",".join(f"{dumps(name)}:{text}" for name, text in subscriptions.items())
        body = f'{body[:-1]},"subs":{{{listed}}}}}'
    return f'{{"id":{command_id},"connect":{body}}}'
