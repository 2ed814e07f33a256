"""Rate states in Postgres, checked in batches; and the rate table, held in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

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


@dataclass(slots=True)
class _Ask:
    """One request that waits for its batch."""

    charges: Sequence[Charge]
    hits: int
    verdict: RateVerdict | None = None
    error: BaseException | None = None


@dataclass(slots=True)
class _Queue:
    waiting: list[_Ask] = field(default_factory=list)


class PostgresRateStates:
    """`RateStates` in an unlogged table, shared by all replicas.

    While one batch is on its way, the requests that arrive form the next: a lonely request pays
    one round trip, a thousand at once pay a few. `batch_max` bounds one batch and `waiting_max`
    those that wait, in requests. One connection is kept, since a pool resets what it gets back,
    and that is one more round trip; `close` gives it back.
    """

    def __init__(
        self, db: Database, *, clock: Clock, batch_max: int = 256, waiting_max: int = 10_000
    ) -> None:
        self._db, self._clock = db, clock
        self._batch_max, self._waiting_max = batch_max, waiting_max
        self._queue = _Queue()
        self._turn = asyncio.Lock()
        self._loan = AsyncExitStack()
        self._conn: Connection | None = None

    async def close(self) -> None:
        """Give the connection back."""
        self._conn = None
        await self._loan.aclose()

    async def take(self, charges: Sequence[Charge], *, hits: int) -> RateVerdict:
        """Judge and charge in one step. Raise `Unavailable` when too many wait."""
        if len(self._queue.waiting) >= self._waiting_max:
            raise Unavailable("Too many requests wait for their limit to be checked.")
        ask = _Ask(charges, hits)
        self._queue.waiting.append(ask)
        async with self._turn:
            # Whoever had the turn before may have taken this request along.
            while ask.verdict is None and ask.error is None:
                await self._run_batch()
        if ask.verdict is None:
            raise Unavailable("The limit could not be checked.") from ask.error
        return ask.verdict

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

    async def _run_batch(self) -> None:
        batch = self._queue.waiting[: self._batch_max]
        del self._queue.waiting[: self._batch_max]
        try:
            await self._judge(batch)
        except BaseException as error:
            for ask in batch:
                ask.error = ask.error or error
            if not isinstance(error, Exception):
                raise

    async def _judge(self, batch: Sequence[_Ask]) -> None:
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
            ask.verdict, _ = judge(ask.charges, tats_us=tats_by_key, hits=ask.hits, now_us=now_us)

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
        if self._conn is None or self._conn.is_closed():
            await self.close()
            self._conn = await self._loan.enter_async_context(self._db.acquire())
        return self._conn


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
