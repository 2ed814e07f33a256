"""Probing in child processes that may die: a crash or a hang costs one child, never the service."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from tonearm_ingest.adapters import probe_child
from tonearm_ingest.adapters.probe_child import Found, ProbeLimits
from tonearm_ingest.domain.audio import Properties
from tonearm_ingest.domain.errors import NotAudio, UnsupportedAudio
from tonearm_ingest.domain.formats import is_readable
from tonearm_kit import telemetry
from tonearm_kit.logs import get_logger

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

_START_S = 30.0

log = get_logger(__name__)
_tracer = telemetry.tracer(__name__)


class ChildFailed(Exception):
    """The child died, or had to be ended because it took too long.

    killed_by_file: it died while it looked at a file, so the file is to blame.
    """

    def __init__(self, reason: str, *, killed_by_file: bool = False) -> None:
        super().__init__(reason)
        self.killed_by_file = killed_by_file


class _Child:
    """One child process and the pipe to it; started when first needed, and again after a death.

    Spawned, not forked: gRPC and asyncio own threads here. All methods block.
    """

    def __init__(self, url: str, limits: ProbeLimits) -> None:
        self._url, self._limits = url, limits
        self._pipe: Connection | None = None
        self._end: Callable[[], None] = lambda: None

    def ask(self, object_key: str, *, size_bytes: int, timeout_s: float) -> Found:
        """Return the child's answer; raises `ChildFailed` and leaves no child behind then."""
        pipe = self._pipe or self.start()
        try:
            pipe.send((object_key, size_bytes))
            if not pipe.poll(timeout_s):
                raise ChildFailed("timed out")
            found = pipe.recv()
        except (EOFError, OSError):
            self.stop()
            raise ChildFailed("died", killed_by_file=True) from None
        except ChildFailed:
            self.stop()
            raise
        if not isinstance(found, Found):
            raise TypeError(f"unexpected answer: {type(found).__name__}")
        return found

    def start(self) -> Connection:
        """Start the process and wait until it is ready."""
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(
            target=probe_child.run, args=(theirs, self._url, self._limits), daemon=True
        )
        process.start()
        theirs.close()

        def end() -> None:
            ours.close()
            process.kill()
            process.join()

        self._pipe, self._end = ours, end
        try:
            if not ours.poll(_START_S):
                raise ChildFailed("did not start in time")
            ours.recv()
        except EOFError:
            self.stop()
            raise ChildFailed("died at its start") from None
        except ChildFailed:
            self.stop()
            raise
        return ours

    def stop(self) -> None:
        """Kill the process if there is one and wait for its end."""
        end, self._end, self._pipe = self._end, lambda: None, None
        end()


class ProcessProber:
    """Port `Prober` on a few children, each with its own thread to wait for it."""

    def __init__(self, children: list[_Child], threads: ThreadPoolExecutor, timeout_s: float):
        self._idle: asyncio.Queue[_Child] = asyncio.Queue()
        for child in children:
            self._idle.put_nowait(child)
        self._threads = threads
        self._timeout_s = timeout_s

    @classmethod
    @asynccontextmanager
    async def open(
        cls, url: str, *, children_max: int, timeout_s: float, limits: ProbeLimits
    ) -> AsyncIterator[ProcessProber]:
        """Start the first child in the background; end all children on leaving.

        url: where the object store is; must be one that another process can reach.
        timeout_s: longest look at one file, in seconds.
        """
        children = [_Child(url, limits) for _ in range(children_max)]
        with ThreadPoolExecutor(children_max, thread_name_prefix="probe") as threads:
            try:
                yield cls(children, threads, timeout_s)
            finally:
                for child in children:
                    child.stop()

    async def warm_up(self) -> None:
        """Start one child now, so that the first upload does not wait for it."""
        child = await self._idle.get()
        try:
            await asyncio.get_running_loop().run_in_executor(self._threads, child.start)
        except ChildFailed as failure:
            log.warning("probing child failed", reason=str(failure))
        finally:
            self._idle.put_nowait(child)

    async def probe(self, object_key: str, *, size_bytes: int, format: str) -> Properties:
        """Ask a child.

        A file that kills the child is refused as unreadable. Where the child takes too long, or
        does not even start, the file is let through with nothing known but its format: the
        machine may be busy, and analysis will give the precise verdict.
        """
        with _tracer.start_as_current_span("probe header"):
            found = await self._ask(object_key, size_bytes=size_bytes)
        if found is None:
            return Properties(format=format)
        if found.error == "not_audio":
            raise NotAudio("The file is a media container without any audio in it.")
        if found.error is not None:
            raise UnsupportedAudio(format=format)
        if found.codec is None or not is_readable(found.codec):
            raise UnsupportedAudio(format=format, codec=found.codec)
        return Properties(
            format=format,
            codec=found.codec,
            duration_s=found.duration_s,
            sample_rate_hz=found.sample_rate_hz,
            channels=found.channels,
            bit_depth=found.bit_depth,
            bitrate_bps=found.bitrate_bps,
            tags=dict(found.tags),
        )

    async def _ask(self, object_key: str, *, size_bytes: int) -> Found | None:
        child = await self._idle.get()
        # Shielded: when the client leaves, the child must still come back to the queue, and not
        # before it has answered.
        asking = asyncio.get_running_loop().run_in_executor(
            self._threads, self._ask_blocking, child, object_key, size_bytes
        )
        asking.add_done_callback(lambda _: self._idle.put_nowait(child))
        return await asyncio.shield(asking)

    def _ask_blocking(self, child: _Child, object_key: str, size_bytes: int) -> Found | None:
        try:
            return child.ask(object_key, size_bytes=size_bytes, timeout_s=self._timeout_s)
        except ChildFailed as failure:
            log.warning("probing child failed", object_key=object_key, reason=str(failure))
            return Found(error="unsupported_audio") if failure.killed_by_file else None
