"""Samples, schemas and documents say what the models say."""

from __future__ import annotations

import json
import shutil
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

import jsonschema
import pytest

from tonearm_contracts import events, topics
from tonearm_contracts.envelope import MAX_EVENT_BYTES, EventData
from tonearm_contracts.publish import __main__ as publish
from tonearm_contracts.publish import asyncapi, schemas

ROOT = Path(__file__).parents[4]
MEMBER = ROOT / publish.MEMBER

every_event = pytest.mark.parametrize("event", events.ALL, ids=lambda event: event.TYPE)


def sample(event: type[EventData]) -> dict[str, Any]:
    text = (MEMBER / "samples" / f"{event.TYPE}.json").read_text(encoding="utf-8")
    golden: dict[str, Any] = json.loads(text)
    return golden


@every_event
def test_the_model_reads_and_writes_its_golden_sample(event: type[EventData]) -> None:
    golden = sample(event)
    read = event.model_validate(golden["value"])
    assert read.model_dump(mode="json") == golden["value"]
    assert read.key() == golden["key"] == golden["headers"]["ce_subject"]
    assert golden["headers"]["ce_type"] == event.TYPE
    assert len(read.model_dump_json()) <= MAX_EVENT_BYTES


@every_event
def test_every_published_schema_accepts_the_sample(event: type[EventData]) -> None:
    for _, schema in schemas.revisions(MEMBER / "schemas", event):
        jsonschema.Draft202012Validator.check_schema(schema)
        jsonschema.validate(sample(event)["value"], schema, jsonschema.Draft202012Validator)


@every_event
def test_a_reader_ignores_fields_that_it_does_not_know(event: type[EventData]) -> None:
    value = sample(event)["value"]
    assert event.model_validate({**value, "of_tomorrow": 1}) == event.model_validate(value)


@every_event
def test_types_and_topics_are_named_by_the_rules(event: type[EventData]) -> None:
    owner, aggregate, past, version = event.TYPE.split(".")
    assert (owner, version) == ("tonearm", "v1")
    assert aggregate.isalpha()
    assert past.replace("_", "").isalpha()
    assert event.TOPIC in {topic.name for topic in topics.ALL}


def test_every_topic_carries_something() -> None:
    assert all(asyncapi.events_of(topic) for topic in topics.ALL)


def test_nothing_that_was_published_is_broken_or_out_of_date() -> None:
    assert publish.main(["check", "--root", str(ROOT)]) == 0


def test_the_document_describes_every_topic_and_event() -> None:
    document = asyncapi.document(MEMBER / "samples")
    assert document["asyncapi"].startswith("3.")
    assert set(document["channels"]) == {topic.name for topic in topics.ALL}
    assert set(document["components"]["messages"]) == {event.TYPE for event in events.ALL}


class Changed(events.AudioDeleted):
    """The type of a published event, with a field that old senders do not send."""

    TYPE: ClassVar[str] = events.AudioDeleted.TYPE

    deleted_at: datetime


class Grown(events.AudioDeleted):
    """The type of a published event, with one more optional field."""

    TYPE: ClassVar[str] = events.AudioDeleted.TYPE

    deleted_at: datetime | None = None


def copied(tmp_path: Path) -> Path:
    shutil.copytree(MEMBER / "schemas", tmp_path / publish.MEMBER / "schemas")
    shutil.copytree(MEMBER / "samples", tmp_path / publish.MEMBER / "samples")
    return tmp_path


def replaced(event: type[EventData]) -> tuple[type[EventData], ...]:
    return tuple(event if each.TYPE == event.TYPE else each for each in events.ALL)


def test_a_breaking_model_fails_the_check_and_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = copied(tmp_path)
    monkeypatch.setattr(events, "ALL", replaced(Changed))
    for command in ("check", "write"):
        assert publish.main([command, "--root", str(root)]) == 1
        assert "deleted_at: newly required" in capsys.readouterr().err
    assert len(schemas.revisions(root / publish.MEMBER / "schemas", Changed)) == 1


def test_a_grown_model_is_a_new_revision_beside_the_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = copied(tmp_path)
    monkeypatch.setattr(events, "ALL", replaced(Grown))
    assert publish.main(["check", "--root", str(root)]) == 1
    assert publish.main(["write", "--root", str(root)]) == 0
    assert publish.main(["check", "--root", str(root)]) == 0
    assert len(schemas.revisions(root / publish.MEMBER / "schemas", Grown)) == 2


def test_a_type_that_disappears_fails_the_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = copied(tmp_path)
    monkeypatch.setattr(events, "ALL", events.ALL[1:])
    assert publish.main(["check", "--root", str(root)]) == 1
    assert f"{events.AccountRegistered.TYPE} was published and is gone" in capsys.readouterr().err
