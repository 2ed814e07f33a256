"""Jobs and results in Postgres."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from tonearm_analysis.domain.job import Job, Outcome, ResultKey, Stage
from tonearm_contracts.envelope import EventData
from tonearm_kit.db import Connection, Database
from tonearm_kit.outbox import Outbox

_JOB = """
    job_id, audio_id, account_id, status, attempts, content_sha256, engine_version,
    parameters_sha256, parameters, quota_reservation_id, failure_code, failure_reason,
    requested_at, finished_at
"""


def _to_job(row: Any) -> Job:
    return Job(
        job_id=row["job_id"],
        audio_id=row["audio_id"],
        account_id=row["account_id"],
        status=row["status"],
        attempts=row["attempts"],
        key=ResultKey(
            content_sha256=row["content_sha256"],
            engine_version=row["engine_version"],
            parameters_sha256=row["parameters_sha256"],
        ),
        parameters=row["parameters"],
        quota_reservation_id=row["quota_reservation_id"],
        requested_at=row["requested_at"],
        failure_code=row["failure_code"],
        failure_reason=row["failure_reason"],
        finished_at=row["finished_at"],
    )


class PostgresJobs:
    """The port `Jobs` on one connection, inside its transaction."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn

    async def take(self, job: Job) -> Job:
        """Insert *job*, or count one more attempt of the open one; return it as it stands now."""
        row = await self._conn.fetchrow(
            f"""
            INSERT INTO jobs ({_JOB})
            VALUES ($1, $2, $3, 'processing', 1, $4, $5, $6, $7, $8, NULL, NULL, $9, NULL)
            ON CONFLICT (job_id) DO UPDATE
               SET attempts = jobs.attempts + (jobs.status = 'processing')::int
            RETURNING {_JOB}
            """,  # noqa: S608 - the column list is a constant
            job.job_id,
            job.audio_id,
            job.account_id,
            job.key.content_sha256,
            job.key.engine_version,
            job.key.parameters_sha256,
            job.parameters,
            job.quota_reservation_id,
            job.requested_at,
        )
        return _to_job(row)

    async def find_latest(self, audio_id: str, *, account_id: str) -> Job | None:
        """Return the newest job of a recording of this account."""
        row = await self._conn.fetchrow(
            f"""
            SELECT {_JOB} FROM jobs WHERE audio_id = $1 AND account_id = $2
            ORDER BY requested_at DESC, job_id DESC LIMIT 1
            """,  # noqa: S608 - the column list is a constant
            audio_id,
            account_id,
        )
        return None if row is None else _to_job(row)

    async def add_stage(self, job_id: str, stage: Stage) -> bool:
        """Keep what a stage found; False when it is known already or the job is gone."""
        row = await self._conn.fetchrow(
            """
            INSERT INTO job_stages (job_id, stage, position, total, duration_s, result, error)
            SELECT job_id, $2, $3, $4, $5, $6, $7 FROM jobs
             WHERE job_id = $1 AND status = 'processing' FOR SHARE
            ON CONFLICT (job_id, stage) DO NOTHING RETURNING stage
            """,
            job_id,
            stage.name,
            stage.position,
            stage.total,
            stage.duration_s,
            stage.result,
            stage.error,
        )
        return row is not None

    async def stages(self, job_id: str) -> Sequence[Stage]:
        """Return the known stages of a job in the engine's order."""
        rows = await self._conn.fetch(
            """
            SELECT stage, position, total, duration_s, result, error FROM job_stages
            WHERE job_id = $1 ORDER BY position
            """,
            job_id,
        )
        return [
            Stage(
                name=row["stage"],
                position=row["position"],
                total=row["total"],
                duration_s=row["duration_s"],
                result=row["result"],
                error=row["error"],
            )
            for row in rows
        ]

    async def find_outcome(self, key: ResultKey) -> Outcome | None:
        """Return the stored result for *key*."""
        row = await self._conn.fetchrow(
            """
            SELECT result_id, result, summary, engine_duration_s, complete FROM results
            WHERE content_sha256 = $1 AND engine_version = $2 AND parameters_sha256 = $3
            """,
            key.content_sha256,
            key.engine_version,
            key.parameters_sha256,
        )
        if row is None:
            return None
        return Outcome(
            result_id=row["result_id"],
            result=row["result"],
            summary=row["summary"],
            engine_duration_s=row["engine_duration_s"],
            complete=row["complete"],
        )

    async def add_outcome(self, key: ResultKey, outcome: Outcome, *, now: datetime) -> None:
        """Store a result; the first complete one for a key stays."""
        await self._conn.execute(
            """
            INSERT INTO results (content_sha256, engine_version, parameters_sha256, result_id,
                                 engine_duration_s, summary, result, stored_at, complete)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
            ON CONFLICT (content_sha256, engine_version, parameters_sha256) DO UPDATE
               SET result_id = excluded.result_id, summary = excluded.summary,
                   engine_duration_s = excluded.engine_duration_s, result = excluded.result,
                   stored_at = excluded.stored_at, complete = excluded.complete
             WHERE NOT results.complete
            """,
            key.content_sha256,
            key.engine_version,
            key.parameters_sha256,
            outcome.result_id,
            outcome.engine_duration_s,
            outcome.summary,
            outcome.result,
            now,
            outcome.complete,
        )

    async def complete(self, job_id: str, *, now: datetime) -> bool:
        """Close an open job; False when it is closed or gone. Its stages live on in the result."""
        row = await self._conn.fetchrow(
            """
            UPDATE jobs SET status = 'completed', finished_at = $2
            WHERE job_id = $1 AND status = 'processing' RETURNING job_id
            """,
            job_id,
            now,
        )
        if row is None:
            return False
        await self._conn.execute("DELETE FROM job_stages WHERE job_id = $1", job_id)
        return True

    async def fail(self, job_id: str, *, code: str, reason: str, now: datetime) -> bool:
        """Close an open job with a reason; False when it is closed or gone."""
        row = await self._conn.fetchrow(
            """
            UPDATE jobs SET status = 'failed', failure_code = $2, failure_reason = $3,
                            finished_at = $4
            WHERE job_id = $1 AND status = 'processing' RETURNING job_id
            """,
            job_id,
            code,
            reason,
            now,
        )
        return row is not None

    async def is_deleted(self, audio_id: str) -> bool:
        """Tell whether the deletion of this recording was seen."""
        row = await self._conn.fetchrow("SELECT 1 FROM deleted_audio WHERE audio_id = $1", audio_id)
        return row is not None

    async def delete_audio(self, audio_id: str, *, now: datetime) -> None:
        """Forget the recording's jobs and the results that nobody else refers to."""
        await self._conn.execute(
            "INSERT INTO deleted_audio (audio_id, deleted_at) VALUES ($1, $2) "
            "ON CONFLICT DO NOTHING",
            audio_id,
            now,
        )
        keys = await self._conn.fetch(
            "DELETE FROM jobs WHERE audio_id = $1 "
            "RETURNING content_sha256, engine_version, parameters_sha256",
            audio_id,
        )
        await self._drop_unused(keys)

    async def delete_account(self, account_id: str) -> None:
        """Forget every job of an account and the results that nobody else refers to."""
        keys = await self._conn.fetch(
            "DELETE FROM jobs WHERE account_id = $1 "
            "RETURNING content_sha256, engine_version, parameters_sha256",
            account_id,
        )
        await self._drop_unused(keys)

    async def _drop_unused(self, keys: Sequence[Any]) -> None:
        await self._conn.executemany(
            """
            DELETE FROM results r
            WHERE r.content_sha256 = $1 AND r.engine_version = $2 AND r.parameters_sha256 = $3
              AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.content_sha256 = r.content_sha256
                              AND j.engine_version = r.engine_version
                              AND j.parameters_sha256 = r.parameters_sha256)
            """,
            [tuple(key) for key in keys],
        )


class PostgresTx:
    """The port `Tx`: rows and events in one transaction."""

    def __init__(self, conn: Connection, outbox: Outbox) -> None:
        self._conn = conn
        self._outbox = outbox
        self.jobs = PostgresJobs(conn)

    async def announce(self, event: EventData) -> None:
        """Put *event* into the outbox."""
        await self._outbox.add(self._conn, event)


class PostgresStore:
    """Opens transactions: `begin` is the port `Begin`."""

    def __init__(self, db: Database, outbox: Outbox) -> None:
        self._db = db
        self._outbox = outbox

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[PostgresTx]:
        """Give one transaction; commits at the end, rolls back on error."""
        async with self._db.begin() as conn:
            yield self.bind(conn)

    def bind(self, conn: Connection) -> PostgresTx:
        """Join the transaction that *conn* is already in (a consumer's)."""
        return PostgresTx(conn, self._outbox)

    async def sweep_deleted(self, *, older_than: datetime) -> int:
        """Drop marks of deletions before *older_than*; return how many."""
        async with self._db.acquire() as conn:
            done = await conn.execute("DELETE FROM deleted_audio WHERE deleted_at < $1", older_than)
        return int(done.split()[-1])
