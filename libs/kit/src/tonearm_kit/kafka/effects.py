"""Applying events: the effect and its inbox row together, in one of four grains."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import groupby

import asyncpg

from tonearm_contracts.envelope import CloudEvent
from tonearm_kit.db import Connection, Database, DatabaseAway
from tonearm_kit.inbox import Inbox
from tonearm_kit.kafka.context import continuing, handling
from tonearm_kit.kafka.failures import DATABASE_TROUBLE, Failed, Verdict, verdict
from tonearm_kit.logs import get_logger

Handler = Callable[[Connection, CloudEvent], Awaitable[None]]
"""Effect of one event, inside the runner's transaction, behind the runner's inbox check."""

BatchHandler = Callable[[Connection, Sequence[CloudEvent]], Awaitable[None]]
"""Effect of several events of one partition, in their order, ditto.

A handler that is given for several types gets their events together.
"""

StatementHandler = Callable[[Database, str, Sequence[CloudEvent]], Awaitable[int]]
"""Effect of several events in a transaction of the handler's own, as a rule one statement.

It marks the events in the inbox of the group that is named, in the same transaction, applies
only those that were not marked before, and returns how many these were. An event may be in the
batch twice. A handler that is given for several types gets their events together.
"""

JobHandler = Callable[[CloudEvent], Awaitable[None]]
"""A long job: it owns its transactions and calls `inbox.first_time` in the last one."""

_OURS = (asyncpg.QueryCanceledError,)
"""Outside of a handler this is trouble of the database, not of the event."""

log = get_logger(__name__)


class _HandlerFailed(Exception):
    def __init__(self, cause: Exception) -> None:
        self.cause = cause


_TROUBLE: tuple[type[Exception], ...] = (_HandlerFailed, *DATABASE_TROUBLE)


class Effects:
    """Knows the handlers of a consumer and runs them; raises `Failed` and nothing else."""

    def __init__(
        self,
        *,
        group: str,
        db: Database | None,
        handlers: Mapping[str, Handler],
        batch_handlers: Mapping[str, BatchHandler],
        statement_handlers: Mapping[str, StatementHandler] | None = None,
        job_handlers: Mapping[str, JobHandler],
        handler_timeout_s: float,
        job_timeout_s: float,
        inbox: Inbox,
    ) -> None:
        if (handlers or batch_handlers or statement_handlers) and db is None:
            raise ValueError("handlers of any grain but the job's need a database")
        self._group, self._db, self._inbox = group, db, inbox
        self._handlers, self._batch_handlers = handlers, batch_handlers
        self._statement_handlers = statement_handlers or {}
        self._job_handlers = job_handlers
        self._handler_timeout_s, self._job_timeout_s = handler_timeout_s, job_timeout_s

    def wants(self, event_type: str) -> bool:
        """Whether there is a handler for this type; others are skipped."""
        return (
            event_type in self._handlers
            or event_type in self._batch_handlers
            or event_type in self._statement_handlers
            or event_type in self._job_handlers
        )

    async def apply(self, event: CloudEvent) -> bool:
        """Apply one event; False when its effect was there already."""
        job = self._job_handlers.get(event.type)
        if job is not None:
            await self._run_job(job, event)
            return True
        statement = self._statement_handlers.get(event.type)
        if statement is not None:
            return await self._run_statement(statement, [event]) == 1
        try:
            async with self._inbox.begin(
                self._database, group=self._group, event_id=event.id, source=event.source
            ) as (conn, is_first):
                if is_first:
                    await self._handle(conn, [event])
        except _TROUBLE as error:
            raise (failed := await self._failed(error)) from failed.cause
        return is_first

    async def apply_batch(self, events: Sequence[CloudEvent]) -> int:
        """Apply the events in one transaction; return how many were not there already.

        Each run of events of a statement's handler is a transaction of its own: where a later
        one fails, what went before it stays, and is known by its marks.
        """
        fresh = 0
        for handler, group in groupby(
            events, key=lambda event: self._statement_handlers.get(event.type)
        ):
            if handler is not None:
                fresh += await self._run_statement(handler, list(group))
            else:
                fresh += await self._apply_together(list(group))
        return fresh

    async def _apply_together(self, events: Sequence[CloudEvent]) -> int:
        try:
            async with self._database.begin() as conn:
                fresh = await self._fresh(conn, events)
                await self._handle(conn, fresh)
        except _TROUBLE as error:
            raise (failed := await self._failed(error)) from failed.cause
        return len(fresh)

    @property
    def _database(self) -> Database:
        if self._db is None:
            raise RuntimeError("no database")
        return self._db

    async def _failed(self, error: Exception) -> Failed:
        if isinstance(error, _HandlerFailed):
            return await self._classified(error.cause)
        is_ours = not isinstance(error, asyncpg.PostgresError) or isinstance(error, _OURS)
        return Failed(error, Verdict.OUTAGE if is_ours else verdict(error))

    async def _handle(self, conn: Connection, events: Sequence[CloudEvent]) -> None:
        try:
            async with asyncio.timeout(self._handler_timeout_s):
                await self._run(conn, events)
        except Exception as error:
            raise _HandlerFailed(error) from error

    async def _fresh(self, conn: Connection, events: Sequence[CloudEvent]) -> list[CloudEvent]:
        new = await self._inbox.first_times(
            conn, group=self._group, events=[(event.source, event.id) for event in events]
        )
        fresh = []
        for event in events:
            if (event.source, event.id) in new:
                new.remove((event.source, event.id))  # the same event twice in one batch
                fresh.append(event)
        return fresh

    async def _run(self, conn: Connection, events: Sequence[CloudEvent]) -> None:
        # Runs of one handler, not all that it handles: the order of a key's events is kept.
        for batch_handler, group in groupby(
            events, key=lambda event: self._batch_handlers.get(event.type)
        ):
            if batch_handler is not None:
                await batch_handler(conn, list(group))
                continue
            for event in group:
                with handling(event), continuing(event):
                    await self._handlers[event.type](conn, event)

    async def _run_statement(self, handler: StatementHandler, events: Sequence[CloudEvent]) -> int:
        try:
            async with asyncio.timeout(self._handler_timeout_s):
                return await handler(self._database, self._group, events)
        except DatabaseAway as error:
            raise Failed(error, Verdict.OUTAGE) from error
        except Exception as error:
            raise await self._classified(error) from error

    async def _run_job(self, job: JobHandler, event: CloudEvent) -> None:
        try:
            with handling(event):
                async with asyncio.timeout(self._job_timeout_s):
                    await job(event)
        except Exception as error:
            raise await self._classified(error) from error

    async def _classified(self, error: Exception) -> Failed:
        """Tell a handler's own network trouble from our database being away."""
        kind = verdict(error)
        if isinstance(error, (OSError, TimeoutError)) and not await self._database_answers():
            kind = Verdict.OUTAGE
        return Failed(error, kind)

    async def _database_answers(self) -> bool:
        if self._db is None:
            return True
        try:
            await self._db.ping()
        except DATABASE_TROUBLE:
            return False
        return True
