"""The consumer of a service: from topics to effects, each exactly once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack

from opentelemetry.metrics import Observation

from tonearm_kit import semconv
from tonearm_kit.backoff import Backoff
from tonearm_kit.clock import Clock, SystemClock
from tonearm_kit.db import Database
from tonearm_kit.inbox import Inbox, PostgresInbox
from tonearm_kit.kafka import measure, retries
from tonearm_kit.kafka.claims import ClaimStore
from tonearm_kit.kafka.client import KafkaBroker
from tonearm_kit.kafka.effects import BatchHandler, Effects, Handler, JobHandler, StatementHandler
from tonearm_kit.kafka.loop import ConsumeLoop, sleep_or_stop
from tonearm_kit.kafka.measure import Measures
from tonearm_kit.kafka.options import RunnerSettings
from tonearm_kit.kafka.ports import Broker, BrokerError
from tonearm_kit.kafka.settle import Settler
from tonearm_kit.logs import get_logger

log = get_logger(__name__)


class StartTimeout(RuntimeError):
    """The broker or a topic was not there in time; the message names it."""


class ConsumerRunner:
    """Consumes `topics` as a member of `group` and gives each event to its handler.

    Grains: `handlers` get one event in the runner's transaction, or with `batch=True` share one
    transaction per polled batch of a partition; `batch_handlers` get the batch itself;
    `statement_handlers` get the batch and mark it in the inbox themselves; `job_handlers` run
    long and own their transactions. Types without a handler are skipped.

    Promises: events of a partition are settled in order; an effect is committed together with
    its inbox row; an offset is committed only after everything before it is settled; heartbeats
    and polling never wait for a handler. An event that fails leaves the partition through a
    retry topic or the dead letters, so it loses its place in the order of its key, and only it.
    """

    def __init__(
        self,
        *,
        bootstrap_servers: str,
        group: str,
        topics: Sequence[str],
        db: Database | None,
        handlers: Mapping[str, Handler] | None = None,
        job_handlers: Mapping[str, JobHandler] | None = None,
        batch_handlers: Mapping[str, BatchHandler] | None = None,
        statement_handlers: Mapping[str, StatementHandler] | None = None,
        batch: bool = False,
        settings: RunnerSettings | None = None,
        broker: Broker | None = None,
        measures: Measures | None = None,
        clock: Clock | None = None,
        inbox: Inbox | None = None,
        claims: ClaimStore | None = None,
    ) -> None:
        self._settings = settings or RunnerSettings(client_id=group)
        self._broker = broker or KafkaBroker(
            bootstrap_servers, client_id=self._settings.client_id, settings=self._settings
        )
        self._group, self._topics = group, list(topics)
        self._measures = measures or measure.default()
        self._clock = clock or SystemClock()
        self._claims = claims
        self._jobs = bool(job_handlers)
        self._batch = batch or bool(batch_handlers) or bool(statement_handlers)
        self._effects = Effects(
            group=group,
            db=db,
            handlers=handlers or {},
            batch_handlers=batch_handlers or {},
            statement_handlers=statement_handlers,
            job_handlers=job_handlers or {},
            handler_timeout_s=self._settings.handler_timeout_s,
            job_timeout_s=self._settings.job_timeout_s,
            inbox=inbox or PostgresInbox(),
        )
        self._settler: Settler | None = None

    @property
    def braked(self) -> bool:
        """Whether too much poison holds this consumer; for readiness and dashboards."""
        return self._settler is not None and self._settler.brake.tripped

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until `stop` is set, then finish, commit and leave. Raises `StartTimeout`."""
        await self._wait_for_topics(stop)
        if stop.is_set():
            return
        async with self._broker.sender() as sender:
            settler = self._settler = Settler(
                group=self._group,
                effects=self._effects,
                sender=sender,
                settings=self._settings,
                measures=self._measures,
                clock=self._clock,
                claims=self._claims,
            )
            settler.count_from_zero([*self._topics, *self._retry_topics()])
            with ExitStack() as gauges:
                gauges.enter_context(self._measures.gauge(measure.BRAKE, self._brake_gauge))
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._main_loop(settler).run(stop))
                    tasks.create_task(self._retry_loop(settler).run(stop))

    def _main_loop(self, settler: Settler) -> ConsumeLoop:
        return ConsumeLoop(
            self._broker,
            group=self._group,
            topics=self._topics,
            work=settler.work,
            settings=self._settings,
            measures=self._measures,
            clock=self._clock,
            unit_max=self._settings.batch_messages_max if self._batch else 1,
            jobs=self._jobs,
        )

    def _retry_loop(self, settler: Settler) -> ConsumeLoop:
        return ConsumeLoop(
            self._broker,
            group=f"{self._group}.retry",
            topics=self._retry_topics(),
            work=settler.work,
            settings=self._settings,
            measures=self._measures,
            clock=self._clock,
            jobs=self._jobs,
        )

    def _retry_topics(self) -> list[str]:
        levels = range(len(self._settings.retries.delays_s) + 1)
        return [retries.retry_topic(self._group, level) for level in levels]

    async def _wait_for_topics(self, stop: asyncio.Event) -> None:
        own = retries.topics_of(self._group, self._settings.retries)
        give_up_s = self._clock.monotonic_s() + self._settings.start_timeout_s
        backoff = Backoff(first_s=0.1, max_s=5.0)
        while not stop.is_set():
            try:
                missing = await self._broker.missing_topics(self._topics)
                if not missing:
                    await self._broker.ensure_topics(own)
                    return
                reason = f"no topic {', '.join(missing)}"
            except BrokerError as error:
                reason = str(error)[:200]
            if self._clock.monotonic_s() >= give_up_s:
                raise StartTimeout(f"{self._group}: {reason}")
            delay_s = backoff.next_s()
            log.info("waiting for Kafka", group=self._group, reason=reason, retry_in_s=delay_s)
            await sleep_or_stop(delay_s, stop)

    def _brake_gauge(self) -> Iterable[Observation]:
        return [
            Observation(
                int(self.braked),
                {
                    semconv.MESSAGING_SYSTEM: measure.SYSTEM,
                    semconv.MESSAGING_CONSUMER_GROUP_NAME: self._group,
                },
            )
        ]
