from __future__ import annotations

import asyncio
import os
import signal

import pytest

from tonearm_kit import lifecycle
from tonearm_kit.lifecycle import EXIT_CUT_OFF, EXIT_FAILED, EXIT_OK


async def test_a_signal_sets_the_event_and_work_is_finished() -> None:
    finished: list[str] = []

    async def main(stop: asyncio.Event) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        await stop.wait()
        finished.append("committed")

    assert await lifecycle.run(main, grace_s=5) == EXIT_OK
    assert finished == ["committed"]


async def test_work_that_does_not_end_is_cancelled_after_the_grace_time() -> None:
    cancelled = asyncio.Event()

    async def main(stop: asyncio.Event) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    assert await lifecycle.run(main, grace_s=0.01) == EXIT_CUT_OFF
    assert cancelled.is_set()


async def test_a_second_signal_ends_the_grace_time() -> None:
    async def main(stop: asyncio.Event) -> None:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.sleep(0)
        await asyncio.Event().wait()

    async with asyncio.timeout(10):
        assert await lifecycle.run(main, grace_s=600) == EXIT_CUT_OFF


async def test_an_error_is_a_failure() -> None:
    async def main(stop: asyncio.Event) -> None:
        raise ValueError("broken")

    assert await lifecycle.run(main, grace_s=1) == EXIT_FAILED


def test_a_service_that_ends_by_itself_is_fine() -> None:
    async def main(stop: asyncio.Event) -> None:
        return

    assert lifecycle.run_service(main, grace_s=1) == EXIT_OK


async def test_a_failing_loop_is_started_again_until_the_stop() -> None:
    stop, starts = asyncio.Event(), 0

    async def loop(stop: asyncio.Event) -> None:
        nonlocal starts
        starts += 1
        if starts < 4:
            raise ConnectionError
        stop.set()

    await lifecycle.keep_running("relay", loop, stop, backoff_first_s=0.001, backoff_max_s=0.002)
    assert starts == 4


async def test_a_loop_that_returns_early_is_started_again() -> None:
    stop, starts = asyncio.Event(), 0

    async def loop(stop: asyncio.Event) -> None:
        nonlocal starts
        starts += 1
        if starts == 3:
            stop.set()

    await lifecycle.keep_running("relay", loop, stop, backoff_first_s=0.001, backoff_max_s=0.002)
    assert starts == 3


async def test_a_stop_ends_the_wait_between_starts_at_once() -> None:
    stop, failed = asyncio.Event(), asyncio.Event()

    async def loop(stop: asyncio.Event) -> None:
        failed.set()
        raise ConnectionError

    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(
            lifecycle.keep_running("relay", loop, stop, backoff_first_s=60, backoff_max_s=60)
        )
        await failed.wait()
        stop.set()


async def test_cancelling_a_loop_is_not_a_failure() -> None:
    stop, running = asyncio.Event(), asyncio.Event()

    async def loop(stop: asyncio.Event) -> None:
        running.set()
        await asyncio.Event().wait()

    task = asyncio.ensure_future(lifecycle.keep_running("relay", loop, stop))
    await running.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_periodic_work_survives_its_failures() -> None:
    stop, rounds = asyncio.Event(), 0

    async def work() -> None:
        nonlocal rounds
        rounds += 1
        if rounds == 3:
            stop.set()
        raise ConnectionError

    await lifecycle.every(0.001, work, stop, name="sweep")
    assert rounds == 3


async def test_waiting_says_whether_to_stop() -> None:
    stop = asyncio.Event()
    assert not await lifecycle.wait(stop, 0.001)
    stop.set()
    assert await lifecycle.wait(stop, 60)
