"""The sockets of this process and the channels that they follow.

Every publication comes from the broker, in commit order per channel, at least once, and those
recorded here come before that from the recorder, as soon as they are committed; the hub makes that exactly once and without holes: it knows the position of each channel that has a
follower here, skips what it has seen, and reads what it missed from the history.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final

from tonearm_notify.domain import codes
from tonearm_notify.domain.replies import Joined
from tonearm_notify.domain.wire import Position, Publication
from tonearm_notify.usecases.feed import ChannelClosed, Feed, HubLimits, Sink, Watcher
from tonearm_notify.usecases.frames import Frame
from tonearm_notify.usecases.ports import Histories, Lost, Published, Revocation

_CLOSED_MAX: Final = 10_000


class Hub:
    """Followers by channel, session and account; see the module's docstring."""

    def __init__(
        self, histories: Histories, *, limits: HubLimits, watcher: Watcher | None = None
    ) -> None:
        self._histories = histories
        self._limits = limits
        self._watcher = watcher
        self._feeds: dict[str, Feed] = {}
        self._joins = 0
        self._by_account: dict[str, set[Sink]] = {}
        self._closed: dict[str, None] = {}
        """Channels cut a moment ago, oldest first: a join may be on its way past the check."""

    # Connections.

    def count(self, account_id: str) -> int:
        """Return how many connections an account has here."""
        return len(self._by_account.get(account_id, ()))

    def enter(self, sink: Sink, account_id: str) -> None:
        """Note a connection that is let in."""
        self._by_account.setdefault(account_id, set()).add(sink)

    def exit(self, sink: Sink, account_id: str | None, channels: Iterable[str]) -> None:
        """Forget a connection and all its subscriptions."""
        for channel in channels:
            self.leave(channel, sink)
        if account_id is not None and (sinks := self._by_account.get(account_id)) is not None:
            sinks.discard(sink)
            if not sinks:
                del self._by_account[account_id]

    def followed(self) -> list[str]:
        """Return the channels that somebody here follows."""
        return list(self._feeds)

    def followers(self, channel: str) -> list[Sink]:
        """Return who follows a channel here."""
        feed = self._feeds.get(channel)
        return list(feed.sinks) if feed else []

    def present(self, *, limit: int) -> dict[tuple[str, str], str]:
        """Return who follows recordings here: channel and client to account."""
        found: dict[tuple[str, str], str] = {}
        for name, feed in self._feeds.items():
            if not name.startswith("audio:"):
                continue
            for sink in feed.sinks:
                if len(found) >= limit:
                    return found
                found[name, sink.client_id] = sink.identity.account_id if sink.identity else ""
        return found

    def sinks(self) -> list[Sink]:
        """Return every connection that was let in."""
        return [sink for sinks in self._by_account.values() for sink in sinks]

    # Joining.

    async def join(self, channel: str, sink: Sink, since: Position | None) -> Joined:
        """Make `sink` a follower from the returned position on.

        The caller must hand the result to its reader without awaiting anything in between:
        the next publication may follow at once. With `since`, the result holds what came after
        it, or says honestly that this could not be had.
        """
        feed = self._feeds.setdefault(channel, Feed(channel))
        feed.users += 1
        try:
            position = await self._ready(feed)
            if since is None:
                return self._admit(feed, sink, Joined(position))
            return await self._recover(feed, sink, since)
        finally:
            feed.users -= 1
            self._drop_if_idle(feed)

    def _admit(self, feed: Feed, sink: Sink, joined: Joined) -> Joined:
        if feed.name in self._closed:
            raise ChannelClosed
        self._joins += 1
        feed.add(sink, self._joins)
        return joined

    async def _ready(self, feed: Feed) -> Position:
        """Return the feed's position, reading it once for all who wait."""
        while feed.position is None:
            if feed.loading is not None:
                await feed.loading
                continue
            feed.loading = loading = asyncio.get_running_loop().create_future()
            try:
                position = await self._histories.load_top(feed.name)
            finally:
                feed.loading = None
                loading.set_result(None)
            # An announcement that is newer than this read was committed before it came: the
            # next read has it.
            if position.offset >= feed.heard:
                feed.position = position
            feed.heard = 0
        return feed.position

    async def _recover(self, feed: Feed, sink: Sink, since: Position) -> Joined:
        position = feed.position
        assert position is not None  # noqa: S101 - `_ready` has returned
        lost = Joined(position, was_recovering=True, recovered=False)
        if since.offset > position.offset or (since.epoch and since.epoch != position.epoch):
            return self._admit(feed, sink, lost)
        missed = feed.recall(since.offset)
        if missed is None:
            missed = await self._read_missed(feed, sink, since.offset)
            position = feed.position
            if position is None:
                return await self._again(feed, sink, since)
            if missed is None:
                lost = Joined(position, was_recovering=True, recovered=False)
                return self._admit(feed, sink, lost)
        return self._admit(feed, sink, Joined(position, missed, True, True))

    async def _again(self, feed: Feed, sink: Sink, since: Position) -> Joined:
        """Start over: the channel began a new epoch while its history was read."""
        await self._ready(feed)
        return await self._recover(feed, sink, since)

    async def _read_missed(self, feed: Feed, sink: Sink, offset: int) -> list[Publication] | None:
        """Read the history while new publications gather beside it; None where it has holes."""
        gathered: list[Publication] = []
        feed.joining[sink] = gathered
        try:
            limits = self._limits
            slice_ = await self._histories.load_since(
                feed.name,
                offset,
                limit=limits.recovery_publications_max,
                size_bytes=limits.recovery_bytes_max,
            )
        finally:
            del feed.joining[sink]
        read = list(slice_.publications)
        last = read[-1].offset if read else offset
        read += [pub for pub in gathered if pub.offset > last]
        if feed.position is None or slice_.top.epoch != feed.position.epoch:
            return None
        # The history may be ahead of what this process has fanned out: that will come as a push.
        read = [pub for pub in read if pub.offset <= feed.position.offset]
        expected = range(offset + 1, feed.position.offset + 1)
        return read if [pub.offset for pub in read] == list(expected) else None

    def leave(self, channel: str, sink: Sink) -> None:
        """Stop following."""
        feed = self._feeds.get(channel)
        if feed is not None:
            feed.remove(sink)
            self._drop_if_idle(feed)

    def renew(self, channels: Iterable[str]) -> None:
        """Note that a follower of these channels has exchanged its `write`."""
        for channel in channels:
            feed = self._feeds.get(channel)
            if feed is not None:
                feed.renew()

    def _drop_if_idle(self, feed: Feed) -> None:
        if feed.is_idle and self._feeds.get(feed.name) is feed:
            del self._feeds[feed.name]

    # Publications.

    def awaits(self, published: Published) -> bool:
        """Tell whether a publication is news to anybody here.

        Who begins to follow its channel later reads a position that has it behind it.
        """
        feed = self._feeds.get(published.channel)
        return feed is not None and feed.awaits(published)

    async def deliver(self, *run: Published) -> None:
        """Take announcements of one channel; to be called by one task, in the broker's order.

        What follows each other without a gap goes out together.
        """
        ready: list[Publication] = []
        feed = self._feeds.get(run[0].channel)
        for published in run:
            if feed is not None and _is_next(feed, published, ahead=len(ready)):
                ready.append(published.publication)
                continue
            if feed is not None:
                await self._fan_out(feed, ready)
            ready = []
            await self._take_odd(published)
            feed = self._feeds.get(published.channel)
        if feed is not None:
            await self._fan_out(feed, ready)

    async def _take_odd(self, published: Published) -> None:
        """Take an announcement that does not simply follow what was heard before it.

        One that is early may be ahead of what other replicas recorded: the broker says both
        in their order.
        """
        feed = self._feeds.get(published.channel)
        if feed is None or published.is_early:
            return
        offset = published.publication.offset
        if feed.position is None:
            feed.heard = max(feed.heard, offset)
        elif published.epoch != feed.position.epoch:
            self._begin_anew(feed)
        elif offset > feed.position.offset:
            await self._catch_up(feed)

    async def catch_up(self, tops: dict[str, Position]) -> None:
        """Compare with where the channels stand and fetch what was not announced here."""
        for name, top in tops.items():
            feed = self._feeds.get(name)
            if feed is None or feed.position is None:
                continue
            if top.epoch != feed.position.epoch:
                self._begin_anew(feed)
            elif top.offset > feed.position.offset:
                await self._catch_up(feed)

    async def _catch_up(self, feed: Feed) -> None:
        """Fan out from the history until its end, in pages."""
        while (position := feed.position) is not None:
            slice_ = await self._histories.load_since(
                feed.name, position.offset, limit=500, size_bytes=self._limits.recovery_bytes_max
            )
            if feed.position is not position:
                continue
            expected = position.offset + 1
            if slice_.top.epoch != position.epoch or (
                slice_.publications and slice_.publications[0].offset != expected
            ):
                self._begin_anew(feed)
                return
            if not slice_.publications:
                return
            await self._fan_out(feed, _unbroken(slice_.publications))

    async def _fan_out(self, feed: Feed, publications: Sequence[Publication]) -> None:
        """Write publications, which follow the feed's position, in bursts of bounded size."""
        start = 0
        while start < len(publications):
            if start:
                await asyncio.sleep(0)
            end = _burst_end(publications, start, self._limits.burst_bytes_max)
            await self._fan_out_burst(feed, publications[start:end])
            start = end

    async def _fan_out_burst(self, feed: Feed, publications: Sequence[Publication]) -> None:
        position = feed.position
        if position is None:
            return
        started_s = asyncio.get_running_loop().time()
        feed.position = Position(publications[-1].offset, position.epoch)
        for publication in publications:
            feed.remember(publication, self._limits)
            self._gather(feed, publication)
        frames = [Frame(feed.name, position.epoch, each) for each in publications]
        receivers = await self._write(feed, frames)
        if self._watcher is not None and receivers:
            for frame in frames:
                self._watcher.delivered(frame, receivers=receivers, started_s=started_s)

    async def _write(self, feed: Feed, frames: Sequence[Frame]) -> int:
        """Write frames in chunks of receivers, letting others run in between; return how many.

        Who joins meanwhile has these publications behind it, and who has left wants no more:
        the groups of the beginning are the right ones, but for those who went since.
        """
        groups, joins, chunk = feed.groups, self._joins, self._limits.fan_out_chunk
        receivers = 0
        for group in groups:
            data = group.form(frames)
            for start in range(0, len(group.writes), chunk):
                if receivers:
                    await asyncio.sleep(0)
                receivers += len(group.writes[start : start + chunk])
                if feed.groups is groups:
                    for write in group.writes[start : start + chunk]:
                        write(data)
                    continue
                for sink in group.sinks[start : start + chunk]:
                    if feed.sinks.get(sink, joins + 1) <= joins:
                        sink.write(data)
        return receivers

    def _gather(self, feed: Feed, publication: Publication) -> None:
        for gathered in feed.joining.values():
            if len(gathered) < self._limits.joining_publications_max:
                gathered.append(publication)

    def _begin_anew(self, feed: Feed) -> None:
        """The channel's history began anew or has a hole: followers must come back."""
        feed.position = None
        feed.heard = 0
        feed.recent.clear()
        feed.recent_bytes = 0
        sinks = feed.remove_all()
        for sink in sinks:
            sink.lose(feed.name, codes.INSUFFICIENT_STATE)
        self._drop_if_idle(feed)

    # Rights that end.

    def revoke(self, revocation: Revocation) -> int:
        """Cut what a lost right had opened; return how many connections were touched."""
        if revocation.kind is Lost.AUDIO:
            return self._cut_channel(f"audio:{revocation.subject}")
        touched = 0
        for sink in self._affected(revocation):
            sink.close(codes.INVALID_TOKEN)
            touched += 1
        return touched

    def _affected(self, revocation: Revocation) -> list[Sink]:
        if revocation.kind is Lost.ACCOUNT:
            return list(self._by_account.get(revocation.subject, ()))
        sinks = self._by_account.get(revocation.account_id, ())
        return [
            sink
            for sink in sinks
            if sink.identity is not None and sink.identity.session_id == revocation.subject
        ]

    def _cut_channel(self, channel: str) -> int:
        self._closed[channel] = None
        if len(self._closed) > _CLOSED_MAX:
            del self._closed[next(iter(self._closed))]
        feed = self._feeds.get(channel)
        if feed is None:
            return 0
        sinks = feed.remove_all()
        for sink in sinks:
            sink.lose(channel, codes.UNSUBSCRIBED_BY_SERVER)
        self._drop_if_idle(feed)
        return len(sinks)


def _is_next(feed: Feed, published: Published, *, ahead: int) -> bool:
    """Tell whether an announcement is whole and follows `ahead` others behind the position."""
    position, publication = feed.position, published.publication
    return (
        position is not None
        and published.epoch == position.epoch
        and publication.offset == position.offset + 1 + ahead
        and bool(publication.body)
    )


def _unbroken(publications: Sequence[Publication]) -> Sequence[Publication]:
    """Return the publications before the first hole."""
    for number, publication in enumerate(publications):
        if publication.offset != publications[0].offset + number:
            return publications[:number]
    return publications


def _burst_end(publications: Sequence[Publication], start: int, size_bytes: int) -> int:
    """Return the end of the longest slice within `size_bytes`; it holds one at least."""
    end = start
    while end < len(publications):
        size_bytes -= publications[end].size_bytes
        if size_bytes < 0 and end > start:
            break
        end += 1
    return end
