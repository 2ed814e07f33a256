"""The Protobuf framing of the client protocol (subprotocol `centrifuge-protobuf`).

The state machine reads commands as JSON and answers small things in it; these are translated here,
field by field and by name. Publications, the bulk of what is said, are encoded straight away, and
those that are pushed once for all receivers.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from io import BytesIO
from typing import Any, Final

from google.protobuf import proto
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

from tonearm_contracts.rpc.push.v1.push_pb2 import (
    Command,
    HistoryResult,
    Publication,
    Push,
    Reply,
    SubscribeResult,
)
from tonearm_notify.domain import wire
from tonearm_notify.domain.replies import Connected, HistoryRead, Joined, Said, Send, Subscribed
from tonearm_notify.usecases.frames import Frame, message

SUBPROTOCOL: Final = "centrifuge-protobuf"
_BINARY: Final = 0x2


class NotProtobufError(ValueError):
    """The bytes are not commands of this protocol."""


def to_lines(payload: bytes) -> str:
    """Return the commands of a message as JSON, one a line. Raises NotProtobufError."""
    rest, lines = BytesIO(payload), []
    try:
        while (command := proto.parse_length_prefixed(Command, rest)) is not None:
            lines.append(json.dumps(_to_object(command)))
    except (DecodeError, ValueError, EOFError, OverflowError) as error:
        raise NotProtobufError("not length-prefixed commands") from error
    return "\n".join(lines)


def to_bytes(said: Iterable[Said]) -> bytes:
    """Return replies as length-prefixed messages."""
    out = BytesIO()
    for each in said:
        proto.serialize_length_prefixed(_reply(each), out)
    return out.getvalue()


def as_protobuf(frames: Sequence[Frame]) -> bytes:
    """Return frames as pushes, ready for a socket; several go out in one write."""
    out = BytesIO()
    for frame in frames:
        push = Push(channel=frame.channel, pub=_publication(frame.publication))
        proto.serialize_length_prefixed(Reply(push=push), out)
    return message(_BINARY, out.getvalue())


def _reply(said: Said) -> Reply:
    match said:
        case Subscribed(id=id_, joined=joined):
            return Reply(id=id_, subscribe=_subscribe_result(joined))
        case HistoryRead(id=id_, top=top, publications=publications):
            listed = map(_publication, publications)
            result = HistoryResult(publications=listed, epoch=top.epoch, offset=top.offset)
            return Reply(id=id_, history=result)
        case Connected(id=id_, result=fields, subscriptions=subscriptions):
            reply = Reply(id=id_)
            _fill(reply, {"connect": fields})
            for name, joined in subscriptions.items():
                reply.connect.subs[name].CopyFrom(_subscribe_result(joined))
            return reply
        case Send(text=text):
            reply = Reply()
            _fill(reply, json.loads(text))
            return reply


def _subscribe_result(joined: Joined) -> SubscribeResult:
    return SubscribeResult(
        recoverable=True,
        positioned=True,
        epoch=joined.position.epoch,
        offset=joined.position.offset,
        publications=map(_publication, joined.publications),
        was_recovering=joined.was_recovering,
        recovered=joined.recovered,
    )


def _publication(published: wire.Publication) -> Publication:
    traceparent = published.traceparent
    return Publication(
        data=published.body.encode(),
        offset=published.offset,
        time=published.time_ms,
        tags={"traceparent": traceparent} if traceparent else None,
    )


def _to_object(said: Message) -> dict[str, Any]:
    """Return the fields that are set, by name."""
    found: dict[str, Any] = {}
    for field, value in said.ListFields():
        if field.type == FieldDescriptor.TYPE_BYTES:
            found[field.name] = _json_or_none(value)
        elif field.message_type is None:
            found[field.name] = value
        elif field.message_type.GetOptions().map_entry:
            found[field.name] = {key: _to_object(each) for key, each in value.items()}
        else:
            found[field.name] = _to_object(value)
    return found


def _json_or_none(data: bytes) -> Any:
    """Return JSON data. What is none says nothing to this server, and is left out."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _fill(told: Any, fields: Mapping[str, Any]) -> None:
    """Set the fields of a message by name; what the protocol has no field for is left out."""
    known = told.DESCRIPTOR.fields_by_name
    for name, value in fields.items():
        field = known.get(name)
        if field is None:
            continue
        if field.type == FieldDescriptor.TYPE_BYTES:
            setattr(told, name, wire.dumps(value).encode())
        elif field.message_type is None:
            setattr(told, name, value)
        elif field.message_type.GetOptions().map_entry:
            _fill_map(getattr(told, name), value)
        elif isinstance(value, list):
            for each in value:
                _fill(getattr(told, name).add(), each)
        else:
            getattr(told, name).SetInParent()
            _fill(getattr(told, name), value)


def _fill_map(told: Any, entries: Mapping[str, Any]) -> None:
    for key, value in entries.items():
        if isinstance(value, str):
            told[key] = value
        else:
            _fill(told[key], value)
