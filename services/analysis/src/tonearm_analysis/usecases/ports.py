"""What the use cases need of the world; adapters satisfy it by shape."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol, TypeAlias

from tonearm_analysis.domain.job import Job, JsonValue, Outcome, ResultKey, Stage
from tonearm_contracts.envelope import EventData


class Jobs(Protocol):
    """Jobs, their stages and the shared results, inside one transaction."""

    async def take(self, job: Job) -> Job:
        """Insert *job*, or count one more attempt of the open one; return it as it stands now."""
        ...

    async def find_latest(self, audio_id: str, *, account_id: str) -> Job | None:
        """Return the newest job of a recording, locked against nothing."""
        ...

    async def add_stage(self, job_id: str, stage: Stage) -> bool:
        """Keep what a stage found; False when this stage of this job is known already."""
        ...

    async def stages(self, job_id: str) -> Sequence[Stage]:
        """Return the known stages of a job in the engine's order."""
        ...

    async def find_outcome(self, key: ResultKey) -> Outcome | None:
        """Return the stored result for *key*."""
        ...

    async def add_outcome(self, key: ResultKey, outcome: Outcome, *, now: datetime) -> None:
        """Store a result; the first complete one for a key stays."""
        ...

    async def complete(self, job_id: str, *, now: datetime) -> bool:
        """Close an open job; False when it is closed or gone."""
        ...

    async def fail(self, job_id: str, *, code: str, reason: str, now: datetime) -> bool:
        """Close an open job with a reason; False when it is closed or gone."""
        ...

    async def is_deleted(self, audio_id: str) -> bool:
        """Tell whether the deletion of this recording was seen."""
        ...

    async def delete_audio(self, audio_id: str, *, now: datetime) -> None:
        """Forget the recording's jobs and the results that nobody else refers to."""
        ...

    async def delete_account(self, account_id: str) -> None:
        """Forget every job of an account and the results that nobody else refers to."""
        ...


class Tx(Protocol):
    """One transaction: rows and events become true together."""

    @property
    def jobs(self) -> Jobs:
        """Jobs and results."""
        ...

    async def announce(self, event: EventData) -> None:
        """Put *event* into the outbox."""
        ...


Begin: TypeAlias = Callable[[], AbstractAsyncContextManager[Tx]]


class Recordings(Protocol):
    """Where the bytes of recordings are."""

    def fetch(self, object_key: str, *, size_bytes: int) -> AbstractAsyncContextManager[Path]:
        """Give a local file with the bytes, deleted when the context ends.

        Raises ObjectMissing, ObjectStoreAway.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The last word of an analyzer about one recording."""

    outcome: Outcome


class Analyzer(Protocol):
    """The engine, somewhere it can neither block nor take down the service."""

    @property
    def engine_version(self) -> str:
        """Version of the engine; results of different versions are never mixed."""
        ...

    def canonical(self, parameters: Mapping[str, JsonValue]) -> Mapping[str, JsonValue]:
        """Return *parameters* complete with defaults. Raises NotAnalysable when they are wrong."""
        ...

    def analyze(
        self, path: Path, *, parameters: Mapping[str, JsonValue]
    ) -> AsyncGenerator[Stage | Finished, None]:
        """Yield each stage as it ends, then the whole.

        Raises NotAnalysable, TimedOut, WorkerDied.
        """
        ...


RankTempi: TypeAlias = Callable[
    [Mapping[str, JsonValue], tuple[float, float]], Awaitable[Mapping[str, JsonValue]]
]
"""Return a stored result whose tempi inside the range, (low, high) BPM, come first."""
