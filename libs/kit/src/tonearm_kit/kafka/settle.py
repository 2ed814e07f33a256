"""What happens to each record: applied, retried later, or parked as dead. Never lost."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Sequence
from functools import partial

from opentelemetry.trace import SpanContext, format_span_id, format_trace_id
from opentelemetry.util.types import AttributeValue

from tonearm_contracts.envelope import CloudEvent
from tonearm_kit import semconv
from tonearm_kit.backoff import Backoff
from tonearm_kit.clock import Clock
from tonearm_kit.kafka import measure, retries
from tonearm_kit.kafka.brake import Brake
from tonearm_kit.kafka.claims import ClaimStore, resolve
from tonearm_kit.kafka.effects import Effects
from tonearm_kit.kafka.failures import Failed, Poison, Verdict, reason_of, stack_hash, verdict
from tonearm_kit.kafka.headers import continued, decode_record, span_context
from tonearm_kit.kafka.lanes import Turnstile, lane_of
from tonearm_kit.kafka.measure import Measures
from tonearm_kit.kafka.options import RunnerSettings
from tonearm_kit.kafka.partition import Hand, Work
from tonearm_kit.kafka.ports import BrokerError, OutRecord, Partition, Record, Sender
from tonearm_kit.logs import get_logger

log = get_logger(__name__)


class Settler:
    """Settles records for one consumer group; shared by its main and its retry loop."""

    def __init__(
        self,
        *,
        group: str,
        effects: Effects,
        sender: Sender,
        settings: RunnerSettings,
        measures: Measures,
        clock: Clock,
        claims: ClaimStore | None = None,
        chance: random.Random | None = None,
    ) -> None:
        self._group, self._effects, self._sender = group, effects, sender
        self._settings, self._measures, self._clock = settings, measures, clock
        self._claims = claims
        self._chance = chance or random.Random()  # noqa: S311 - jitter, no secret
        self.brake = Brake(settings.brake, group=group, clock=clock)
        self._turns = Turnstile(
            settings.concurrency,
            lanes=len(settings.priority_topics) + 1,
            fair_share=settings.fair_share,
        )

    def count_from_zero(self, topics: Iterable[str]) -> None:
        """Show what is counted of these topics before any of it happens."""
        for topic in topics:
            for name in (measure.RETRIED, measure.DEAD):
                self._measures.count_from_zero(name, self._attributes(topic))

    def work(self, partition: Partition) -> Work:
        """Return the work of a partition's worker; batches when it is given several records."""
        return partial(self._settle, lane_of(partition.topic, self._settings.priority_topics))

    async def _settle(self, lane: int, records: Sequence[Record], hand: Hand) -> None:
        if len(records) > 1 and await self._settle_batch(lane, records, hand):
            hand.done(records[-1].offset + 1)
            return
        for record in records:
            await self._settle_one(lane, record, hand)
            hand.done(record.offset + 1)

    async def _settle_one(self, lane: int, record: Record, hand: Hand) -> None:
        """Return when the record needs no further care of this partition."""
        await self._wait_until_due(record)
        backoff: Backoff | None = None
        while True:
            await self.brake.hold()
            async with self._turns.turn(lane):
                with hand.working():
                    failed, traceparent = await self._attempt(record)
            if failed is None:
                self.brake.good()
                return
            if failed.kind is not Verdict.OUTAGE:
                with hand.working():
                    if await self._give_away(record, failed, traceparent):
                        return
                continue
            backoff = backoff or self._backoff()
            delay_s = backoff.next_s()
            log.warning(
                "the database is away, the event waits in place",
                group=self._group,
                reason=reason_of(failed.cause),
                retry_in_s=delay_s,
            )
            await asyncio.sleep(delay_s)

    async def _attempt(self, record: Record) -> tuple[Failed | None, str | None]:
        """Apply one record; return what went wrong and the span in which it did."""
        try:
            event = decode_record(record)
        except Poison as poison:
            return Failed(poison, Verdict.POISON), None
        if not self._effects.wants(event.type):
            return None, None
        created, parent = continued(record.headers)
        traceparent = None
        try:
            with self._measures.operation(
                "process",
                record.topic,
                group=self._group,
                parent=parent,
                links=[created] if created is not None else (),
                attributes=_attributes(record, event),
            ) as span:
                traceparent = _traceparent(span.get_span_context())
                fresh = await self._apply(event)
        except Failed as failed:
            return failed, traceparent
        if not fresh:
            self._count(measure.DUPLICATES, 1, record.topic)
        return None, None

    async def _apply(self, event: CloudEvent) -> bool:
        try:
            event = await resolve(event, self._claims)
        except Exception as error:
            raise Failed(error, verdict(error)) from error
        return await self._effects.apply(event)

    async def _settle_batch(self, lane: int, records: Sequence[Record], hand: Hand) -> bool:
        """Apply all records in one transaction; False when they must go one by one."""
        try:
            decoded = [(record, decode_record(record)) for record in records]
        except Poison:
            return False
        wanted = [(record, event) for record, event in decoded if self._effects.wants(event.type)]
        if not wanted:
            return True
        if any(event.dataref is not None for _, event in wanted):
            return False  # fetching belongs to one message, not into everybody's transaction
        events = [event for _, event in wanted]
        links = [
            link for event in events[: measure.LINKS_MAX]
            if (link := span_context(event.traceparent)) is not None
        ]  # fmt: skip
        parent = continued(wanted[0][0].headers)[1] if _are_one_trace(events) else None
        topic, backoff = records[0].topic, self._backoff()
        while True:
            await self.brake.hold()
            if self.brake.tripped:
                return False  # one message alone is the probe
            try:
                async with self._turns.turn(lane):
                    with (
                        hand.working(),
                        self._measures.operation(
                            "process",
                            topic,
                            group=self._group,
                            parent=parent,
                            links=links,
                            attributes={
                                semconv.MESSAGING_DESTINATION_PARTITION_ID: str(
                                    records[0].partition
                                )
                            },
                            batch_count=len(events),
                        ),
                    ):
                        fresh = await self._effects.apply_batch(events)
            except Failed as failed:
                if failed.kind is not Verdict.OUTAGE:
                    log.info(
                        "a batch failed and goes message by message",
                        group=self._group, reason=reason_of(failed.cause), messages=len(events),
                    )  # fmt: skip
                    return False
                delay_s = backoff.next_s()
                log.warning(
                    "the database is away, the batch waits in place",
                    group=self._group, reason=reason_of(failed.cause), retry_in_s=delay_s,
                )  # fmt: skip
                await asyncio.sleep(delay_s)
                continue
            self._count(measure.DUPLICATES, len(events) - fresh, topic)
            self.brake.good()
            return True

    async def _give_away(self, record: Record, failed: Failed, traceparent: str | None) -> bool:
        """Send the record to a retry topic or to the dead letters; False when the brake holds."""
        attempt = retries.attempt_of(record) + 1
        policy = self._settings.retries
        attempts_max = policy.attempts_max(unknown=failed.kind is Verdict.UNKNOWN)
        is_dead = failed.kind is Verdict.POISON or attempt >= attempts_max
        if not is_dead:
            await self._retry_later(record, failed, attempt)
            self.brake.good()
            return True
        if self.brake.poison():
            return False
        log.error(
            "an event is dead", group=self._group, topic=record.topic, offset=record.offset,
            partition=record.partition, attempt=attempt, reason=reason_of(failed.cause),
            stack_hash=stack_hash(failed.cause),
        )  # fmt: skip
        await self._send_surely(
            retries.dead_letter_record(
                record,
                failed.cause,
                group=self._group,
                attempt=attempt,
                failed_at_ms=self._now_ms(),
                traceparent=traceparent,
            )
        )
        self._count(measure.DEAD, 1, record.topic)
        return True

    async def _retry_later(self, record: Record, failed: Failed, attempt: int) -> None:
        policy = self._settings.retries
        delay_s = policy.delay_s(attempt, self._chance)
        after_s = getattr(failed.cause, "after_s", None)
        if after_s is not None:
            delay_s = max(delay_s, float(after_s))
        log.info(
            "an event is tried again later", group=self._group, topic=record.topic,
            offset=record.offset, partition=record.partition, attempt=attempt,
            reason=reason_of(failed.cause), delay_s=round(delay_s, 3),
        )  # fmt: skip
        await self._send_surely(
            retries.retry_record(
                record,
                failed.cause,
                group=self._group,
                level=min(attempt, len(policy.delays_s)),
                attempt=attempt,
                due_ms=self._now_ms() + int(delay_s * 1000),
            )
        )
        self._count(measure.RETRIED, 1, record.topic)

    async def _send_surely(self, record: OutRecord) -> None:
        """Send, however long the broker is away: until then the offset must not move."""
        backoff = self._backoff()
        while True:
            try:
                with self._measures.operation("send", record.topic):
                    await self._sender.send([record])
            except BrokerError as error:
                delay_s = backoff.next_s()
                log.warning("the broker is away", reason=str(error)[:200], retry_in_s=delay_s)
                await asyncio.sleep(delay_s)
            else:
                return

    async def _wait_until_due(self, record: Record) -> None:
        left_s = (retries.not_before_ms(record) - self._now_ms()) / 1000
        if left_s > 0:
            await asyncio.sleep(left_s)

    def _backoff(self) -> Backoff:
        return Backoff(first_s=self._settings.outage_first_s, max_s=self._settings.outage_max_s)

    def _now_ms(self) -> int:
        return int(self._clock.now().timestamp() * 1000)

    def _count(self, name: str, amount: int, topic: str) -> None:
        self._measures.count(name, amount, self._attributes(topic))

    def _attributes(self, topic: str) -> dict[str, AttributeValue]:
        return {
            semconv.MESSAGING_DESTINATION_NAME: topic,
            semconv.MESSAGING_CONSUMER_GROUP_NAME: self._group,
        }


