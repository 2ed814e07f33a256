"""The unmodified `centrifuge-python` against a replica."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from centrifuge import (
    CentrifugeError,
    Client,
    ClientEventHandler,
    ClientState,
    DisconnectedContext,
    PublicationContext,
    SubscribedContext,
    Subscription,
    SubscriptionEventHandler,
    UnsubscribedContext,
)

from tonearm_contracts.events import AudioDeleted, AudioUpdated, SessionRevoked
from tonearm_kit.ids import new_id

pytestmark = pytest.mark.integration
both_framings = pytest.mark.parametrize("is_protobuf", [False, True], ids=["json", "protobuf"])


def read(data: Any) -> Any:
    """Return what a publication carries; in Protobuf it comes as bytes."""
    return json.loads(data) if isinstance(data, bytes) else data


class Events(SubscriptionEventHandler):  # type: ignore[misc]
    """Collects what a subscription hears."""

    def __init__(self) -> None:
        self.publications: asyncio.Queue[PublicationContext] = asyncio.Queue()
        self.subscribed: asyncio.Queue[SubscribedContext] = asyncio.Queue()
        self.unsubscribed: asyncio.Queue[UnsubscribedContext] = asyncio.Queue()

    async def on_publication(self, ctx: PublicationContext) -> None:
        self.publications.put_nowait(ctx)

    async def on_subscribed(self, ctx: SubscribedContext) -> None:
        self.subscribed.put_nowait(ctx)

    async def on_unsubscribed(self, ctx: UnsubscribedContext) -> None:
        self.unsubscribed.put_nowait(ctx)

    async def next(self) -> Any:
        return (await asyncio.wait_for(self.publications.get(), 10)).pub


class Disconnects(ClientEventHandler):  # type: ignore[misc]
    def __init__(self) -> None:
        self.seen: asyncio.Queue[DisconnectedContext] = asyncio.Queue()

    async def on_disconnected(self, ctx: DisconnectedContext) -> None:
        self.seen.put_nowait(ctx)


def updated(audio_id: str, account_id: str, status: Any = "processing") -> AudioUpdated:
    return AudioUpdated(audio_id=audio_id, account_id=account_id, status=status, filename="a.wav")


async def follow(client: Client, channel: str, **options: Any) -> tuple[Subscription, Events]:
    events = Events()
    subscription = client.new_subscription(channel, events, **options)
    await subscription.subscribe()
    return subscription, events


@both_framings
async def test_own_channel_and_own_recording_arrive_as_cloud_events(
    notify: Any, tokens: Any, is_protobuf: bool
) -> None:
    account_id, audio_id = new_id(), new_id()
    await notify.publish(updated(audio_id, account_id))
    client = Client(notify.address, token=tokens.make(account_id), use_protobuf=is_protobuf)
    await client.connect()
    own, own_events = await follow(client, f"account:#{account_id}")
    audio, audio_events = await follow(client, f"audio:{audio_id}")
    await own.ready(5)
    await audio.ready(5)

    event_id = await notify.publish(updated(audio_id, account_id, "completed"))

    for events in (own_events, audio_events):
        pub = await events.next()
        event = read(pub.data)
        assert event["id"] == event_id
        assert event["specversion"] == "1.0"
        assert event["type"] == "tonearm.audio.updated.v1"
        assert event["data"]["status"] == "completed"
        assert pub.offset == 2
    await client.disconnect()


async def test_other_peoples_channels_are_refused(notify: Any, tokens: Any) -> None:
    audio_id = new_id()
    await notify.publish(updated(audio_id, "somebody"))
    client = Client(notify.address, token=tokens.make("nobody"))
    await client.connect()
    for channel in (f"audio:{audio_id}", "account:#somebody"):
        _, events = await follow(client, channel)
        ended = await asyncio.wait_for(events.unsubscribed.get(), 5)
        assert ended.code == 103
    _, events = await follow(client, "nonsense")
    assert (await asyncio.wait_for(events.unsubscribed.get(), 5)).code == 102
    await client.disconnect()


async def test_a_recording_uploaded_a_moment_ago_is_waited_for(notify: Any, tokens: Any) -> None:
    account_id, audio_id = new_id(), new_id()
    client = Client(notify.address, token=tokens.make(account_id))
    await client.connect()
    subscription, events = await follow(client, f"audio:{audio_id}")
    await notify.publish(updated(audio_id, account_id))
    await subscription.ready(5)
    event_id = await notify.publish(updated(audio_id, account_id, "completed"))
    assert (await events.next()).data["id"] == event_id
    assert events.unsubscribed.empty()
    await client.disconnect()


async def test_a_revoked_session_is_cut_within_a_second_and_stays_out(
    notify: Any, tokens: Any
) -> None:
    token = tokens.make("anna", session_id="gone")
    handler = Disconnects()
    client = Client(notify.address, handler, token=token)
    await client.connect()
    await client.ready(5)
    await notify.publish(SessionRevoked(account_id="anna", session_id="gone", reason="logout"))
    ended = await asyncio.wait_for(handler.seen.get(), 1)
    assert ended.code == 3500
    again = Disconnects()
    late = Client(notify.address, again, token=token)
    await late.connect()
    assert (await asyncio.wait_for(again.seen.get(), 5)).code == 3500


async def test_a_deleted_recording_ends_its_subscriptions_after_the_last_event(
    notify: Any, tokens: Any
) -> None:
    account_id, audio_id = new_id(), new_id()
    await notify.publish(updated(audio_id, account_id))
    client = Client(notify.address, token=tokens.make(account_id))
    await client.connect()
    subscription, events = await follow(client, f"audio:{audio_id}")
    await subscription.ready(5)
    await notify.publish(AudioDeleted(audio_id=audio_id, account_id=account_id))
    assert (await events.next()).data["type"] == "tonearm.audio.deleted.v1"
    assert (await asyncio.wait_for(events.unsubscribed.get(), 1)).code == 2000
    await client.disconnect()


@both_framings
async def test_history_and_presence(notify: Any, tokens: Any, is_protobuf: bool) -> None:
    account_id, audio_id = new_id(), new_id()
    ids = [await notify.publish(updated(audio_id, account_id)) for _ in range(5)]
    client = Client(notify.address, token=tokens.make(account_id), use_protobuf=is_protobuf)
    await client.connect()
    subscription, _ = await follow(client, f"audio:{audio_id}")
    await subscription.ready(5)
    newest = await subscription.history(limit=2, reverse=True)
    assert [read(pub.data)["id"] for pub in newest.publications] == [ids[4], ids[3]]
    oldest = await subscription.history(limit=2)
    assert [pub.offset for pub in oldest.publications] == [1, 2]
    assert oldest.offset == 5
    present = await subscription.presence()
    assert [who.user for who in present.clients.values()] == [account_id]
    assert (await subscription.presence_stats()).num_clients == 1
    with pytest.raises(CentrifugeError):
        await subscription.publish(b"{}" if is_protobuf else {"not": "allowed"})
    await client.disconnect()


async def test_an_expired_token_is_refreshed_and_the_connection_lives_on(
    start_notify: Any, tokens: Any
) -> None:
    asked = 0
    enough = asyncio.Event()

    async def get_token() -> str:
        nonlocal asked
        asked += 1
        if asked == 4:
            enough.set()
        return str(tokens.make("anna", ttl_s=2))

    async with start_notify(expiry_grace_s=1.0) as notify:
        client = Client(notify.address, get_token=get_token)
        await client.connect()
        await client.ready(5)
        subscription, events = await follow(client, "account:#anna")
        await subscription.ready(5)
        await asyncio.wait_for(enough.wait(), 20)
        event_id = await notify.publish(updated(new_id(), "anna"))
        assert (await events.next()).data["id"] == event_id
        assert events.subscribed.qsize() == 1
        assert client.state is ClientState.CONNECTED
        await client.disconnect()
