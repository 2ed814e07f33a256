"""The protocol without a socket: text in, effects out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tonearm_notify.domain import codes, commands
from tonearm_notify.domain.protocol import Close, Effect, Leave, Limits, Send, Session, State
from tonearm_notify.domain.replies import SAID, Connected, Joined
from tonearm_notify.domain.wire import Position, Publication


def say(**command: Any) -> str:
    return json.dumps(command)


def heard(effects: list[Effect]) -> list[dict[str, Any]]:
    return [json.loads(effect.text) for effect in effects if isinstance(effect, SAID)]


def closing(effects: list[Effect]) -> int | None:
    codes_ = [effect.why.code for effect in effects if isinstance(effect, Close)]
    return codes_[0] if codes_ else None


def new(**limits: Any) -> Session:
    return Session("c1", Limits(**limits), now_s=0.0)


def connected(expires_in_s: float | None = None, **limits: Any) -> Session:
    session = new(**limits)
    session.receive(say(id=1, connect={"token": "t"}), now_s=0.0)
    session.connected(1, expires_in_s=expires_in_s, node="n", version="v", now_s=0.0)
    return session


def ask(session: Session, **command: Any) -> Any:
    (effect,) = session.receive(say(**command), now_s=1.0)
    return effect


def test_connect_asks_who_it_is_and_answers_with_the_ping_contract() -> None:
    session = new()
    (effect,) = session.receive(say(id=7, connect={"token": "abc", "name": "js"}), now_s=0.0)
    assert effect == commands.Connect(7, "abc")
    (reply,) = heard(session.connected(7, expires_in_s=60.9, node="n1", version="1.0", now_s=0.0))
    assert reply == {
        "id": 7,
        "connect": {
            "client": "c1",
            "version": "1.0",
            "expires": True,
            "ttl": 60,
            "ping": 25,
            "pong": True,
            "node": "n1",
        },
    }


def test_server_side_subscriptions_come_with_the_connect_reply() -> None:
    session = new()
    (effect,) = session.receive(
        say(
            id=1,
            connect={
                "token": "t",
                "data": {"channels": ["system", 5]},
                "subs": {"flags": {"recover": True, "epoch": "e", "offset": 4}, "x": None},
            },
        ),
        now_s=0.0,
    )
    assert isinstance(effect, commands.Connect)
    assert effect.subscriptions == {"system": None, "flags": Position(4, "e"), "x": None}
    result = Joined(Position(9, "e"))
    (reply,) = heard(
        session.connected(
            1, expires_in_s=None, node="n", version="v", now_s=0.0, subscriptions={"system": result}
        )
    )
    assert reply["connect"]["subs"]["system"]["offset"] == 9
    assert "expires" not in reply["connect"]
    again = session.receive(say(id=2, subscribe={"channel": "system"}), now_s=0.0)
    assert heard(again)[0]["error"]["code"] == 105


def test_commands_sent_right_behind_connect_wait_for_it() -> None:
    session = new()
    first = session.receive(
        say(id=1, connect={"token": "t"}) + "\n" + say(id=2, subscribe={"channel": "flags"}),
        now_s=0.0,
    )
    assert first == [commands.Connect(1, "t")]
    reply, then = session.connected(1, expires_in_s=None, node="n", version="v", now_s=0.0)
    assert isinstance(reply, Connected)
    assert then == commands.Subscribe(2, "flags")


@pytest.mark.parametrize(
    "frame",
    [
        "garbage",
        "[]",
        '"text"',
        "{",
        "[" * 5000,
        say(id=1),
        say(id=1, subscribe={"channel": "a"}, ping={}),
        say(id=-1, ping={}),
        say(id=True, ping={}),
        say(id="1", ping={}),
        say(ping={}),
        say(id=1, connect="token"),
        say(id=1, connect={"token": 5}),
        say(id=1, connect={"token": "x" * 9000}),
        say(id=1, subscribe={"channel": "flags"}),
    ],
)
def test_garbage_and_anything_before_connect_closes_with_bad_request(frame: str) -> None:
    session = new()
    assert closing(session.receive(frame, now_s=0.0)) == 3501
    assert session.state is State.CLOSED
    assert session.receive(say(id=1, connect={"token": "t"}), now_s=0.0) == []


@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda b: b.decode("latin-1")))
def test_no_text_makes_it_raise(frame: str) -> None:
    session = connected()
    for effect in session.receive(frame, now_s=0.0):
        assert isinstance(effect, Send | Close)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
        max_leaves=8,
    ),
    st.sampled_from(
        ["connect", "subscribe", "unsubscribe", "history", "presence", "refresh", "send", "rpc"]
    ),
)
def test_no_body_makes_it_raise(body: Any, method: str) -> None:
    connected().receive(json.dumps({"id": 3, method: body}), now_s=0.0)


def test_a_second_connect_is_a_breach() -> None:
    assert closing(connected().receive(say(id=2, connect={"token": "t"}), now_s=0.0)) == 3501


def test_a_refused_connect_may_be_tried_again_on_the_same_socket() -> None:
    session = new()
    (command,) = session.receive(say(id=1, connect={"token": "old"}), now_s=0.0)
    assert isinstance(command, commands.Connect)
    (reply,) = heard(session.failed(command, codes.TOKEN_EXPIRED))
    assert reply == {"id": 1, "error": {"code": 109, "message": "token expired"}}
    assert session.receive(say(id=2, connect={"token": "new"}), now_s=0.0) == [
        commands.Connect(2, "new")
    ]


def test_subscribe_unsubscribe_and_the_errors_in_between() -> None:
    session = connected(channels_max=2)
    first = ask(session, id=2, subscribe={"channel": "flags"})
    assert first == commands.Subscribe(2, "flags")
    result = Joined(Position(4, "e1"))
    (reply,) = heard(session.subscribed(first, result))
    assert reply == {
        "id": 2,
        "subscribe": {
            "recoverable": True,
            "positioned": True,
            "epoch": "e1",
            "offset": 4,
            "publications": [],
        },
    }
    twice = session.receive(say(id=3, subscribe={"channel": "flags"}), now_s=1.0)
    assert heard(twice)[0]["error"]["code"] == 105
    ask(session, id=4, subscribe={"channel": "system"})
    third = session.receive(say(id=5, subscribe={"channel": "audio:1"}), now_s=1.0)
    assert heard(third)[0]["error"]["code"] == 106
    gone = session.receive(say(id=6, unsubscribe={"channel": "flags"}), now_s=1.0)
    assert gone == [Leave("flags"), Send('{"id":6,"unsubscribe":{}}')]
    assert session.receive(say(id=7, unsubscribe={"channel": "flags"}), now_s=1.0) == [
        Send('{"id":7,"unsubscribe":{}}')
    ]


def test_a_subscribe_that_was_taken_back_is_not_answered() -> None:
    session = connected()
    command = ask(session, id=2, subscribe={"channel": "flags"})
    session.receive(say(id=3, unsubscribe={"channel": "flags"}), now_s=1.0)
    assert not session.wants(command)
    again = ask(session, id=4, subscribe={"channel": "flags"})
    assert session.subscribed(command, Joined(Position(0, "e"))) == []
    assert session.wants(again)


def test_recovery_is_asked_for_with_position_and_told_honestly() -> None:
    session = connected()
    command = ask(
        session,
        id=2,
        subscribe={"channel": "flags", "recover": True, "epoch": "e1", "offset": 2, "flag": 3},
    )
    assert command == commands.Subscribe(2, "flags", Position(2, "e1"), True)
    result = Joined(
        Position(4, "e1"),
        publications=[
            Publication(3, '{"a":1}', 5, "00-1-2-01", "x"),
            Publication(4, '{"a":"\\n"}'),
        ],
        was_recovering=True,
        recovered=True,
    )
    (reply,) = heard(session.subscribed(command, result))
    assert reply["subscribe"]["recovered"] is True
    assert reply["subscribe"]["publications"] == [
        {"data": {"a": 1}, "offset": 3, "time": 5, "tags": {"traceparent": "00-1-2-01"}},
        {"data": {"a": "\n"}, "offset": 4},
    ]


def test_a_failed_subscribe_can_be_asked_again() -> None:
    session = connected()
    command = ask(session, id=2, subscribe={"channel": "audio:1"})
    (reply,) = heard(session.failed(command, codes.NOT_YET_KNOWN))
    assert reply["error"] == {"code": 102, "message": "channel not known yet", "temporary": True}
    assert ask(session, id=3, subscribe={"channel": "audio:1"}).id == 3


def test_the_server_ends_subscriptions_also_those_under_way() -> None:
    session = connected()
    command = ask(session, id=2, subscribe={"channel": "audio:1"})
    (refused,) = heard(session.unsubscribe("audio:1", codes.UNSUBSCRIBED_BY_SERVER))
    assert refused["error"]["code"] == 103
    assert not session.wants(command)
    command = ask(session, id=3, subscribe={"channel": "audio:2"})
    session.subscribed(command, Joined(Position(0, "e")))
    leave, push = session.unsubscribe("audio:2", codes.INSUFFICIENT_STATE)
    assert leave == Leave("audio:2")
    assert heard([push]) == [
        {
            "push": {
                "channel": "audio:2",
                "unsubscribe": {"code": 2500, "reason": "insufficient state"},
            }
        }
    ]
    assert session.unsubscribe("audio:2", codes.INSUFFICIENT_STATE) == []


def test_history_presence_and_acknowledgements_are_passed_on() -> None:
    session = connected()
    assert ask(
        session,
        id=2,
        history={"channel": "flags", "limit": 5, "since": {"offset": 3, "epoch": "e"}},
    ) == commands.History(2, "flags", 5, Position(3, "e"), False)
    assert ask(
        session, id=3, history={"channel": "flags", "limit": -1, "reverse": True}
    ) == commands.History(3, "flags", -1, None, True)
    assert ask(session, id=4, presence={"channel": "audio:1"}) == commands.Presence(
        4, "audio:1", False
    )
    assert ask(session, id=5, presence_stats={"channel": "audio:1"}).is_count
    ack = {"data": {"ack": {"channel": "flags", "offset": 8}}}
    assert ask(session, send=ack) == commands.Acknowledge(0, "flags", 8)
    passed, reply = session.receive(say(id=6, rpc={"method": "ack", **ack}), now_s=1.0)
    assert passed == commands.Acknowledge(6, "flags", 8)
    assert heard([reply]) == [{"id": 6, "rpc": {}}]


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ({"publish": {"channel": "flags", "data": {}}}, 103),
        ({"rpc": {"method": "nothing"}}, 108),
        ({"sub_refresh": {"channel": "flags"}}, 108),
        ({"dance": {}}, 104),
    ],
)
def test_what_is_not_offered_is_refused(command: dict[str, Any], code: int) -> None:
    (reply,) = heard(connected().receive(say(id=9, **command), now_s=1.0))
    assert reply["error"]["code"] == code


def test_messages_without_id_are_taken_silently() -> None:
    assert connected().receive(say(send={"data": {"hello": 1}}), now_s=1.0) == []


def test_a_batch_is_answered_in_order() -> None:
    frame = "\n".join([say(id=2, ping={}), "", say(id=3, dance={}), say(id=4, ping={})])
    assert [reply["id"] for reply in heard(connected().receive(frame, now_s=1.0))] == [2, 3, 4]


def test_pings_come_on_time_and_silence_ends_the_connection() -> None:
    session = connected(ping_interval_s=25, pong_timeout_s=8)
    assert session.tick(now_s=24.9) == []
    assert session.tick(now_s=25.0) == [Send("{}")]
    assert session.deadline_s == 33.0
    session.receive("{}", now_s=26.0)
    assert session.deadline_s == 50.0
    assert session.tick(now_s=33.0) == []
    assert session.tick(now_s=50.0) == [Send("{}")]
    assert closing(session.tick(now_s=58.0)) == 3012


def test_the_first_ping_is_spread() -> None:
    session = Session("c", Limits(), now_s=0.0, spread=0.5)
    session.receive(say(id=1, connect={"token": "t"}), now_s=0.0)
    session.connected(1, expires_in_s=None, node="n", version="v", now_s=0.0)
    assert session.deadline_s == pytest.approx(18.75)


def test_who_does_not_connect_in_time_is_stale() -> None:
    session = new(connect_timeout_s=10)
    assert session.tick(now_s=9.9) == []
    assert closing(session.tick(now_s=10.0)) == 3502


def test_an_expired_connection_is_closed_after_the_grace_unless_refreshed() -> None:
    session = connected(expires_in_s=5.0, expiry_grace_s=2.0)
    assert session.deadline_s == 7.0
    refresh = ask(session, id=2, refresh={"token": "newer"})
    assert refresh == commands.Refresh(2, "newer")
    (reply,) = heard(session.refreshed(2, expires_in_s=10.0, version="v", now_s=5.0))
    assert reply == {
        "id": 2,
        "refresh": {"client": "c1", "version": "v", "expires": True, "ttl": 10},
    }
    assert session.tick(now_s=7.0) == []
    assert closing(session.tick(now_s=17.0)) == 3005


def test_too_many_commands_close_with_too_many_requests() -> None:
    session = connected(commands_per_s=1.0, commands_burst_max=5)
    for number in range(4):
        assert closing(session.receive(say(id=2 + number, ping={}), now_s=0.0)) is None
    assert closing(session.receive(say(id=9, ping={}), now_s=0.5)) == 3013


def test_the_rate_recovers_with_time() -> None:
    session = connected(commands_per_s=1.0, commands_burst_max=2)
    for second in range(1, 20):
        assert closing(session.receive(say(id=second, ping={}), now_s=float(second))) is None


def test_too_much_at_once_under_way_is_refused_for_now() -> None:
    session = connected(pending_max=2, channels_max=100)
    for number in range(2):
        ask(session, id=2 + number, subscribe={"channel": f"audio:{number}"})
    (reply,) = heard(session.receive(say(id=9, subscribe={"channel": "audio:9"}), now_s=1.0))
    assert reply["error"] == {"code": 111, "message": "too many requests", "temporary": True}
    assert "audio:9" not in session.subscriptions


def test_too_many_errors_close_for_good() -> None:
    session = connected(errors_max=3)
    for number in range(3):
        session.receive(say(id=2 + number, dance={}), now_s=1.0)
    assert closing(session.receive(say(id=9, dance={}), now_s=1.0)) == 3509


def test_a_frame_over_the_limit_closes() -> None:
    assert closing(connected(frame_bytes_max=100).receive("x" * 101, now_s=0.0)) == 3501


def test_answers_after_the_end_are_dropped() -> None:
    session = connected()
    command = ask(session, id=2, subscribe={"channel": "flags"})
    assert closing(session.close(codes.SHUTDOWN)) == 3001
    assert session.close(codes.SHUTDOWN) == []
    assert session.subscribed(command, Joined(Position(0, "e"))) == []
    assert session.failed(command, codes.DENIED) == []
    assert session.refreshed(3, expires_in_s=None, version="v", now_s=0.0) == []
    assert session.connected(1, expires_in_s=None, node="n", version="v", now_s=0.0) == []
    assert session.tick(now_s=1e9) == []


def test_close_codes_say_who_comes_back() -> None:
    ends = [each.code for each in vars(codes).values() if isinstance(each, codes.Disconnect)]
    assert {code for code in ends if code < 3500} == {3000, 3001, 3005, 3008, 3010, 3012, 3013}
