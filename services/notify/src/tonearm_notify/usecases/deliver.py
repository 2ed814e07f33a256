"""From the broker to the sockets: one queue, one task, one order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from tonearm_kit.logs import get_logger
from tonearm_notify.domain import channels
from tonearm_notify.usecases.hub import Hub
from tonearm_notify.usecases.owners import RememberedOwners
from tonearm_notify.usecases.ports import Histories, Published, Revocation
from tonearm_notify.usecases.revoked import RevokedRights

log = get_logger(__name__)

Announcement = Published | Revocation
"""What the broker says."""
_CHANNELS_PER_READ = 1000
_RUN_MAX = 256


@dataclass(frozen=True, slots=True)
class Compare:
    """Look whether anything was missed; after a gap, rights that ended as well."""

    is_after_gap: bool


class Deliverer:
    """Takes announcements from the broker, never blocking it, and feeds the hub in order.

    The queue is bounded: when it is full, publications are dropped from it and a comparison of
    positions later fetches them from the history. Revocations are never dropped.
    """

    def __init__(
        self,
        hub: Hub,
        histories: Histories,
        revoked: RevokedRights,
        owners: RememberedOwners,
        *,
        queue_max: int,
        queue_bytes_max: int,
        saw_audio: Callable[[str], None],
    ) -> None:
        self._hub = hub
        self._histories = histories
        self._revoked = revoked
        self._owners = owners
        self._queue: deque[Announcement | Compare] = deque()
        self._queue_max = queue_max
        self._queue_bytes = 0
        self._queue_bytes_max = queue_bytes_max
        self._saw_audio = saw_audio
        self._wake = asyncio.Event()
        self._has_dropped = False
        self._is_idle = True

    def put(self, item: Announcement | Compare) -> None:
        """Queue an announcement; called from the broker's callback."""
        if isinstance(item, Published):
            self._saw_audio(item.channel)
            if not self._hub.awaits(item):
                return
            size = item.publication.size_bytes
            full = len(self._queue) >= self._queue_max
            if full or self._queue_bytes + size > self._queue_bytes_max:
                self._has_dropped = True
                self._wake.set()
                return
            self._queue_bytes += size
        self._queue.append(item)
        self._wake.set()

    def hand_over(self, publications: Iterable[Published]) -> None:
        """Queue what this process has committed; the announcement of it will be known then.

        While others are being delivered it is left to its announcement: what gathers meanwhile
        goes out in fewer writes.
        """
        if self._is_idle:
            for published in publications:
                self.put(published)

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until `stop` is set and the queue is empty."""
        while not (stop.is_set() and not self._queue):
            if not self._queue and not self._has_dropped:
                await self._sleep(stop)
                continue
            if not self._queue:
                self._has_dropped = False
                await self._guard(self._compare(Compare(is_after_gap=False)))
                continue
            if isinstance(self._queue[0], Published):
                for run in self._take_publications():
                    await self._guard(self._hub.deliver(*run))
                continue
            await self._guard(self._handle(self._queue.popleft()))

    def _take_publications(self) -> Iterable[list[Published]]:
        """Take the publications up to whatever else waits, by channel, each in its order."""
        runs: dict[str, list[Published]] = {}
        for _ in range(min(len(self._queue), _RUN_MAX)):
            item = self._queue[0]
            if not isinstance(item, Published):
                break
            self._queue.popleft()
            self._queue_bytes -= item.publication.size_bytes
            runs.setdefault(item.channel, []).append(item)
        return runs.values()

    async def _sleep(self, stop: asyncio.Event) -> None:
        self._wake.clear()
        if stop.is_set():
            return
        self._is_idle = True
        await self._wake.wait()
        self._is_idle = False

    def wake(self) -> None:
        """Let `run` look at its `stop` event."""
        self._wake.set()

    async def _guard(self, work: Awaitable[None]) -> None:
        """Go on after a failure: the next comparison repairs what it left behind."""
        try:
            await work
        except Exception as error:
            log.warning("delivery failed, the next comparison repairs it", exc_info=error)

    async def _handle(self, item: Announcement | Compare) -> None:
        if isinstance(item, Revocation):
            self._revoked.add(item)
            self._owners.forget(item)
            self._hub.revoke(item)
        elif isinstance(item, Compare):
            await self._compare(item)

    async def _compare(self, compare: Compare) -> None:
        if compare.is_after_gap:
            self._owners.clear()
            for revocation in await self._revoked.reload():
                self._hub.revoke(revocation)
        followed = self._hub.followed()
        for start in range(0, len(followed), _CHANNELS_PER_READ):
            names = followed[start : start + _CHANNELS_PER_READ]
            await self._hub.catch_up(await self._histories.load_tops(names))
            if compare.is_after_gap:
                await self._cut_deleted(names)

    async def _cut_deleted(self, names: list[str]) -> None:
        """End what was deleted while nobody listened; its last event is delivered by now."""
        parsed = (channels.parse(name) for name in names)
        audio_ids = [channel.subject for channel in parsed if channel and channel.has_presence]
        for revocation in await self._owners.load_deleted(audio_ids):
            self._owners.forget(revocation)
            self._hub.revoke(revocation)
