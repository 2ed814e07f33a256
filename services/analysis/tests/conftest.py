"""Fakes of the ports, and a request to analyse."""

from __future__ import annotations

import copy
import math
import struct
import wave
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tonearm_analysis.adapters.worker_pool import PoolSettings
from tonearm_analysis.domain.errors import NotAnalysable
from tonearm_analysis.domain.job import Job, JsonValue, Outcome, ResultKey, Stage
from tonearm_analysis.usecases.analyze_recording import AnalyzeRecording
from tonearm_analysis.usecases.ports import Finished
from tonearm_contracts.envelope import EventData

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@dataclass
class FakeState:
    """What finished transactions wrote."""

    jobs: dict[str, Job] = field(default_factory=dict)
    stages: dict[str, list[Stage]] = field(default_factory=dict)
    results: dict[ResultKey, Outcome] = field(default_factory=dict)
    deleted: dict[str, datetime] = field(default_factory=dict)
    events: list[EventData] = field(default_factory=list)


class FakeJobs:
    """The port `Jobs` in memory."""

    def __init__(self, state: FakeState) -> None:
        self._state = state

    async def take(self, job: Job) -> Job:
        known = self._state.jobs.get(job.job_id)
        if known is None:
            known = job
        elif known.is_open:
            known = replace(known, attempts=known.attempts + 1)
        self._state.jobs[job.job_id] = known
        return known

    async def find_latest(self, audio_id: str, *, account_id: str) -> Job | None:
        mine = [
            job
            for job in self._state.jobs.values()
            if job.audio_id == audio_id and job.account_id == account_id
        ]
        return max(mine, key=lambda job: (job.requested_at, job.job_id), default=None)

    async def add_stage(self, job_id: str, stage: Stage) -> bool:
        job = self._state.jobs.get(job_id)
        known = self._state.stages.setdefault(job_id, [])
        if job is None or not job.is_open or any(one.name == stage.name for one in known):
            return False
        known.append(stage)
        return True

    async def stages(self, job_id: str) -> Sequence[Stage]:
        return sorted(self._state.stages.get(job_id, []), key=lambda stage: stage.position)

    async def find_outcome(self, key: ResultKey) -> Outcome | None:
        return self._state.results.get(key)

    async def add_outcome(self, key: ResultKey, outcome: Outcome, *, now: datetime) -> None:
        known = self._state.results.get(key)
        if known is None or not known.complete:
            self._state.results[key] = outcome

    async def complete(self, job_id: str, *, now: datetime) -> bool:
        if not self._close(job_id, status="completed", finished_at=now):
            return False
        self._state.stages.pop(job_id, None)
        return True

    async def fail(self, job_id: str, *, code: str, reason: str, now: datetime) -> bool:
        return self._close(
            job_id, status="failed", failure_code=code, failure_reason=reason, finished_at=now
        )

    def _close(self, job_id: str, **changes: object) -> bool:
        job = self._state.jobs.get(job_id)
        if job is None or not job.is_open:
            return False
        self._state.jobs[job_id] = replace(job, **changes)  # type: ignore[arg-type]
        return True

    async def is_deleted(self, audio_id: str) -> bool:
        return audio_id in self._state.deleted

    async def delete_audio(self, audio_id: str, *, now: datetime) -> None:
        self._state.deleted.setdefault(audio_id, now)
        self._drop(lambda job: job.audio_id == audio_id)

    async def delete_account(self, account_id: str) -> None:
        self._drop(lambda job: job.account_id == account_id)

    def _drop(self, unwanted) -> None:  # type: ignore[no-untyped-def]
        gone = [job for job in self._state.jobs.values() if unwanted(job)]
        for job in gone:
            del self._state.jobs[job.job_id]
            self._state.stages.pop(job.job_id, None)
        used = {job.key for job in self._state.jobs.values()}
        for job in gone:
            if job.key not in used:
                self._state.results.pop(job.key, None)


class FakeTx:
    """The port `Tx` on a draft that becomes the state at commit."""

    def __init__(self, draft: FakeState) -> None:
        self._draft = draft
        self.jobs = FakeJobs(draft)

    async def announce(self, event: EventData) -> None:
        self._draft.events.append(event)


