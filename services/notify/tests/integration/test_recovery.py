"""Nothing lost, nothing doubled, all in order: after a cut, a kill and a rolling restart."""

from __future__ import annotations

import asyncio
import json
import signal
from typing import Any

import pytest
from centrifuge import Client, PublicationContext, SubscribedContext, SubscriptionEventHandler
from websockets.asyncio.client import connect

from tonearm_contracts.events import AudioUpdated
from tonearm_kit.ids import new_id
from tonearm_notify.adapters.postgres import PostgresStore

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]


class Follower(SubscriptionEventHandler):  # type: ignore[misc]
    """One client on one channel; remembers ids and how often it recovered."""

    def __init__(
        self, address: str, token: str, channel: str, *, is_protobuf: bool = False
    ) -> None:
        self.ids: list[str] = []
        self.recoveries: list[bool] = []
        self._changed = asyncio.Condition()
        self.client = Client(
            address, token=token, max_reconnect_delay=1.0, use_protobuf=is_protobuf
        )
        self.subscription = self.client.new_subscription(channel, self, min_resubscribe_delay=0.1)

    async def start(self) -> None:
        await self.client.connect()
        await self.subscription.subscribe()
        await self.subscription.ready(10)

    async def on_publication(self, ctx: PublicationContext) -> None:
        data = ctx.pub.data
        self.ids.append((json.loads(data) if isinstance(data, bytes) else data)["id"])
        async with self._changed:
            self._changed.notify_all()

    async def on_subscribed(self, ctx: SubscribedContext) -> None:
        if ctx.was_recovering:
            self.recoveries.append(ctx.recovered)
        async with self._changed:
            self._changed.notify_all()

    async def until(self, count: int, *, recoveries: int = 0, timeout_s: float = 30) -> None:
        async with asyncio.timeout(timeout_s), self._changed:
            await self._changed.wait_for(
                lambda: len(self.ids) >= count and len(self.recoveries) >= recoveries
            )


def updated(account_id: str, audio_id: str = "r") -> AudioUpdated:
    return AudioUpdated(audio_id=audio_id, account_id=account_id, status="processing", filename="a")


async def test_what_happened_during_a_cut_is_recovered(
    notify: Any, tokens: Any, lay_cable: Any
) -> None:
    async with lay_cable([notify.house.sockets.port]) as cable:
        follower = Follower(cable.address, tokens.make("anna"), "account:#anna")
        await follower.start()
        sent = [await notify.publish(updated("anna")) for _ in range(3)]
        await follower.until(3)
        for _ in range(3):
            cable.cut()
            sent += [await notify.publish(updated("anna")) for _ in range(40)]
            cable.mend()
            await follower.until(len(sent))
        assert follower.ids == sent
        assert follower.recoveries == [True] * len(follower.recoveries)
        assert len(follower.recoveries) >= 3
        await follower.client.disconnect()


async def test_a_gap_beyond_the_history_is_told_honestly(
    notify: Any, tokens: Any, lay_cable: Any
) -> None:
    async with lay_cable([notify.house.sockets.port]) as cable:
        follower = Follower(cable.address, tokens.make("anna"), "account:#anna")
        await follower.start()
        await notify.publish(updated("anna"))
        await follower.until(1)
        cable.cut()
        for _ in range(10):
            await notify.publish(updated("anna"))
        await PostgresStore(notify.db).sweep(keep_s=0, keep_count=3, keep_s_max=3600, count_max=100)
        cable.mend()
        await follower.until(1, recoveries=1)
        assert follower.recoveries == [False]
        last = await notify.publish(updated("anna"))
        await follower.until(2)
        assert follower.ids[-1] == last
        await follower.client.disconnect()


