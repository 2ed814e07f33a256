from __future__ import annotations

import random

import asyncpg
import pytest

from tonearm_kit.errors import AppError, Kind, Unavailable
from tonearm_kit.kafka import Poison, Retry, RetryPolicy, retries
from tonearm_kit.kafka.failures import Verdict, stack_hash, verdict
from tonearm_kit.testing.broker import FakeRecord


class Refused(AppError):
    """No."""

    code, kind = "refused", Kind.INVALID


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (Poison("x"), Verdict.POISON),
        (Refused(), Verdict.POISON),
        (Retry(), Verdict.TRANSIENT),
        (Unavailable(), Verdict.TRANSIENT),
        (TimeoutError(), Verdict.TRANSIENT),
        (ConnectionResetError(), Verdict.TRANSIENT),
        (asyncpg.ConnectionDoesNotExistError(), Verdict.OUTAGE),
        (asyncpg.AdminShutdownError(), Verdict.OUTAGE),
        (asyncpg.DeadlockDetectedError(), Verdict.OUTAGE),
        (asyncpg.UniqueViolationError(), Verdict.UNKNOWN),
        (KeyError("x"), Verdict.UNKNOWN),
    ],
)
def test_every_exception_has_one_verdict(error: Exception, expected: Verdict) -> None:
    assert verdict(error) is expected


def raised(message: str, *, elsewhere: bool = False) -> Exception:
    def here() -> None:
        raise ValueError(message)

    def there() -> None:
        raise ValueError(message)

    try:
        (there if elsewhere else here)()
    except ValueError as error:
        return error
    raise AssertionError


def test_the_stack_hash_names_the_place_and_not_the_message() -> None:
    assert stack_hash(raised("id 1")) == stack_hash(raised("id 2"))
    assert stack_hash(raised("id 1")) != stack_hash(raised("id 1", elsewhere=True))


def record(*headers: tuple[str, bytes]) -> FakeRecord:
    return FakeRecord("ingest.audio.v1", 3, 42, 1_700, b"k", b"{}", headers)


def test_a_retry_keeps_the_event_and_says_where_it_came_from() -> None:
    original = record(("ce_id", b"1"), ("traceparent", b"t"))
    sent = retries.retry_record(
        original, Retry("busy"), group="g", level=2, attempt=2, due_ms=9_000
    )
    assert (sent.topic, sent.key, sent.value) == ("g.retry.2", b"k", b"{}")
    back = FakeRecord(sent.topic, 0, 7, 2_000, sent.key, sent.value, sent.headers)
    assert retries.attempt_of(back) == 2
    assert retries.not_before_ms(back) == 9_000
    assert retries.Origin.of(back) == retries.Origin("ingest.audio.v1", 3, 42, 1_700)
    assert retries.own_headers(back.headers) == list(original.headers)


def test_a_second_retry_replaces_the_headers_of_the_first() -> None:
    first = retries.retry_record(record(), Retry(), group="g", level=1, attempt=1, due_ms=1)
    back = FakeRecord(first.topic, 0, 7, 2_000, first.key, first.value, first.headers)
    second = retries.retry_record(back, Retry(), group="g", level=2, attempt=2, due_ms=2)
    names = [name for name, _ in second.headers]
    assert len(names) == len(set(names))
    assert dict(second.headers)[retries.ORIGIN_OFFSET] == b"42"


def test_a_dead_letter_has_origin_reason_stack_and_trace() -> None:
    error = raised("it\udcff broke")
    sent = retries.dead_letter_record(
        record(("ce_id", b"1")),
        error,
        group="g",
        attempt=3,
        failed_at_ms=5,
        traceparent="00-a-b-01",
    )
    headers = dict(sent.headers)
    assert sent.topic == "g.dlq"
    assert headers[retries.ORIGIN_TOPIC] == b"ingest.audio.v1"
    assert headers[retries.ORIGIN_PARTITION] == b"3"
    assert headers[retries.ERROR_CLASS] == b"ValueError"
    assert headers[retries.STACK_HASH] == stack_hash(error).encode()
    assert b"raise ValueError" in headers[retries.STACK]
    assert headers[retries.FAILED_TRACEPARENT] == b"00-a-b-01"
    assert headers["ce_id"] == b"1"


def test_delays_grow_and_jitter_only_lengthens_them() -> None:
    policy = RetryPolicy(delays_s=(1.0, 10.0), jitter_share=0.5)
    chance = random.Random(1)  # noqa: S311 - jitter
    first = [policy.delay_s(1, chance) for _ in range(100)]
    later = [policy.delay_s(2, chance) for _ in range(100)]
    assert min(first) >= 1.0
    assert max(first) <= 1.5
    assert min(later) >= 10.0
    assert max(later) <= 15.0
    assert len(set(first)) > 50
    assert policy.attempts_max(unknown=False) == 3


def test_a_group_owns_a_topic_per_delay_one_to_redrive_and_the_dead_letters() -> None:
    names = [topic.name for topic in retries.topics_of("g", RetryPolicy(delays_s=(1.0, 2.0)))]
    assert names == ["g.retry.0", "g.retry.1", "g.retry.2", "g.dlq"]
