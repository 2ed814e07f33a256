"""An event stream: the same feeds as a socket, written as server-sent events."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from tonearm_notify.domain import codes, sse
from tonearm_notify.domain.errors import ChannelDenied, StreamDenied, TooManyConnections
from tonearm_notify.domain.wire import Position
from tonearm_notify.usecases.admit import Gate
from tonearm_notify.usecases.feed import ChannelClosed
from tonearm_notify.usecases.frames import Frame, as_frames
from tonearm_notify.usecases.hub import Hub
from tonearm_notify.usecases.ports import Identity


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamOptions:
    """Bounds of one stream."""

    connections_per_account_max: int = 50
    queue_bytes_max: int = 1024 * 1024
    recovery_bytes_max: int = 4 * 1024 * 1024
    """What one stream gives back over all its channels; more is told by `reset`."""
    recovery_s: float = 30.0
    """Time to read what was recovered, before only the usual queue may wait."""
    keep_alive_s: float = 15.0
    retry_ms: int = 1000
    drain_window_s_max: float = 12.0


class EventStream:
    """One reader. Follows channels as a `Sink`; blocks wait in a bounded queue."""

    form = staticmethod(as_frames)

    def __init__(
        self, client_id: str, identity: Identity, channels: Sequence[str], *, queue_bytes_max: int
    ) -> None:
        self.client_id = client_id
        self.identity: Identity | None = identity
        self.channels = list(channels)
        self.positions: dict[str, Position] = {}
        self._blocks: deque[str] = deque()
        self._bytes = 0
        self._bytes_max = queue_bytes_max
        self.recovered_bytes = 0
        """What was recovered and may wait beside the usual queue until that was empty once."""
        self._wake = asyncio.Event()
        self.end: codes.Disconnect | None = None

    @property
    def cursor(self) -> str:
        """Return where the reader will stand once it has read what waits."""
        return sse.to_cursor(self.channels, self.positions)

    def put(self, block: str) -> None:
        """Queue a block; a reader that is too slow is cut and recovers when it is back."""
        if self.end is not None:
            return
        self._bytes += len(block)
        self._blocks.append(block)
        self._wake.set()
        self._check_queue()

    def _check_queue(self) -> None:
        if self._bytes > self._bytes_max + self.recovered_bytes:
            self._blocks.clear()
            self.close(codes.SLOW)

    def recover(self, frames: Sequence[Frame]) -> None:
        """Take what the reader has missed: it asked for it, so it may wait beside the queue."""
        for frame in frames:
            block = self._block(frame)
            self.recovered_bytes += len(block)
            self.put(block)

    def wait_no_more(self) -> None:
        """End the time that what was recovered may wait."""
        self.recovered_bytes = 0
        if self.end is None:
            self._check_queue()

    def write(self, frames: Sequence[Frame]) -> None:
        """Take publications."""
        for frame in frames:
            self.put(self._block(frame))

    def _block(self, frame: Frame) -> str:
        publication = frame.publication
        self.positions[frame.channel] = Position(publication.offset, frame.epoch)
        return sse.message(self.cursor, publication.body)

    def lose(self, channel: str, why: codes.Unsubscribe) -> None:
        """Take the end of a channel."""
        if why.code >= codes.INSUFFICIENT_STATE.code:
            self.close(codes.INSUFFICIENT_POSITION)
        else:
            self.put(sse.unsubscribed(self.cursor, channel, why.code))

    def close(self, why: codes.Disconnect) -> None:
        """End the stream after what waits."""
        if self.end is None:
            self.end = why
        self._wake.set()

    async def blocks(self, *, keep_alive_s: float) -> AsyncIterator[str]:
        """Yield what is to be written, and a comment when nothing was for a while."""
        while True:
            while self._blocks:
                block = self._blocks.popleft()
                self._bytes -= len(block)
                yield block
            self.recovered_bytes = 0
            if self.end is not None:
                return
            self._wake.clear()
            try:
                async with asyncio.timeout(keep_alive_s):
                    await self._wake.wait()
            except TimeoutError:
                yield sse.KEEP_ALIVE


class Streams:
    """Opens event streams, and ends them when the process drains."""

    def __init__(
        self,
        options: StreamOptions,
        *,
        gate: Gate,
        hub: Hub,
        new_id: Callable[[], str],
        now_s: Callable[[], float],
    ) -> None:
        self._options = options
        self._gate = gate
        self._hub = hub
        self._new_id = new_id
        self._now_s = now_s
        self._open: set[EventStream] = set()
        self._is_draining = False

    async def open(
        self, identity: Identity, channels: Sequence[str], cursor: str
    ) -> AsyncIterator[str]:
        """Return the text of a stream on these channels, from the cursor on.

        Raises StreamDenied, ChannelDenied or TooManyConnections before the first byte;
        afterwards the stream itself says why it ends.
        """
        if self._is_draining:
            # Not an error: an EventSource gives up for good on one, but comes back after an end.
            return self._turn_away()
        if self._gate.is_revoked(identity):
            raise StreamDenied
        for name in channels:
            if await self._gate.refusal(identity, name) is not None:
                raise ChannelDenied(channel=name)
        if self._hub.count(identity.account_id) >= self._options.connections_per_account_max:
            raise TooManyConnections
        stream = EventStream(
            self._new_id(), identity, channels, queue_bytes_max=self._options.queue_bytes_max
        )
        blocks = self._run(stream, identity, sse.from_cursor(channels, cursor))
        # Follow first, answer then: who sees the stream open hears all that comes after.
        return _continue(await anext(blocks), blocks)

    async def _turn_away(self) -> AsyncIterator[str]:
        end = codes.SHUTDOWN
        yield sse.closing(end.code, end.reason, retry_ms=self._retry_ms(end))

    async def _run(
        self, stream: EventStream, identity: Identity, since: dict[str, Position]
    ) -> AsyncGenerator[str, None]:
        self._hub.enter(stream, identity.account_id)
        self._open.add(stream)
        loop = asyncio.get_running_loop()
        timers: list[asyncio.TimerHandle] = []
        try:
            if identity.expires_at_s is not None:
                left_s = max(0.0, identity.expires_at_s - self._now_s())
                timers.append(loop.call_later(left_s, stream.close, codes.CONNECTION_EXPIRED))
            start = await self._join(stream, since)
            timers.append(loop.call_later(self._options.recovery_s, stream.wait_no_more))
            cursor = sse.to_cursor(stream.channels, start)
            yield sse.opening(cursor, stream.channels, retry_ms=self._options.retry_ms)
            async for block in stream.blocks(keep_alive_s=self._options.keep_alive_s):
                yield block
            end = stream.end or codes.CLOSED
            yield sse.closing(end.code, end.reason, retry_ms=self._retry_ms(end))
        finally:
            for timer in timers:
                timer.cancel()
            self._open.discard(stream)
            self._hub.exit(stream, identity.account_id, stream.channels)

    async def _join(self, stream: EventStream, since: dict[str, Position]) -> dict[str, Position]:
        """Follow all channels; return where a reader that is cut off at once goes on from."""
        start = dict(since)
        stream.positions.update(since)
        for name in stream.channels:
            try:
                joined = await self._hub.join(name, stream, since.get(name))
            except ChannelClosed:
                stream.put(sse.unsubscribed(stream.cursor, name, 2000))
                continue
            missed = joined.publications
            size_bytes = stream.recovered_bytes + sum(each.size_bytes for each in missed)
            fits = size_bytes <= self._options.recovery_bytes_max
            if joined.was_recovering and not (joined.recovered and fits):
                stream.positions[name], missed = joined.position, ()
                stream.put(sse.reset(stream.cursor, name, joined.position))
            epoch = joined.position.epoch
            stream.recover([Frame(name, epoch, each) for each in missed])
            stream.positions[name] = joined.position
            start.setdefault(name, joined.position)
        return start

    def _retry_ms(self, end: codes.Disconnect) -> int:
        if end is not codes.SHUTDOWN:
            return self._options.retry_ms
        window_ms = self._options.drain_window_s_max * 1000
        return round(random.uniform(0, window_ms))  # noqa: S311 - spreading, not secrecy

    def drain(self) -> None:
        """End every stream; each is told another moment to come back within the window."""
        self._is_draining = True
        for stream in list(self._open):
            stream.close(codes.SHUTDOWN)


async def _continue(first: str, rest: AsyncGenerator[str, None]) -> AsyncIterator[str]:
    async with aclosing(rest):
        yield first
        async for block in rest:
            yield block
