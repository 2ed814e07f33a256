"""The Protobuf framing, against the messages of the published Python client."""

from __future__ import annotations

import json
import random
from io import BytesIO
from typing import Any

import pytest
from centrifuge.protocol import client_pb2
from google.protobuf import proto
from google.protobuf.json_format import MessageToDict

from tonearm_notify.domain import codes, commands, wire
from tonearm_notify.domain.replies import Connected, HistoryRead, Joined, Said, Send, Subscribed
from tonearm_notify.domain.wire import Position, Publication
from tonearm_notify.entrypoints import framings
from tonearm_notify.entrypoints.protobuf import (
    NotProtobufError,
    as_protobuf,
    to_bytes,
    to_lines,
)
from tonearm_notify.usecases.frames import Frame, message

PUB = Publication(7, '{"id":"ä"}', 1_700_000_000_000, "00-aa-bb-01", "e")


def prefixed(*said: Any) -> bytes:
    return b"".join(bytes([len(one)]) + one for one in (each.SerializeToString() for each in said))


def replies(payload: bytes) -> list[Any]:
    """Read replies as the client's own classes read them."""
    rest, found = BytesIO(payload), []
    while (reply := proto.parse_length_prefixed(client_pb2.Reply, rest)) is not None:
        found.append(reply)
    return found


def test_commands_of_the_client_become_commands_of_the_protocol() -> None:
    client = client_pb2
    since = client.StreamPosition(offset=3, epoch="e")
    said = [
        client.Command(
            id=1,
            connect=client.ConnectRequest(
                token="t",
                data=b'{"channels":["flags"]}',
                name="js",
                subs={"system": client.SubscribeRequest(recover=True, epoch="e", offset=4)},
            ),
        ),
        client.Command(
            id=2,
            subscribe=client.SubscribeRequest(
                channel="flags", recover=True, epoch="e", offset=9, flag=2
            ),
        ),
        client.Command(id=3, unsubscribe=client.UnsubscribeRequest(channel="flags")),
        client.Command(
            id=4,
            history=client.HistoryRequest(channel="flags", limit=-1, since=since, reverse=True),
        ),
        client.Command(id=5, presence_stats=client.PresenceStatsRequest(channel="flags")),
        client.Command(id=6, ping=client.PingRequest()),
        client.Command(send=client.SendRequest(data=b'{"ack":{"channel":"flags","offset":5}}')),
        client.Command(id=7, refresh=client.RefreshRequest(token="u")),
        client.Command(id=8, publish=client.PublishRequest(channel="flags", data=b"\x00")),
        client.Command(),
    ]
    lines = to_lines(prefixed(*said)).split("\n")
    assert [commands.parse(line) for line in lines] == [
        commands.Connect(1, "t", {"flags": None, "system": Position(4, "e")}),
        commands.Subscribe(2, "flags", Position(9, "e"), reject_unrecovered=True),
        commands.Unsubscribe(3, "flags"),
        commands.History(4, "flags", -1, Position(3, "e"), is_reverse=True),
        commands.Presence(5, "flags", is_count=True),
        commands.Ping(6),
        commands.Acknowledge(0, "flags", 5),
        commands.Refresh(7, "u"),
        commands.Unsupported(8, "publish"),
        commands.Pong(),
    ]


@pytest.mark.parametrize(
    "payload",
    [b"\xff" * 9 + b"\x01", b"\xff", b"\x05\x00", b"\x80" * 20, b"\x02\x08", b"\x04\x22\x02\x0a\x09", b"\x03\x0f\x0f\x0f",
     b"\x06\x22\x04\x0a\x02\xff\xff"],
)  # fmt: skip
def test_other_bytes_are_no_commands(payload: bytes) -> None:
    with pytest.raises(NotProtobufError):
        to_lines(payload)


