"""From start to SIGTERM: stop taking, finish, commit, leave.

`main(stop)` is the whole service, usually a `TaskGroup` of servers, relays and consumers that
each watch `stop`. Nothing here knows what they do.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import uvloop

from tonearm_kit.backoff import Backoff
from tonearm_kit.logs import get_logger

Main = Callable[[asyncio.Event], Coroutine[Any, Any, None]]
Loop = Callable[[asyncio.Event], Awaitable[None]]

GC_THRESHOLDS = (10_000, 20, 20)

EXIT_OK, EXIT_FAILED, EXIT_CUT_OFF = 0, 1, 3

log = get_logger(__name__)


async def wait(stop: asyncio.Event, seconds: float) -> bool:
    """Sleep until `stop` is set or `seconds` have passed; return whether it is set."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(max(0.0, seconds)):
            await stop.wait()
    return stop.is_set()


async def run(main: Main, *, grace_s: float) -> int:
    """Run `main` until it ends or a signal asks it to, and return the exit status.

    SIGTERM or SIGINT sets the event; `main` then has `grace_s` seconds, or until a second
    signal, before it is cancelled (status 3). An error of `main` is logged and gives status 1.
    """
    stop, hurry = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    signals = (signal.SIGTERM, signal.SIGINT)

    def signalled() -> None:
        (hurry if stop.is_set() else stop).set()

    for number in signals:
        loop.add_signal_handler(number, signalled)
    try:
        return await _supervise(main, stop, hurry, grace_s=grace_s)
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


async def _supervise(
    main: Main, stop: asyncio.Event, hurry: asyncio.Event, *, grace_s: float
) -> int:
    async def stopped() -> None:
        await stop.wait()
        log.info("stopping", grace_s=grace_s)
        await wait(hurry, grace_s)

    # Not a TaskGroup: the two are raced, and which one ends first is the answer.
    work = asyncio.create_task(main(stop), name="main")  # noqa: TID251 - awaited below
    limit = asyncio.create_task(stopped(), name="grace")  # noqa: TID251 - cancelled below
    try:
        await asyncio.wait({work, limit}, return_when=asyncio.FIRST_COMPLETED)
        cut_off = not work.done()
        if cut_off:
            log.error("work was still running after the grace time", grace_s=grace_s)
            work.cancel()
        await asyncio.wait({work})
    finally:
        limit.cancel()
        work.cancel()
        await asyncio.wait({work, limit})
    if cut_off:
        return EXIT_CUT_OFF
    if (error := None if work.cancelled() else work.exception()) is not None:
        log.critical("the service failed", exc_info=error)
        return EXIT_FAILED
    log.info("stopped")
    return EXIT_OK


def collect_less() -> None:
    """Let the garbage collector leave alone what was imported, and look at the rest less often.

    Spans and events come by the thousand and die young, without cycles: looking for those in
    them costs a consumer a twentieth of its time.
    """
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


def run_service(main: Main, *, grace_s: float) -> int:
    """Run `main` on a new event loop of its own and return the exit status."""
    collect_less()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(run(main, grace_s=grace_s))


async def keep_running(
    name: str,
    loop: Loop,
    stop: asyncio.Event,
    *,
    backoff_first_s: float = 0.5,
    backoff_max_s: float = 30.0,
    healthy_after_s: float = 60.0,
) -> None:
    """Run the background loop `loop(stop)` until `stop`, restarting it when it fails.

    The delay doubles from `backoff_first_s` up to `backoff_max_s` seconds and starts anew once
    a run has lasted `healthy_after_s` seconds. A loop that returns before `stop` failed, too.
    """
    clock, backoff = (
        asyncio.get_running_loop(),
        Backoff(first_s=backoff_first_s, max_s=backoff_max_s),
    )
    while not stop.is_set():
        started = clock.time()
        error: Exception | None = None
        try:
            await loop(stop)
        except Exception as caught:  # noqa: BLE001 - a background loop may fail in any way
            error = caught
        if stop.is_set() and error is None:
            return
        if clock.time() - started >= healthy_after_s:
            backoff.reset()
        delay_s = backoff.next_s()
        log.error("background loop ended early", loop=name, restart_in_s=delay_s, exc_info=error)
        await wait(stop, delay_s)


async def every(
    seconds: float, work: Callable[[], Awaitable[object]], stop: asyncio.Event, *, name: str
) -> None:
    """Call `work` now and then every `seconds`, until `stop`; a failure is logged, not fatal."""
    while not stop.is_set():
        try:
            await work()
        except Exception as error:
            log.warning("periodic work failed", work=name, exc_info=error)
        await wait(stop, seconds)
