"""The engine in processes of its own.

The engine computes for seconds, and audio files come from strangers: in the service's own
process the one would block the event loop and the other could take it down. Each worker is a
fresh interpreter (no fork: threads of gRPC and asyncio do not survive one) with one numeric
thread, bounded memory, and a deadline after which it is killed.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from opentelemetry.trace import StatusCode

from tonearm_analysis.domain.errors import NotAnalysable, TimedOut, WorkerDied
from tonearm_analysis.domain.job import JsonValue, Outcome, Stage
from tonearm_analysis.engine import ENGINE_VERSION, ParameterError, Parameters
from tonearm_analysis.usecases.ports import Finished
from tonearm_kit.logs import get_logger
from tonearm_kit.telemetry import tracer

_ONE_THREAD = {
    name: "1"
    for name in (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "NUMEXPR_NUM_THREADS",
        "NUMBA_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
    )
}
_MESSAGE_BYTES_MAX = 64 * 1024 * 1024
_KILL_WAIT_S = 5.0

log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSettings:
    """How many workers, and how much each may take."""

    workers: int
    job_timeout_s: float
    stage_timeout_s: float
    memory_bytes_max: int
    jobs_per_worker: int
    """A worker is replaced after this many jobs, so that leaks of libraries stay small."""


@dataclass(slots=True)
class _Worker:
    process: Process
    jobs_done: int = field(default=0)


class WorkerPool:
    """The port `Analyzer` on worker processes. Start with `open`."""

    engine_version = ENGINE_VERSION

    def __init__(self, settings: PoolSettings) -> None:
        self._settings = settings
        self._idle: asyncio.Queue[_Worker | None] = asyncio.Queue()
        self._alive: set[Process] = set()

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: PoolSettings) -> AsyncIterator[WorkerPool]:
        """Give a pool whose workers warm up; all are killed and awaited when the context ends."""
        pool = cls(settings)
        try:
            for _ in range(settings.workers):
                pool._idle.put_nowait(await pool._spawn())
            yield pool
        finally:
            for process in list(pool._alive):
                await pool._kill(process)

    def canonical(self, parameters: Mapping[str, JsonValue]) -> Mapping[str, JsonValue]:
        """Return *parameters* complete with defaults. Raises NotAnalysable."""
        try:
            return Parameters.from_dict(dict(parameters)).canonical()
        except ParameterError as error:
            raise NotAnalysable("invalid_parameters", str(error)) from error

    async def analyze(
        self, path: Path, *, parameters: Mapping[str, JsonValue]
    ) -> AsyncGenerator[Stage | Finished, None]:
        """Yield each stage as it ends, then the whole. Waits for a free worker first.

        Raises NotAnalysable, TimedOut, WorkerDied. The worker survives the first only; giving up
        the iteration early ends it too, since it would still be computing.
        """
        slot = await self._idle.get()
        worker: _Worker | None = None
        unhurt = False
        try:
            worker = slot or await self._spawn()
            async with aclosing(self._ask(worker, path, parameters)) as messages:
                async for message in messages:
                    unhurt = message["kind"] != "stage"
                    step = _to_step(message)
                    if isinstance(step, Stage):
                        _record_span(step)
                    yield step
        except TimeoutError as error:
            raise TimedOut(
                f"The analysis took longer than {self._settings.job_timeout_s:g} s."
            ) from error
        finally:
            await self._give_back(worker, unhurt=unhurt)

    async def _ask(
        self, worker: _Worker, path: Path, parameters: Mapping[str, JsonValue]
    ) -> AsyncGenerator[dict[str, Any], None]:
        stdin, stdout = worker.process.stdin, worker.process.stdout
        if stdin is None or stdout is None:
            raise WorkerDied("The worker has no pipes.")
        request = {
            "path": str(path),
            "parameters": dict(parameters),
            "stage_timeout_s": self._settings.stage_timeout_s,
        }
        # The deadline stands around each read, never around a yield: between two messages the
        # caller's own awaits run in this task, and must not be cancelled for ours.
        deadline = asyncio.get_running_loop().time() + self._settings.job_timeout_s
        try:
            async with asyncio.timeout_at(deadline):
                stdin.write(json.dumps(request).encode() + b"\n")
                await stdin.drain()
            while True:
                async with asyncio.timeout_at(deadline):
                    line = await stdout.readline()
                if not line:
                    break
                message: dict[str, Any] = json.loads(line)
                yield message
                if message["kind"] != "stage":
                    return
        except (BrokenPipeError, ConnectionResetError, ValueError) as error:
            raise WorkerDied from error
        code = await worker.process.wait()
        log.error("worker_died", pid=worker.process.pid, exit_code=code)
        raise WorkerDied

    async def _spawn(self) -> _Worker:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tonearm_analysis.adapters.engine_process",
            str(self._settings.memory_bytes_max),
            stdin=PIPE,
            stdout=PIPE,
            limit=_MESSAGE_BYTES_MAX,
            env={**os.environ, **_ONE_THREAD},  # noqa: TID251 - a child inherits, nothing is read
            start_new_session=False,
        )
        self._alive.add(process)
        return _Worker(process)

    async def _give_back(self, worker: _Worker | None, *, unhurt: bool) -> None:
        keep: _Worker | None = None
        if worker is not None:
            worker.jobs_done += 1
            if unhurt and worker.jobs_done < self._settings.jobs_per_worker:
                keep = worker
            else:
                await self._kill(worker.process)
        self._idle.put_nowait(keep)

    async def _kill(self, process: Process) -> None:
        self._alive.discard(process)
        with suppress(ProcessLookupError):
            process.kill()
        async with asyncio.timeout(_KILL_WAIT_S):
            await process.wait()


def _record_span(stage: Stage) -> None:
    """Show the stage in the trace; the worker process itself knows nothing of tracing."""
    end_ns = time.time_ns()
    start_ns = end_ns - int(stage.duration_s * 1e9)
    span = tracer(__name__).start_span(f"engine {stage.name}", start_time=start_ns)
    span.set_attribute("tonearm.engine.stage", stage.name)
    span.set_attribute("tonearm.engine.version", ENGINE_VERSION)
    if stage.error is not None:
        span.set_status(StatusCode.ERROR, stage.error)
    span.end(end_time=end_ns)


def _to_step(message: dict[str, Any]) -> Stage | Finished:
    if message["kind"] == "rejected":
        raise NotAnalysable(message["code"], message["reason"])
    if message["kind"] == "stage":
        return Stage(
            name=message["name"],
            position=message["position"],
            total=message["total"],
            duration_s=message["duration_s"],
            result=message["result"],
            error=message["error"],
        )
    return Finished(
        outcome=Outcome(
            result_id=message["result_id"],
            result=message["result"],
            summary=message["summary"],
            engine_duration_s=message["engine_duration_s"],
            complete=message["complete"],
        )
    )