def test_any_bytes_are_commands_or_refused() -> None:
    chance = random.Random(7)  # noqa: S311 - the same bytes every time
    for _ in range(2000):
        try:
            to_lines(chance.randbytes(24))
        except NotProtobufError:
            continue


def test_data_that_is_not_json_says_nothing() -> None:
    for data in (b"\x00\x01", b"[" * 60_000):
        sent = client_pb2.Command(id=1, rpc=client_pb2.RPCRequest(data=data, method="m"))
        size, line = sent.ByteSize(), sent.SerializeToString()
        head = bytes([size & 0x7F | 0x80, size >> 7 & 0x7F | 0x80, size >> 14])
        told = to_lines(head + line if size > 127 else bytes([size]) + line)
        assert commands.parse(told) == commands.Unsupported(1, "rpc")


def test_replies_are_read_by_the_client() -> None:
    position = Position(7, "e")
    joined = Joined(position, [PUB], was_recovering=True, recovered=True)
    result = {"client": "c", "version": "1", "expires": True, "ttl": 60, "ping": 25, "pong": True}
    present = {"presence": {"c": {"client": "c", "user": "u"}}}
    said: list[Said] = [
        Connected(1, result, {"flags": joined}),
        Subscribed(2, joined),
        HistoryRead(3, position, [PUB]),
        Send(wire.reply_error(4, codes.TOO_MANY)),
        Send(wire.reply(5, "presence", present)),
        Send(wire.reply(6, "presence_stats", {"num_clients": 2, "num_users": 1})),
        Send(wire.reply(7, "ping")),
        Send(wire.reply(8, "refresh", {"client": "c", "version": "1", "expires": True, "ttl": 9})),
        Send(wire.push_unsubscribe("flags", codes.INSUFFICIENT_STATE)),
        Send("{}"),
    ]
    read = replies(to_bytes(said))
    assert [reply.id for reply in read] == [1, 2, 3, 4, 5, 6, 7, 8, 0, 0]
    connected = read[0].connect
    assert (connected.client, connected.expires, connected.ttl, connected.pong) == (
        "c",
        True,
        60,
        True,
    )
    for result_ in (connected.subs["flags"], read[1].subscribe):
        assert (result_.epoch, result_.offset, result_.recovered) == ("e", 7, True)
        assert is_pub(result_.publications[0])
    assert is_pub(read[2].history.publications[0])
    assert (read[3].error.code, read[3].error.temporary) == (111, True)
    assert MessageToDict(read[4].presence) == present
    assert read[5].presence_stats.num_clients == 2
    assert read[6].HasField("ping")
    assert read[7].refresh.ttl == 9
    assert (read[8].push.channel, read[8].push.unsubscribe.code) == ("flags", 2500)
    assert read[9].ByteSize() == 0


def is_pub(pub: Any) -> bool:
    return bool(
        json.loads(pub.data) == {"id": "ä"}
        and pub.offset == 7
        and pub.time == PUB.time_ms
        and dict(pub.tags) == {"traceparent": PUB.traceparent}
    )


def test_publications_are_one_message_for_all() -> None:
    made = as_protobuf([Frame("flags", "e", PUB), Frame("flags", "e", PUB)])
    assert made[0] == 0x82
    read = replies(made[2:] if made[1] < 126 else made[4:])
    assert [reply.push.channel for reply in read] == ["flags", "flags"]
    assert all(is_pub(reply.push.pub) for reply in read)
    assert made == message(0x2, made[2:] if made[1] < 126 else made[4:])


@pytest.mark.parametrize(
    ("offered", "framing"),
    [
        ("", framings.JSON),
        ("centrifuge-json", framings.JSON),
        ("centrifuge-protobuf", framings.PROTOBUF),
        ("chat, centrifuge-protobuf", framings.PROTOBUF),
    ],
)
def test_the_framing_is_the_one_that_is_offered(offered: str, framing: framings.Framing) -> None:
    assert framings.choose(offered) is framing
