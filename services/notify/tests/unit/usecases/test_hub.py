"""Every follower hears every publication once, in order, whatever the broker loses."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace

import pytest

from tonearm_notify.domain import codes
from tonearm_notify.domain.replies import Joined
from tonearm_notify.domain.wire import Position, Publication
from tonearm_notify.usecases.feed import ChannelClosed, HubLimits
from tonearm_notify.usecases.frames import Frame, as_frames, as_text
from tonearm_notify.usecases.hub import Hub
from tonearm_notify.usecases.ports import Identity, Lost, Published, Revocation, Slice


class FakeHistories:
    """A history in memory; every read may be made to wait."""

    def __init__(self) -> None:
        self.epoch = "e1"
        self.publications: list[Publication] = []
        self.first_kept = 1
        self.top_offset = 0
        self.reads = 0
        self.pauses = 0

    def add(self) -> Published:
        self.top_offset += 1
        publication = Publication(self.top_offset, f'{{"n":{self.top_offset}}}')
        self.publications.append(publication)
        return Published("c", self.epoch, publication)

    async def _pause(self) -> None:
        self.reads += 1
        for _ in range(self.pauses):
            await asyncio.sleep(0)

    async def load_top(self, channel: str) -> Position:
        top = Position(self.top_offset, self.epoch)
        await self._pause()
        return top

    async def load_tops(self, channels: Sequence[str]) -> dict[str, Position]:
        return {channel: await self.load_top(channel) for channel in channels}

    async def load_since(self, channel: str, offset: int, *, limit: int, size_bytes: int) -> Slice:
        kept = [p for p in self.publications if p.offset > offset and p.offset >= self.first_kept]
        slice_ = Slice(Position(self.top_offset, self.epoch), kept[:limit])
        await self._pause()
        return slice_

    async def load_page(
        self, channel: str, since: int | None, *, limit: int, is_reverse: bool, size_bytes: int
    ) -> Slice:
        return await self.load_since(channel, since or 0, limit=limit, size_bytes=size_bytes)


class FakeReader:
    """Remembers what it is told."""

    def __init__(self, name: str = "s", account_id: str = "a", session_id: str = "s1") -> None:
        self.client_id = name
        self.identity: Identity | None = Identity(account_id, session_id, None)
        self.lost: list[tuple[str, int]] = []
        self.closed: list[int] = []

    def lose(self, channel: str, why: codes.Unsubscribe) -> None:
        self.lost.append((channel, why.code))

    def close(self, why: codes.Disconnect) -> None:
        self.closed.append(why.code)


class FakeSink(FakeReader):
    """Takes frames as they are and remembers their offsets."""

    form = staticmethod(as_frames)

    def __init__(self, name: str = "s", account_id: str = "a", session_id: str = "s1") -> None:
        super().__init__(name, account_id, session_id)
        self.offsets: list[int] = []

    def write(self, frames: Sequence[Frame]) -> None:
        self.offsets += [frame.publication.offset for frame in frames]

    def take(self, joined: Joined) -> None:
        self.offsets += [publication.offset for publication in joined.publications]


class FakeSocket(FakeReader):
    """Keeps the very objects that it is written."""

    form = staticmethod(as_text)

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.written: list[bytes] = []
        self.write = self.written.append


@pytest.fixture
def histories() -> FakeHistories:
    return FakeHistories()


@pytest.fixture
def hub(histories: FakeHistories) -> Hub:
    return Hub(histories, limits=HubLimits(recent_publications_max=3, fan_out_chunk=2))


async def test_followers_hear_what_comes_after_they_joined(
    hub: Hub, histories: FakeHistories
) -> None:
    histories.add()
    sink = FakeSink()
    joined = await hub.join("c", sink, None)
    assert joined == Joined(Position(1, "e1"))
    await hub.deliver(histories.add())
    await hub.deliver(histories.add())
    assert sink.offsets == [2, 3]


async def test_doubled_announcements_are_heard_once(hub: Hub, histories: FakeHistories) -> None:
    sink = FakeSink()
    await hub.join("c", sink, None)
    announced = histories.add()
    for _ in range(3):
        await hub.deliver(announced)
    assert sink.offsets == [1]


async def test_lost_announcements_are_read_from_the_history(
    hub: Hub, histories: FakeHistories
) -> None:
    sink = FakeSink()
    await hub.join("c", sink, None)
    histories.add()
    histories.add()
    await hub.deliver(histories.add())
    assert sink.offsets == [1, 2, 3]
    histories.add()
    await hub.catch_up(await histories.load_tops(hub.followed()))
    assert sink.offsets == [1, 2, 3, 4]


async def test_an_announcement_without_body_is_read(hub: Hub, histories: FakeHistories) -> None:
    sink = FakeSink()
    await hub.join("c", sink, None)
    histories.add()
    await hub.deliver(Published("c", "e1", Publication(1, "")))
    assert sink.offsets == [1]


@pytest.mark.parametrize("since", [0, 3, 7, 8])
async def test_recovery_gives_what_was_missed(
    hub: Hub, histories: FakeHistories, since: int
) -> None:
    watcher = FakeSink()
    await hub.join("c", watcher, None)
    for _ in range(8):
        await hub.deliver(histories.add())
    sink = FakeSink()
    joined = await hub.join("c", sink, Position(since, "e1"))
    assert joined.recovered
    assert [pub.offset for pub in joined.publications] == list(range(since + 1, 9))
    assert joined.position == Position(8, "e1")


async def test_an_empty_epoch_matches_any(hub: Hub, histories: FakeHistories) -> None:
    histories.add()
    joined = await hub.join("c", FakeSink(), Position(0, ""))
    assert (joined.recovered, len(joined.publications)) == (True, 1)


@pytest.mark.parametrize(
    "since", [Position(1, "e0"), Position(9, "e1"), Position(1, "e1")], ids=str
)
async def test_recovery_that_cannot_be_had_is_told(
    hub: Hub, histories: FakeHistories, since: Position
) -> None:
    for _ in range(5):
        histories.add()
    histories.first_kept = 3
    sink = FakeSink()
    joined = await hub.join("c", sink, since)
    assert (joined.was_recovering, joined.recovered, joined.publications) == (True, False, ())
    await hub.deliver(histories.add())
    assert sink.offsets == [6]


async def test_a_short_absence_is_recovered_from_memory(hub: Hub, histories: FakeHistories) -> None:
    await hub.join("c", FakeSink(), None)
    for _ in range(5):
        await hub.deliver(histories.add())
    reads = histories.reads
    joined = await hub.join("c", FakeSink(), Position(2, "e1"))
    assert [pub.offset for pub in joined.publications] == [3, 4, 5]
    assert histories.reads == reads


async def test_a_new_epoch_sends_everybody_back(hub: Hub, histories: FakeHistories) -> None:
    sink = FakeSink()
    await hub.join("c", sink, None)
    await hub.deliver(histories.add())
    histories.epoch, histories.top_offset = "e2", 0
    histories.publications.clear()
    await hub.deliver(histories.add())
    assert sink.lost == [("c", 2500)]
    joined = await hub.join("c", sink, Position(1, "e1"))
    assert joined.position == Position(1, "e2")
    assert not joined.recovered


async def test_nothing_is_kept_for_channels_without_followers(
    hub: Hub, histories: FakeHistories
) -> None:
    sink = FakeSink()
    await hub.join("c", sink, None)
    assert hub.followed() == ["c"]
    hub.leave("c", sink)
    assert hub.followed() == []
    await hub.deliver(histories.add())
    assert sink.offsets == []


async def test_a_cut_recording_lets_nobody_back_in(hub: Hub) -> None:
    sink = FakeSink()
    await hub.join("audio:r", sink, None)
    hub.revoke(Revocation(Lost.AUDIO, "r", "a"))
    assert sink.lost == [("audio:r", 2000)]
    with pytest.raises(ChannelClosed):
        await hub.join("audio:r", FakeSink(), None)
    assert hub.followed() == []


async def test_a_revoked_session_loses_its_own_connections_only(hub: Hub) -> None:
    mine, other, stranger = FakeSink(session_id="s1"), FakeSink(session_id="s2"), FakeSink("x", "b")
    for sink in (mine, other, stranger):
        assert sink.identity is not None
        hub.enter(sink, sink.identity.account_id)
    assert hub.revoke(Revocation(Lost.SESSION, "s1", "a")) == 1
    assert (mine.closed, other.closed, stranger.closed) == ([3500], [], [])
    hub.revoke(Revocation(Lost.ACCOUNT, "a", "a"))
    assert (other.closed, stranger.closed) == ([3500], [])
    hub.exit(stranger, "b", [])
    assert hub.count("b") == 0


async def test_frames_are_encoded_once_for_all(hub: Hub, histories: FakeHistories) -> None:
    sockets = [FakeSocket(str(number)) for number in range(5)]
    for socket in sockets:
        await hub.join("c", socket, None)
    await hub.deliver(histories.add())
    first = sockets[0].written[0]
    text = b'{"push":{"channel":"c","pub":{"data":{"n":1},"offset":1}}}'
    assert first == bytes((0x81, len(text))) + text
    assert all(socket.written[0] is first for socket in sockets)


async def test_receivers_of_different_forms_hear_the_same(
    hub: Hub, histories: FakeHistories
) -> None:
    socket, stream = FakeSocket("socket"), FakeSink("stream")
    for sink in (socket, stream):
        await hub.join("c", sink, None)
    await hub.deliver(histories.add())
    assert len(socket.written) == 1
    assert stream.offsets == [1]


async def test_what_waits_together_is_one_write(hub: Hub, histories: FakeHistories) -> None:
    socket = FakeSocket("s")
    await hub.join("c", socket, None)
    announced = [histories.add() for _ in range(3)]
    await hub.deliver(*announced)
    texts = [Frame("c", "e1", each.publication).text for each in announced]
    assert socket.written == [b"".join(texts)]


async def test_a_burst_is_bounded(histories: FakeHistories) -> None:
    hub = Hub(histories, limits=HubLimits(burst_bytes_max=400))
    socket = FakeSocket("s")
    await hub.join("c", socket, None)
    await hub.deliver(*[histories.add() for _ in range(5)])
    assert [data.count(b'"push"') for data in socket.written] == [2, 2, 1]


async def test_a_run_with_gaps_doubles_and_an_empty_body_is_whole(
    hub: Hub, histories: FakeHistories
) -> None:
    sink = FakeSink()
    await hub.join("c", sink, None)
    a, b, c, d, e = (histories.add() for _ in range(5))
    empty = Published("c", "e1", Publication(4, ""))
    await hub.deliver(a, b, a, empty, d, c, e, e)
    assert sink.offsets == [1, 2, 3, 4, 5]


async def test_an_exchanged_write_is_used_from_the_next_publication_on(
    hub: Hub, histories: FakeHistories
) -> None:
    socket, later = FakeSocket("s"), list[bytes]()
    await hub.join("c", socket, None)
    await hub.deliver(histories.add())
    socket.write = later.append
    hub.renew(["c", "unknown"])
    await hub.deliver(histories.add())
    assert (len(socket.written), len(later)) == (1, 1)


async def test_who_leaves_during_a_fan_out_hears_no_more(
    hub: Hub, histories: FakeHistories
) -> None:
    """Chunks of two: the first receiver sends the last one away, and lets another one in."""
    last, newcomer = FakeSink("last"), FakeSink("newcomer")

    class Leaver(FakeSink):
        def write(self, frames: Sequence[Frame]) -> None:
            super().write(frames)
            hub.leave("c", last)

    sinks = [Leaver("first"), *(FakeSink(str(number)) for number in range(4)), last]
    for sink in sinks:
        await hub.join("c", sink, None)
    announced = histories.add()
    delivering = asyncio.create_task(hub.deliver(announced))
    await asyncio.sleep(0)
    await hub.join("c", newcomer, None)
    await delivering
    assert [sink.offsets for sink in sinks] == [[1]] * 5 + [[]]
    assert newcomer.offsets == []


@pytest.mark.parametrize("seed", range(30))
async def test_any_interleaving_is_exactly_once_and_in_order(seed: int) -> None:  # noqa: C901
    """Publications, lost, early and doubled announcements, joins, leaves and slow reads at random."""
    chance = random.Random(seed)  # noqa: S311 - scenarios, not secrets
    histories = FakeHistories()
    histories.pauses = chance.randrange(4)
    hub = Hub(
        histories,
        limits=HubLimits(recent_publications_max=chance.choice([1, 4, 64]), fan_out_chunk=1),
    )
    queue: asyncio.Queue[Published | None] = asyncio.Queue()
    runs_max = chance.choice([1, 3, 20])

    async def pump() -> None:
        while (item := await queue.get()) is not None:
            run = [item]
            while len(run) < runs_max and not queue.empty():
                if (item := queue.get_nowait()) is None:
                    queue.put_nowait(None)
                    break
                run.append(item)
            await hub.deliver(*run)
        await hub.catch_up(await histories.load_tops(hub.followed()))

    async def follow(sink: FakeSink) -> None:
        joined = await hub.join("c", sink, None)
        first, epoch = joined.position.offset, joined.position.epoch
        for _ in range(chance.randrange(1, 6)):
            for _ in range(chance.randrange(12)):
                await asyncio.sleep(0)
            hub.leave("c", sink)
            for _ in range(chance.randrange(12)):
                await asyncio.sleep(0)
            last = sink.offsets[-1] if sink.offsets else first
            joined = await hub.join("c", sink, Position(last, epoch))
            assert joined.recovered
            sink.take(joined)
        firsts[sink] = first

    async def publish() -> None:
        for _ in range(40):
            announced = histories.add()
            for when in chance.choice(["", "a", "a", "aa", "e", "ea", "ea", "eea", "ae"]):
                item = replace(announced, is_early=when == "e")
                if hub.awaits(item):
                    queue.put_nowait(item)
            for _ in range(chance.randrange(4)):
                await asyncio.sleep(0)

    firsts: dict[FakeSink, int] = {}
    sinks = [FakeSink(str(number)) for number in range(6)]
    async with asyncio.TaskGroup() as tasks:
        pumping = tasks.create_task(pump())
        async with asyncio.TaskGroup() as inner:
            inner.create_task(publish())
            for sink in sinks:
                inner.create_task(follow(sink))
        queue.put_nowait(None)
        await pumping
    for sink in sinks:
        assert sink.offsets == list(range(firsts[sink] + 1, 41))