def _attributes(record: Record, event: CloudEvent) -> dict[str, AttributeValue]:
    attributes: dict[str, AttributeValue] = {
        semconv.MESSAGING_DESTINATION_PARTITION_ID: str(record.partition),
        semconv.MESSAGING_KAFKA_OFFSET: record.offset,
        semconv.MESSAGING_MESSAGE_ID: event.id,
        semconv.MESSAGING_MESSAGE_BODY_SIZE: len(record.value or b""),
        semconv.CLOUDEVENTS_EVENT_SOURCE: event.source,
        semconv.CLOUDEVENTS_EVENT_TYPE: event.type,
    }
    if record.key is not None:
        attributes[semconv.MESSAGING_KAFKA_MESSAGE_KEY] = record.key.decode(errors="replace")
    if event.correlationid is not None:
        attributes[semconv.MESSAGING_MESSAGE_CONVERSATION_ID] = event.correlationid
    return attributes


def _are_one_trace(events: Sequence[CloudEvent]) -> bool:
    return len({event.traceparent and event.traceparent[3:35] for event in events}) == 1


def _traceparent(span: SpanContext) -> str | None:
    if not span.is_valid:
        return None
    trace_id, span_id = format_trace_id(span.trace_id), format_span_id(span.span_id)
    return f"00-{trace_id}-{span_id}-{span.trace_flags:02x}"