async def test_an_hour_and_the_newest_thousand_stay(notify: Any, tokens: Any) -> None:
    """1,100 publications, the oldest 1,050 of them two hours old: a sweep leaves 1,000."""
    await notify.publish(updated("anna"))
    await notify.publish(updated("berta"))
    async with notify.db.acquire() as conn:
        for channel in ("account:#anna", "account:#berta"):
            await conn.execute(
                'INSERT INTO publications (channel, "offset", event_id, body, event_at)'
                " SELECT $1, n, n::text, '{}', now() FROM generate_series(2, 1100) n",
                channel,
            )
        await conn.execute("UPDATE channels SET top_offset = 1100 WHERE channel LIKE 'account:%'")
        await conn.execute(
            "UPDATE publications SET published_at = now() - interval '2 hours'"
            " WHERE channel = 'account:#anna' AND \"offset\" <= 1050"
        )
    await notify.house.sweep()
    kept = {}
    for account_id, offset in (("anna", 100), ("anna", 99), ("berta", 0)):
        async with connect(notify.address) as client:
            hello = {"id": 1, "connect": {"token": tokens.make(account_id)}}
            await client.send(json.dumps(hello))
            await client.recv()
            channel = f"account:#{account_id}"
            since = {"channel": channel, "recover": True, "offset": offset, "epoch": ""}
            await client.send(json.dumps({"id": 2, "subscribe": since}))
            told = json.loads(await client.recv())["subscribe"]
            kept[account_id, offset] = (told["recovered"], len(told["publications"]))
    assert kept == {
        ("anna", 100): (True, 1000),
        ("anna", 99): (False, 0),
        ("berta", 0): (True, 1100),
    }


async def test_every_replica_reaches_all_its_sockets_exactly_once(
    start_notify: Any, tokens: Any
) -> None:
    async with start_notify() as one, start_notify() as two:
        followers = [
            Follower(replica.address, tokens.make("anna"), "account:#anna")
            for replica in (one, two)
            for _ in range(5)
        ]
        for follower in followers:
            await follower.start()
        sent = []
        for number in range(50):
            sent.append(await (one, two)[number % 2].publish(updated("anna")))
        for follower in followers:
            await follower.until(50)
            assert follower.ids == sent
            await follower.client.disconnect()


async def test_a_killed_server_loses_nothing(
    make_replica: Any, recorder: Any, tokens: Any, lay_cable: Any
) -> None:
    replica = make_replica()
    await replica.start()
    async with lay_cable([replica.port]) as cable:
        follower = Follower(cable.address, tokens.make("anna"), "account:#anna")
        await follower.start()
        sent = [await recorder.publish(updated("anna")) for _ in range(5)]
        await follower.until(5)
        await replica.stop(signal.SIGKILL)
        sent += [await recorder.publish(updated("anna")) for _ in range(20)]
        await replica.start()
        sent += [await recorder.publish(updated("anna")) for _ in range(5)]
        await follower.until(30)
        assert follower.ids == sent
        await follower.client.disconnect()


async def test_a_rolling_restart_under_load_loses_nothing(
    make_replica: Any, recorder: Any, tokens: Any, lay_cable: Any
) -> None:
    replicas = [make_replica(), make_replica()]
    for replica in replicas:
        await replica.start()
    accounts = [new_id() for _ in range(4)]
    sent: dict[str, list[str]] = {account: [] for account in accounts}
    done = asyncio.Event()

    async def load(account: str) -> None:
        while not done.is_set():
            sent[account].append(await recorder.publish(updated(account)))
            await asyncio.sleep(0.02)

    async with lay_cable([replica.port for replica in replicas]) as cable:
        followers = [
            (
                account,
                Follower(
                    cable.address,
                    tokens.make(account),
                    f"account:#{account}",
                    is_protobuf=is_protobuf,
                ),
            )
            for account in accounts
            for is_protobuf in (False, True, False, True)
        ]
        for _, follower in followers:
            await follower.start()
        async with asyncio.TaskGroup() as tasks:
            for account in accounts:
                tasks.create_task(load(account))
            for replica in replicas:
                assert await replica.stop(signal.SIGTERM) == 0
                await replica.start()
            done.set()
        for account, follower in followers:
            await follower.until(len(sent[account]))
            assert follower.ids == sent[account]
            assert all(follower.recoveries)
            await follower.client.disconnect()
    assert sum(map(len, sent.values())) > 100