class FakeStore:
    """Transactions that keep what they wrote only when they end well."""

    def __init__(self) -> None:
        self.state = FakeState()

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[FakeTx]:
        draft = copy.deepcopy(self.state)
        yield FakeTx(draft)
        self.state = draft

    @property
    def told(self) -> list[str]:
        """Class names of the announced events, in order."""
        return [type(event).__name__ for event in self.state.events]


class FakeRecordings:
    """The port `Recordings`: every object is there, unless `error` says otherwise."""

    def __init__(self) -> None:
        self.error: Exception | None = None

    @asynccontextmanager
    async def fetch(self, object_key: str, *, size_bytes: int) -> AsyncIterator[Path]:
        if self.error is not None:
            raise self.error
        yield Path(object_key)


class FakeAnalyzer:
    """The port `Analyzer`: two stages and a result, or an error after `fails_after` stages."""

    engine_version = "1.0.0"

    def __init__(self) -> None:
        self.runs = 0
        self.error: Exception | None = None
        self.parameters_error: Exception | None = None
        self.fails_after = 0
        self.outcome = make_outcome()

    def canonical(self, parameters: Mapping[str, JsonValue]) -> Mapping[str, JsonValue]:
        if self.parameters_error is not None:
            raise self.parameters_error
        if parameters.get("profile", "full") not in ("full", "fast"):
            raise NotAnalysable("invalid_parameters", "No such profile.")
        return {"profile": "full", **parameters}

    async def analyze(
        self, path: Path, *, parameters: Mapping[str, JsonValue]
    ) -> AsyncGenerator[Stage | Finished, None]:
        self.runs += 1
        if path.exists() and not path.read_bytes().startswith(b"RIFF"):
            raise NotAnalysable("not_audio", "No audio in it.")
        for position, name in enumerate(("properties", "rhythm"), start=1):
            if self.error is not None and position == self.fails_after + 1:
                raise self.error
            yield Stage(
                name=name,
                position=position,
                total=2,
                duration_s=0.5,
                result={"value": 1, "curve": list(range(1000))},
            )
        yield Finished(outcome=self.outcome)


def make_outcome() -> Outcome:
    summary: dict[str, JsonValue] = {
        "duration_s": 3.0,
        "tempo_bpm": 120.0,
        "tempo_confidence": 0.9,
        "key": "A minor",
        "key_confidence": 0.8,
        "loudness_lufs": -14.0,
        "meter": "4/4",
    }
    return Outcome(result_id="r1", result={"a": 1}, summary=summary, engine_duration_s=1.0)


def make_job(job_id: str = "j1", **changes: object) -> Job:
    job = Job(
        job_id=job_id,
        audio_id="a1",
        account_id="anna",
        status="processing",
        attempts=1,
        key=ResultKey(content_sha256="c1", engine_version="1.0.0", parameters_sha256="p1"),
        parameters={"profile": "full"},
        quota_reservation_id="q1",
        requested_at=NOW,
    )
    return replace(job, **changes)  # type: ignore[arg-type]


@pytest.fixture
def tone(tmp_path: Path) -> Path:
    """Two seconds of 440 Hz at half scale, mono, 16 bit, 22.05 kHz."""
    path = tmp_path / "tone.wav"
    steps = (0.5 * math.sin(2 * math.pi * 440 * n / 22050) for n in range(2 * 22050))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(22050)
        file.writeframes(b"".join(struct.pack("<h", round(32767 * step)) for step in steps))
    return path


@pytest.fixture
def pool_settings() -> PoolSettings:
    return PoolSettings(
        workers=1,
        job_timeout_s=60,
        stage_timeout_s=60,
        memory_bytes_max=2 * 1024**3,
        jobs_per_worker=100,
    )


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def recordings() -> FakeRecordings:
    return FakeRecordings()


@pytest.fixture
def analyzer() -> FakeAnalyzer:
    return FakeAnalyzer()


@pytest.fixture
def request_() -> AnalyzeRecording:
    return AnalyzeRecording(
        job_id="j1",
        audio_id="a1",
        account_id="anna",
        object_key="objects/a1.wav",
        sha256="c1",
        size_bytes=1000,
        parameters={},
        quota_reservation_id="q1",
    )


@pytest.fixture
def job() -> Job:
    return make_job()


@pytest.fixture
def outcome() -> Outcome:
    return make_outcome()
