"""Rate states in Postgres, checked in batches; and the rate table, held in memory."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import asyncpg

from tonearm_auth.domain.gcra import MICROS, Pace
from tonearm_auth.domain.ratelimit import Charge, RatePolicy, RateVerdict, judge
from tonearm_kit.clock import Clock
from tonearm_kit.db import Connection, Database
from tonearm_kit.errors import Unavailable

_TAKE = (
    "SELECT rate_take($1::bytea[], $2::integer[], $3::integer[], $4::bigint[], $5::bigint[], "
    "$6::bigint[], $7::boolean[], $8::bigint)"
)
_SWEPT_MEANWHILE_TRIES = 3


@dataclass(frozen=True, slots=True)
class _Ask:
    """One request that waits for its batch."""

    charges: Sequence[Charge]
    hits: int
    answer: asyncio.Future[RateVerdict]


class PostgresRateStates:
    """`RateStates` in an unlogged table, shared by all replicas.

    While one batch is on its way, the requests that arrive form the next: a lonely request pays
    one round trip, a thousand at once pay a few. A caller that gives up takes nobody along.
    `batch_max` bounds one batch and `waiting_max` those that wait, in requests. One connection is
    kept, since a pool resets what it gets back, and that is one more round trip.
    """

    def __init__(self, db: Database, *, clock: Clock, batch_max: int, waiting_max: int) -> None:
        self._db, self._clock = db, clock
        self._batch_max, self._waiting_max = batch_max, waiting_max
        self._waiting: deque[_Ask] = deque()
        self._arrived = asyncio.Event()
        self._loan = AsyncExitStack()
        self._conn: Connection | None = None

    @classmethod
    @asynccontextmanager
    async def open(
        cls, db: Database, *, clock: Clock, batch_max: int = 256, waiting_max: int = 10_000
    ) -> AsyncIterator[PostgresRateStates]:
        """Answer until left; who still waits then gets `Unavailable`."""
        states = cls(db, clock=clock, batch_max=batch_max, waiting_max=waiting_max)
        failure: BaseException | None = None
        async with asyncio.TaskGroup() as tasks:
            working = tasks.create_task(states._work(), name="rate batches")
            try:
                yield states
            except BaseException as error:  # noqa: BLE001 - raised again below
                # The group would wrap it; whoever is inside wants their own error back.
                failure = error
            finally:
                working.cancel()
        if failure is not None:
            raise failure

    async def take(self, charges: Sequence[Charge], *, hits: int) -> RateVerdict:
        """Judge and charge in one step. Raise `Unavailable` when too many wait."""
        if len(self._waiting) >= self._waiting_max:
            raise Unavailable("Too many requests wait for their limit to be checked.")
        ask = _Ask(charges, hits, asyncio.get_running_loop().create_future())
        self._waiting.append(ask)
        self._arrived.set()
        return await ask.answer

    async def sweep(self, *, limit: int) -> int:
        """Delete at most `limit` keys whose pace has fully recovered; return how many."""
        now_us = _micros(self._clock)
        async with self._db.acquire() as conn:
            rows = await conn.fetch(
                "DELETE FROM rate_states WHERE key IN ("
                "SELECT key FROM rate_states WHERE tat_us < $1 LIMIT $2 FOR UPDATE SKIP LOCKED"
                ") RETURNING key",
                now_us,
                limit,
            )
        return len(rows)

    async def _work(self) -> None:
        batch: list[_Ask] = []
        try:
            while True:
                await self._arrived.wait()
                batch = self._next_batch()
                try:
                    await self._judge(batch)
                except Exception as error:  # noqa: BLE001 - told to whoever waits
                    _refuse(batch, error)
                    # Whatever it was, the next batch begins on another connection.
                    await self._give_back()
        finally:
            _refuse([*batch, *self._waiting], None)
            await self._give_back()

    def _next_batch(self) -> list[_Ask]:
        """Return those who still wait, at most `batch_max`."""
        batch: list[_Ask] = []
        while self._waiting and len(batch) < self._batch_max:
            ask = self._waiting.popleft()
            if not ask.answer.done():
                batch.append(ask)
        if not self._waiting:
            self._arrived.clear()
        return batch

    async def _judge(self, batch: Sequence[_Ask]) -> None:
        if not batch:
            return
        charges = [charge for ask in batch for charge in ask.charges]
        keys = sorted({charge.key for charge in charges})
        slot_of = {key: slot for slot, key in enumerate(keys, start=1)}
        now_us = _micros(self._clock)
        met: list[int] = await self._take(
            keys,
            [slot_of[charge.key] for charge in charges],
            [number for number, ask in enumerate(batch) for _ in ask.charges],
            [ask.hits for ask in batch for _ in ask.charges],
            [charge.policy.pace.interval_us for charge in charges],
            [charge.policy.pace.tolerance_us for charge in charges],
            [charge.policy.is_shadow for charge in charges],
            now_us,
        )
        start = 0
        for ask in batch:
            tats = met[start : start + len(ask.charges)]
            start += len(ask.charges)
            tats_by_key = {charge.key: tat for charge, tat in zip(ask.charges, tats, strict=True)}
            verdict, _ = judge(ask.charges, tats_us=tats_by_key, hits=ask.hits, now_us=now_us)
            if not ask.answer.done():
                ask.answer.set_result(verdict)

    async def _take(self, *values: object) -> list[int]:
        for _ in range(_SWEPT_MEANWHILE_TRIES):
            conn = await self._connection()
            try:
                met: list[int] = await conn.fetchval(_TAKE, *values)
            except asyncpg.SerializationError:
                continue
            return met
        raise Unavailable("The limits are being swept; try again.")

    async def _connection(self) -> Connection:
        if self._conn is None:
            self._conn = await self._loan.enter_async_context(self._db.acquire())
        return self._conn

    async def _give_back(self) -> None:
        self._conn = None
        await self._loan.aclose()


def _refuse(batch: Sequence[_Ask], error: Exception | None) -> None:
    for ask in batch:
        if not ask.answer.done():
            refusal = Unavailable("The limit could not be checked.")
            refusal.__cause__ = error
            ask.answer.set_exception(refusal)


def _micros(clock: Clock) -> int:
    now = clock.now()
    return int(now.timestamp()) * MICROS + now.microsecond


class LoadedRatePolicies:
    """`RatePolicies` as last read; `load` is called at the start and then periodically."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._policies: tuple[RatePolicy, ...] = ()

    def all(self) -> Sequence[RatePolicy]:
        """Return every policy, by name."""
        return self._policies

    async def load(self) -> None:
        """Read the table anew."""
        async with self._db.acquire() as conn:
            self._policies = tuple(await read_policies(conn))


async def read_policies(conn: Connection) -> Sequence[RatePolicy]:
    """Return the rows of the rate table, by name."""
    rows = await conn.fetch(
        "SELECT name, subject, route, bearer, quota, window_s, burst, is_shadow, is_advertised "
        "FROM rate_policies ORDER BY name"
    )
    return [
        RatePolicy(
            name=row["name"],
            subject=row["subject"],
            route=row["route"],
            bearer=row["bearer"],
            pace=Pace(quota=row["quota"], window_s=row["window_s"], burst=row["burst"]),
            is_shadow=row["is_shadow"],
            is_advertised=row["is_advertised"],
        )
        for row in rows
    ]
