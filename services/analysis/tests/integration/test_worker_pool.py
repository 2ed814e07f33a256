"""Worker processes die, hang and are replaced; the pool goes on."""

from __future__ import annotations

import asyncio
import signal
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from tonearm_analysis.adapters.worker_pool import PoolSettings, WorkerPool
from tonearm_analysis.domain.errors import TimedOut, WorkerDied
from tonearm_analysis.usecases.ports import Finished

pytestmark = pytest.mark.integration


def workers() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if is_worker(child)]


def is_worker(child: psutil.Process) -> bool:
    try:
        return "tonearm_analysis.adapters.engine_process" in child.cmdline()
    except psutil.NoSuchProcess:  # dead, also where it was not waited for yet
        return False


async def finish(pool: WorkerPool, path: Path) -> Finished:
    steps = [step async for step in pool.analyze(path, parameters=pool.canonical({}))]
    assert isinstance(steps[-1], Finished)
    return steps[-1]


async def test_a_killed_worker_fails_its_job_and_nothing_else(
    pool_settings: PoolSettings, tone: Path
) -> None:
    async with WorkerPool.open(pool_settings) as pool:

        async def killed_after_its_first_stage() -> None:
            async with aclosing(pool.analyze(tone, parameters=pool.canonical({}))) as steps:
                async for _ in steps:
                    for worker in workers():
                        worker.send_signal(signal.SIGKILL)

        with pytest.raises(WorkerDied):
            await killed_after_its_first_stage()
        await finish(pool, tone)


async def test_a_late_worker_is_killed(pool_settings: PoolSettings, tone: Path) -> None:
    async with WorkerPool.open(replace(pool_settings, job_timeout_s=0.01)) as pool:
        with pytest.raises(TimedOut):
            await finish(pool, tone)
        assert workers() == []


async def test_workers_are_reused_and_replaced_in_time(
    pool_settings: PoolSettings, tone: Path
) -> None:
    async with WorkerPool.open(replace(pool_settings, jobs_per_worker=2)) as pool:
        await finish(pool, tone)
        (first,) = workers()
        await finish(pool, tone)
        assert workers() == []
        await finish(pool, tone)
        (second,) = workers()
        assert first.pid != second.pid


async def test_equal_bytes_give_equal_results_in_any_worker(
    pool_settings: PoolSettings, tone: Path
) -> None:
    async with WorkerPool.open(replace(pool_settings, workers=2)) as pool:
        one, two = await asyncio.gather(finish(pool, tone), finish(pool, tone))
    assert one.outcome.result == two.outcome.result
    assert one.outcome.result_id == two.outcome.result_id


async def test_nothing_is_left_when_the_pool_closes(
    pool_settings: PoolSettings, tone: Path
) -> None:
    async with WorkerPool.open(pool_settings) as pool:
        await finish(pool, tone)
        assert len(workers()) == 1
    assert workers() == []
