"""Dead letters and what was done to them, as values."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final, Literal

from tonearm_contracts.topics import DAY_S, Topic
from tonearm_kit.kafka import retries
from tonearm_kit.kafka.failures import Poison
from tonearm_kit.kafka.headers import text_headers
from tonearm_kit.kafka.ports import Header, OutRecord, Record

AUDIT_TOPIC: Final = Topic(
    name="tonearm.dead-letters.audit", partitions=1, retention_s=3650 * DAY_S
)
"""Who did what to which letter, and when."""

SUFFIX: Final = ".dlq"

Verb = Literal["edit", "redrive", "discard"]
State = Literal["open", "redriven", "discarded"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """One event that a consumer group could not apply."""

    id: str
    """Twelve hex digits, the same each time this event dies in this group."""
    group: str
    offset: int
    """Where it lies in the dead-letter topic."""
    origin: retries.Origin
    event_id: str | None
    event_type: str | None
    key: bytes | None
    value: bytes | None
    headers: tuple[Header, ...]
    """Headers of the event itself, as they arrived."""
    reason: str
    error_class: str | None
    stack_hash: str | None
    stack: str | None
    attempt: int
    failed_at: datetime
    traceparent: str | None
    """The span that failed."""
    state: State = "open"
    is_edited: bool = False

    @property
    def trace_id(self) -> str | None:
        """The trace in which the event died, 32 hex digits."""
        return self.traceparent[3:35] if self.traceparent else None

    def as_json(self, *, whole: bool = False) -> dict[str, Any]:
        """Return what a list shows, or with `whole` all of it."""
        shown: dict[str, Any] = {
            "id": self.id,
            "state": self.state,
            "edited": self.is_edited,
            "group": self.group,
            "event_type": self.event_type,
            "event_id": self.event_id,
            "key": None if self.key is None else self.key.decode(errors="replace"),
            "reason": self.reason,
            "stack_hash": self.stack_hash,
            "attempts": self.attempt,
            "failed_at": self.failed_at.isoformat(),
            "trace_id": self.trace_id,
        }
        if whole:
            shown |= {
                "origin": asdict(self.origin),
                "error_class": self.error_class,
                "stack": self.stack,
                "headers": {name: value.decode(errors="replace") for name, value in self.headers},
                "value": _value_as_json(self.value),
            }
        return shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """Something a person did to a letter."""

    verb: Verb
    letter_id: str
    group: str
    letter_offset: int
    """The death it belongs to: an event that dies again is open again."""
    actor: str
    at: datetime
    reason: str | None = None
    value: str | None = None
    """The new value, for an edit."""

    def to_record(self) -> OutRecord:
        """Return the record for the audit topic."""
        fields = {**asdict(self), "at": self.at.isoformat()}
        return OutRecord(
            topic=AUDIT_TOPIC.name,
            key=self.letter_id.encode(),
            value=json.dumps(fields).encode(),
            headers=[("content-type", b"application/json")],
        )

    @classmethod
    def from_record(cls, record: Record) -> Action:
        """Read what `to_record` wrote."""
        fields = json.loads(record.value or b"{}")
        return cls(**{**fields, "at": datetime.fromisoformat(fields["at"])})


def letter_id(group: str, origin: retries.Origin) -> str:
    """Return the id of the letter of an event in a group."""
    text = f"{group}\0{origin.topic}\0{origin.partition}\0{origin.offset}"
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def from_record(record: Record) -> DeadLetter:
    """Read a letter from a dead-letter topic; whatever is broken in it is shown, not raised."""
    group = record.topic.removesuffix(SUFFIX)
    origin = retries.Origin.of(record)
    texts = _texts(record)
    failed_ms = texts.get(retries.FAILED_AT_MS, "")
    return DeadLetter(
        id=letter_id(group, origin),
        group=group,
        offset=record.offset,
        origin=origin,
        event_id=texts.get("ce_id"),
        event_type=texts.get("ce_type"),
        key=record.key,
        value=record.value,
        headers=tuple(retries.own_headers(record.headers)),
        reason=texts.get(retries.REASON, "no reason given"),
        error_class=texts.get(retries.ERROR_CLASS),
        stack_hash=texts.get(retries.STACK_HASH),
        stack=texts.get(retries.STACK),
        attempt=retries.attempt_of(record),
        failed_at=datetime.fromtimestamp(
            int(failed_ms if failed_ms.isdigit() else record.timestamp) / 1000, UTC
        ),
        traceparent=texts.get(retries.FAILED_TRACEPARENT),
    )


def after(letter: DeadLetter, action: Action) -> DeadLetter:
    """Return the letter as it is once `action` was done to it."""
    if action.letter_offset != letter.offset:
        return letter
    if action.verb == "edit":
        return replace(letter, value=(action.value or "").encode(), is_edited=True)
    return replace(letter, state="redriven" if action.verb == "redrive" else "discarded")


def redrive_record(letter: DeadLetter) -> OutRecord:
    """Return the record that gives the event to its group once more, from the first attempt.

    It goes to the group's own topic without delay, so no other group sees it again.
    """
    return OutRecord(
        topic=retries.retry_topic(letter.group, retries.REDRIVE_LEVEL),
        key=letter.key,
        value=letter.value,
        headers=[
            *letter.headers,
            *letter.origin.headers(),
            (retries.GROUP, letter.group.encode()),
        ],
    )


def _texts(record: Record) -> dict[str, str]:
    try:
        return text_headers(record.headers)
    except Poison:
        own = [(name, value) for name, value in record.headers if not name.startswith("ce_")]
        return text_headers(own)


def _value_as_json(value: bytes | None) -> Any:
    if value is None:
        return None
    try:
        return json.loads(value)
    except ValueError:
        return value.decode(errors="replace")
