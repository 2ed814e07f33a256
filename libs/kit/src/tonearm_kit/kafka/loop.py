"""The loop of one group member: poll, hand out, pause what is full, commit what is settled."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence

from opentelemetry.metrics import Observation

from tonearm_kit import semconv
from tonearm_kit.backoff import Backoff
from tonearm_kit.clock import Clock
from tonearm_kit.kafka import measure
from tonearm_kit.kafka.measure import Measures
from tonearm_kit.kafka.options import RunnerSettings
from tonearm_kit.kafka.partition import PartitionWorker, Work
from tonearm_kit.kafka.ports import Broker, BrokerError, Lost, Partition, Receiver
from tonearm_kit.logs import get_logger

POLL_ERRORS_MAX = 5
"""So many failed polls in a row, and the member is replaced by a new one."""

log = get_logger(__name__)


class ConsumeLoop:
    """One member of one consumer group, with a `PartitionWorker` per assigned partition."""

    def __init__(
        self,
        broker: Broker,
        *,
        group: str,
        topics: Sequence[str],
        work: Callable[[Partition], Work],
        settings: RunnerSettings,
        measures: Measures,
        clock: Clock,
        unit_max: int = 1,
        jobs: bool = False,
    ) -> None:
        self._broker, self._group, self._topics = broker, group, list(topics)
        self._work, self._settings = work, settings
        self._measures, self._clock = measures, clock
        self._unit_max, self._jobs = unit_max, jobs
        self._high = 1 if jobs else max(settings.queue_messages_high, unit_max)
        self._low = 0 if jobs else settings.queue_messages_low
        self._workers: dict[Partition, PartitionWorker] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._receiver: Receiver | None = None
        self._trouble: BrokerError | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until `stop`, then finish what is in hand, commit and leave the group."""
        backoff = Backoff(first_s=self._settings.outage_first_s, max_s=self._settings.outage_max_s)
        with self._measures.gauge(measure.LAG, self._lags):
            while not stop.is_set():
                try:
                    await self._member(stop)
                except* BrokerError as errors:
                    delay_s = backoff.next_s()
                    log.warning(
                        "the consumer joins again", group=self._group,
                        reason=str(errors.exceptions[0])[:200], retry_in_s=round(delay_s, 3),
                    )  # fmt: skip
                    await sleep_or_stop(delay_s, stop)

    async def _member(self, stop: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as tasks:
            self._tasks, self._trouble = tasks, None
            try:
                async with self._broker.receiver(
                    group=self._group,
                    topics=self._topics,
                    on_revoked=self._on_revoked,
                    on_assigned=self._on_assigned,
                ) as receiver:
                    self._receiver = receiver
                    try:
                        await self._poll(receiver, stop)
                    finally:
                        await self._finish(receiver)
            finally:
                self._receiver = None
                for worker in list(self._workers.values()):
                    await worker.cancel()
                self._workers.clear()

    async def _poll(self, receiver: Receiver, stop: asyncio.Event) -> None:
        settings, errors, last_commit_s = self._settings, 0, 0.0
        backoff = Backoff(first_s=settings.outage_first_s, max_s=settings.outage_max_s)
        while not stop.is_set():
            try:
                await self._poll_once(receiver)
                errors = 0
                backoff.reset()
            except BrokerError as error:
                errors += 1
                if errors >= POLL_ERRORS_MAX:
                    raise
                log.warning("polling failed", group=self._group, reason=str(error)[:200])
                await sleep_or_stop(backoff.next_s(), stop)
            self._throttle(receiver)
            if self._clock.monotonic_s() - last_commit_s >= settings.commit_interval_s:
                await self._commit(receiver)
                last_commit_s = self._clock.monotonic_s()

    async def _poll_once(self, receiver: Receiver) -> None:
        if self._trouble is not None:
            raise self._trouble
        started_ns, started_s = time.time_ns(), time.perf_counter()
        found = await receiver.poll(
            timeout_s=self._settings.poll_timeout_s, records_max=self._settings.poll_messages_max
        )
        counts: dict[str, int] = {}
        for partition, records in found.items():
            worker = self._workers.get(partition)
            if worker is not None:
                worker.offer(records)
                counts[partition.topic] = counts.get(partition.topic, 0) + len(records)
        for topic, count in counts.items():
            self._measures.polled(
                topic,
                group=self._group,
                count=count,
                started_ns=started_ns,
                took_s=time.perf_counter() - started_s,
                span=self._settings.client_spans,
            )

    def _throttle(self, receiver: Receiver) -> None:
        full = [
            worker for worker in self._workers.values()
            if not worker.is_paused and worker.waiting >= self._high
        ]  # fmt: skip
        roomy = [
            worker for worker in self._workers.values()
            if worker.is_paused and worker.waiting <= self._low
        ]  # fmt: skip
        if full:
            receiver.pause([worker.partition for worker in full])
        if roomy:
            receiver.resume([worker.partition for worker in roomy])
        for worker in (*full, *roomy):
            worker.is_paused = not worker.is_paused

    async def _commit(self, receiver: Receiver) -> None:
        by_topic: dict[str, dict[Partition, int]] = {}
        for partition, worker in self._workers.items():
            position = worker.to_commit
            if position is not None:
                by_topic.setdefault(partition.topic, {})[partition] = position
        for topic, positions in by_topic.items():
            try:
                with self._measures.operation(
                    "commit", topic, group=self._group, span=self._settings.client_spans
                ):
                    await receiver.commit(positions)
            except Lost:
                log.info("a commit came after the partitions had left", group=self._group)
            except BrokerError as error:
                log.warning("a commit failed", group=self._group, reason=str(error)[:200])
            else:
                for partition, position in positions.items():
                    if partition in self._workers:
                        self._workers[partition].committed = position

    async def _on_revoked(self, revoked: frozenset[Partition]) -> None:
        leaving = [self._workers[each] for each in revoked if each in self._workers]
        for worker in leaving:
            worker.drop_queue()
        if not self._jobs:
            await self._settle(leaving, timeout_s=self._settings.revoke_grace_s)
        if self._receiver is not None:
            await self._commit(self._receiver)

    async def _on_assigned(self, assigned: frozenset[Partition]) -> None:
        for partition in [each for each in self._workers if each not in assigned]:
            await self._workers.pop(partition).cancel()
        for partition in assigned:
            worker = self._workers.get(partition)
            if worker is None:
                self._start(partition)
                continue
            worker.is_paused = False
            worker.drop_queue()
            await self._rebase(worker)
        log.info("partitions assigned", group=self._group, partitions=len(assigned))

    async def _rebase(self, worker: PartitionWorker) -> None:
        if self._receiver is None:
            return
        try:
            worker.rebase(await self._receiver.committed(worker.partition))
        except BrokerError as error:
            # Raised here it would end up in a log of the client; the poll loop starts anew.
            self._trouble = error

    def _start(self, partition: Partition) -> None:
        if self._tasks is None:
            raise RuntimeError("partitions were assigned outside of run")
        worker = PartitionWorker(partition, work=self._work(partition), unit_max=self._unit_max)
        worker.task = self._tasks.create_task(worker.run())
        self._workers[partition] = worker

    async def _finish(self, receiver: Receiver) -> None:
        workers = list(self._workers.values())
        for worker in workers:
            worker.drop_queue()
        if not await self._settle(workers, timeout_s=self._settings.stop_grace_s):
            log.warning("work in hand is given back at the end", group=self._group)
        for worker in workers:
            await worker.cancel()
        await self._commit(receiver)

    @staticmethod
    async def _settle(workers: Iterable[PartitionWorker], *, timeout_s: float) -> bool:
        settled = await asyncio.gather(*(worker.settle(timeout_s=timeout_s) for worker in workers))
        return all(settled)

    def _lags(self) -> Iterable[Observation]:
        now_ms = self._clock.now().timestamp() * 1000
        for partition, worker in tuple(self._workers.items()):
            oldest_ms = worker.oldest_ms
            yield Observation(
                0.0 if oldest_ms is None else max(0.0, (now_ms - oldest_ms) / 1000),
                {
                    semconv.MESSAGING_SYSTEM: measure.SYSTEM,
                    semconv.MESSAGING_CONSUMER_GROUP_NAME: self._group,
                    semconv.MESSAGING_DESTINATION_NAME: partition.topic,
                    semconv.MESSAGING_DESTINATION_PARTITION_ID: str(partition.partition),
                },
            )


async def sleep_or_stop(delay_s: float, stop: asyncio.Event) -> None:
    """Sleep, but no longer than until `stop` is set."""
    try:
        async with asyncio.timeout(delay_s):
            await stop.wait()
    except TimeoutError:
        return
