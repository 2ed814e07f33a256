"""Names of channels, and which event goes where."""

from __future__ import annotations

import json

import pytest

from tonearm_contracts import events as contracts
from tonearm_kit.ids import new_id
from tonearm_notify.domain import channels, wire
from tonearm_notify.domain.channels import Channel, Space
from tonearm_notify.usecases.record import PUBLISHED_TYPES


@pytest.mark.parametrize(
    ("name", "channel"),
    [
        ("account:#a1", Channel(Space.ACCOUNT, "a1")),
        ("audio:x", Channel(Space.AUDIO, "x")),
        ("flags", Channel(Space.FLAGS, "")),
        ("system", Channel(Space.SYSTEM, "")),
    ],
)
def test_names_are_read_and_written_alike(name: str, channel: Channel) -> None:
    assert channels.parse(name) == channel
    assert channel.name == name


@pytest.mark.parametrize(
    "name",
    ["", "account", "account:", "account:a1", "account:#", "audio:", "audio:#x", "flags:1", "x:y",
     "audio:" + "x" * 200],
)  # fmt: skip
def test_other_names_are_no_channels(name: str) -> None:
    assert channels.parse(name) is None


def test_templates_hide_ids() -> None:
    templates = {Channel(space, "1").template for space in Space}
    assert templates == {"account:#{id}", "audio:{id}", "flags", "system"}


def test_events_go_to_the_person_and_the_recording() -> None:
    payload = {"account_id": "a", "audio_id": "r"}
    assert channels.for_event("tonearm.analysis.completed.v1", payload) == ("account:#a", "audio:r")
    assert channels.for_event("tonearm.audio.deleted.v1", payload) == ("account:#a", "audio:r")
    assert channels.for_event("tonearm.account.deleted.v1", {"account_id": "a"}) == ("account:#a",)
    assert channels.for_event("tonearm.flag.changed.v1", {"account_id": None}) == ("flags",)
    assert channels.for_event("tonearm.flag.changed.v1", {"account_id": "a"}) == ("account:#a",)
    assert channels.for_event("tonearm.notice.announced.v1", {"notice_id": "n"}) == ("system",)


def test_internal_events_go_nowhere() -> None:
    payload = {"account_id": "a", "audio_id": "r"}
    assert channels.for_event("tonearm.analysis.requested.v1", payload) == ()
    assert channels.for_event("tonearm.quota.spent.v1", payload) == ()
    assert channels.for_event("other.thing", payload) == ()


def test_every_contract_is_either_followed_or_internal() -> None:
    types = {event.TYPE for event in contracts.ALL}
    assert types - set(PUBLISHED_TYPES) == {contracts.AnalysisRequested.TYPE}
    assert set(PUBLISHED_TYPES) <= types


def test_the_age_of_an_id_comes_from_the_id() -> None:
    fresh = new_id()
    age_s = channels.age_of_id_s(fresh, now_s=int(fresh.replace("-", "")[:12], 16) / 1000 + 5)
    assert age_s == pytest.approx(5.0)
    assert channels.age_of_id_s("no-id", now_s=0) is None
    assert channels.age_of_id_s("00000000-0000-4000-8000-000000000000", now_s=0) is None


def test_a_push_is_one_line_of_json_whatever_the_data_holds() -> None:
    body = wire.dumps({"title": 'Läuft "gut"\n\x1f', "n": [1, None]})
    text = wire.push_publication('audio:"x"', wire.Publication(3, body, 7, "00-a-b-01"))
    assert "\n" not in text
    pushed = json.loads(text)["push"]
    assert pushed["channel"] == 'audio:"x"'
    assert pushed["pub"] == {
        "data": {"title": 'Läuft "gut"\n\x1f', "n": [1, None]},
        "offset": 3,
        "time": 7,
        "tags": {"traceparent": "00-a-b-01"},
    }
