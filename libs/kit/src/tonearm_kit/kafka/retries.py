"""Where an event goes that could not be applied: retry topics and the dead letters.

Everything needed later travels in headers; the key, the value and the event's own headers stay
byte for byte as they were.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tonearm_contracts.topics import Topic
from tonearm_kit.kafka.failures import class_name, reason_of, stack_hash, stack_of
from tonearm_kit.kafka.options import RetryPolicy
from tonearm_kit.kafka.ports import OutRecord, Record

PREFIX = "tonearm-"
ATTEMPT = "tonearm-attempt"
NOT_BEFORE_MS = "tonearm-not-before-ms"
ORIGIN_TOPIC = "tonearm-origin-topic"
ORIGIN_PARTITION = "tonearm-origin-partition"
ORIGIN_OFFSET = "tonearm-origin-offset"
ORIGIN_TIMESTAMP_MS = "tonearm-origin-timestamp-ms"
GROUP = "tonearm-consumer-group"
REASON = "tonearm-reason"
ERROR_CLASS = "tonearm-error-class"
STACK_HASH = "tonearm-stack-hash"
STACK = "tonearm-stack"
FAILED_AT_MS = "tonearm-failed-at-ms"
FAILED_TRACEPARENT = "tonearm-failed-traceparent"

REDRIVE_LEVEL = 0


def retry_topic(group: str, level: int) -> str:
    """Return the retry topic of a level; level 0 has no delay and serves redriving."""
    return f"{group}.retry.{level}"


def dead_letter_topic(group: str) -> str:
    """Return the dead-letter topic of a consumer group."""
    return f"{group}.dlq"


def topics_of(group: str, policy: RetryPolicy) -> list[Topic]:
    """Return the topics that a consumer group owns: one per delay, redrive, dead letters."""
    levels = [
        Topic(
            name=retry_topic(group, level),
            partitions=policy.partitions,
            retention_s=policy.retention_s,
        )
        for level in range(len(policy.delays_s) + 1)
    ]
    dead = Topic(name=dead_letter_topic(group), partitions=1, retention_s=policy.dead_retention_s)
    return [*levels, dead]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an event was first read, however many retry topics it went through."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int

    @classmethod
    def of(cls, record: Record) -> Origin:
        """Return the origin named in the record's headers, else the record itself."""
        headers = dict(record.headers)
        try:
            return cls(
                headers[ORIGIN_TOPIC].decode(),
                int(headers[ORIGIN_PARTITION]),
                int(headers[ORIGIN_OFFSET]),
                int(headers[ORIGIN_TIMESTAMP_MS]),
            )
        except (KeyError, ValueError):
            return cls(record.topic, record.partition, record.offset, record.timestamp)

    def headers(self) -> list[tuple[str, bytes]]:
        """Return the headers that `of` reads."""
        return [
            (ORIGIN_TOPIC, self.topic.encode()),
            (ORIGIN_PARTITION, str(self.partition).encode()),
            (ORIGIN_OFFSET, str(self.offset).encode()),
            (ORIGIN_TIMESTAMP_MS, str(self.timestamp_ms).encode()),
        ]


def attempt_of(record: Record) -> int:
    """Return how many attempts came before this delivery: 0 for the first."""
    return _int_header(record, ATTEMPT)


def not_before_ms(record: Record) -> int:
    """Return the epoch milliseconds before which this delivery must wait; 0 for none."""
    return _int_header(record, NOT_BEFORE_MS)


def own_headers(headers: Sequence[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    """Return the headers that came with the event, without what retrying added."""
    return [(name, value) for name, value in headers if not name.startswith(PREFIX)]


def retry_record(
    record: Record, error: BaseException, *, group: str, level: int, attempt: int, due_ms: int
) -> OutRecord:
    """Return the record that brings the event back after a delay.

    attempt: attempts made so far, this one included.
    """
    return OutRecord(
        topic=retry_topic(group, level),
        key=record.key,
        value=record.value,
        headers=[
            *own_headers(record.headers),
            *Origin.of(record).headers(),
            (GROUP, group.encode()),
            (ATTEMPT, str(attempt).encode()),
            (NOT_BEFORE_MS, str(due_ms).encode()),
            (REASON, reason_of(error).encode(errors="replace")),
        ],
    )


def dead_letter_record(
    record: Record,
    error: BaseException,
    *,
    group: str,
    attempt: int,
    failed_at_ms: int,
    traceparent: str | None,
) -> OutRecord:
    """Return the record that parks the event, with all that a person needs to judge it.

    traceparent: the span that failed, so that the tool can point to its trace.
    """
    headers = [
        *own_headers(record.headers),
        *Origin.of(record).headers(),
        (GROUP, group.encode()),
        (ATTEMPT, str(attempt).encode()),
        (REASON, reason_of(error).encode(errors="replace")),
        (ERROR_CLASS, class_name(error).encode()),
        (STACK_HASH, stack_hash(error).encode()),
        (STACK, stack_of(error).encode(errors="replace")),
        (FAILED_AT_MS, str(failed_at_ms).encode()),
    ]
    if traceparent is not None:
        headers.append((FAILED_TRACEPARENT, traceparent.encode()))
    return OutRecord(
        topic=dead_letter_topic(group), key=record.key, value=record.value, headers=headers
    )


def _int_header(record: Record, name: str) -> int:
    for header, value in record.headers:
        if header == name and value.isdigit():
            return int(value)
    return 0
