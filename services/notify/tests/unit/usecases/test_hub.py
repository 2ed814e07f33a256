"""Every follower hears every publication once, in order, whatever the broker loses."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import pytest

from tonearm_notify.domain import codes
from tonearm_notify.domain.wire import Position, Publication
from tonearm_notify.usecases.feed import ChannelClosed, HubLimits, Joined
from tonearm_notify.usecases.frames import Frame
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


class FakeSink:
    """Remembers what it is told."""

    def __init__(self, name: str = "s", account_id: str = "a", session_id: str = "s1") -> None:
        self.client_id = name
        self.identity: Identity | None = Identity(account_id, session_id, None)
        self.offsets: list[int] = []
        self.lost: list[tuple[str, int]] = []
        self.closed: list[int] = []

    def push(self, frame: Frame) -> None:
        self.offsets.append(frame.publication.offset)

    def lose(self, channel: str, why: codes.Unsubscribe) -> None:
        self.lost.append((channel, why.code))

    def close(self, why: codes.Disconnect) -> None:
        self.closed.append(why.code)

    def take(self, joined: Joined) -> None:
        self.offsets += [publication.offset for publication in joined.publications]


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
    assert joined.recovered
    assert len(joined.publications) == 1


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
    assert joined.was_recovering
    assert not joined.recovered
    assert joined.publications == ()
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
    buffers: list[bytearray] = []

    class Reader(FakeSink):
        def push(self, frame: Frame) -> None:
            buffers.append(frame.socket)

    for number in range(5):
        await hub.join("c", Reader(str(number)), None)
    await hub.deliver(histories.add())
    assert len(buffers) == 5
    assert all(buffer is buffers[0] for buffer in buffers)


@pytest.mark.parametrize("seed", range(30))
async def test_any_interleaving_is_exactly_once_and_in_order(seed: int) -> None:  # noqa: C901
    """Publications, lost and doubled announcements, joins, leaves and slow reads at random."""
    chance = random.Random(seed)  # noqa: S311 - scenarios, not secrets
    histories = FakeHistories()
    histories.pauses = chance.randrange(4)
    hub = Hub(
        histories,
        limits=HubLimits(recent_publications_max=chance.choice([1, 4, 64]), fan_out_chunk=1),
    )
    queue: asyncio.Queue[Published | None] = asyncio.Queue()

    async def pump() -> None:
        while (item := await queue.get()) is not None:
            await hub.deliver(item)
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
            for _ in range(chance.choice([0, 1, 1, 1, 2])):
                queue.put_nowait(announced)
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
