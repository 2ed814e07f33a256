"""The HTTP door through a real uvicorn: what an in-process transport cannot show."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx
import pytest
from fastapi import APIRouter, FastAPI, Request

from tonearm_kit.http import create_app, serve
from tonearm_kit.http.server import AddressInUse
from tonearm_kit.testing.spans import Spans

pytestmark = pytest.mark.integration


class Deck:
    """An app whose slow route ends when the test says so."""

    def __init__(self) -> None:
        self.entered, self.release, self.stop = (asyncio.Event() for _ in range(3))
        router, inner = APIRouter(prefix="/v1"), APIRouter(prefix="/records")

        @inner.get("/{record_id}/tracks/{number}")
        async def track(record_id: str, number: int) -> dict[str, int]:
            return {"number": number}

        @inner.post("/slow")
        async def slow() -> str:
            self.entered.set()
            await self.release.wait()
            return "done"

        @inner.put("/bytes")
        async def count(request: Request) -> int:
            return sum([len(chunk) async for chunk in request.stream()])

        router.include_router(inner)
        self.app: FastAPI = create_app(
            title="Deck", version="1", routers=[router], body_size_bytes_max=10_000
        )


@asynccontextmanager
async def running(deck: Deck, *, grace_s: float = 5.0) -> AsyncIterator[httpx.AsyncClient]:
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    async with asyncio.TaskGroup() as group:
        group.create_task(
            serve(
                deck.app,
                host="127.0.0.1",
                port=0,
                stop=deck.stop,
                grace_s=grace_s,
                on_started=port.set_result,
            )
        )
        url = f"http://127.0.0.1:{await port}"
        async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
            yield client
        deck.stop.set()


async def test_routes_of_nested_routers_keep_their_whole_template(spans: Spans) -> None:
    async with running(Deck()) as client:
        assert (await client.get("/v1/records/r1/tracks/3")).json() == {"number": 3}
        assert (await client.get("/v1/records/r1/tracks/x")).status_code == 422
        assert (await client.get("/v1/none")).status_code == 404
    template = "/v1/records/{record_id}/tracks/{number}"
    assert spans.names() == [f"GET {template}", f"GET {template}", "GET"]
    assert (spans.all()[0].attributes or {})["http.route"] == template


async def test_a_request_in_flight_is_finished_and_new_ones_are_refused() -> None:
    deck = Deck()
    async with running(deck, grace_s=60) as client:
        async with asyncio.TaskGroup() as group:
            slow = group.create_task(client.post("/v1/records/slow", timeout=60))
            await deck.entered.wait()
            deck.stop.set()
            await refusal(client)
            assert not slow.done()
            deck.release.set()
        assert slow.result().json() == "done"


async def refusal(client: httpx.AsyncClient) -> None:
    """Return once new connections are refused; the test's own time limit bounds it."""
    with contextlib.suppress(ConnectionError):
        while True:
            _, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
            writer.close()


async def test_a_request_that_never_ends_is_cut_after_the_grace_time() -> None:
    deck = Deck()

    async def call(client: httpx.AsyncClient) -> str:
        try:
            return str((await client.post("/v1/records/slow", timeout=20)).status_code)
        except httpx.RemoteProtocolError:
            return "cut"

    async with running(deck, grace_s=1) as client, asyncio.TaskGroup() as group:
        calling = group.create_task(call(client))
        await deck.entered.wait()
        deck.stop.set()
    assert calling.result() in ("cut", "500")


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_over_the_limit_reads_the_answer_and_not_a_reset(chunked: bool) -> None:
    async def body() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"x" * 10_000

    async with running(Deck()) as client:
        content = body() if chunked else b"x" * 1_000_000
        answer = await client.put("/v1/records/bytes", content=content)
        assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
        assert answer.headers["connection"] == "close"


async def test_a_taken_address_is_said_in_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(AddressInUse, match=f"127.0.0.1:{port}"):
            await serve(Deck().app, host="127.0.0.1", port=port, stop=asyncio.Event())


async def test_a_lifespan_that_fails_ends_the_server() -> None:
    @asynccontextmanager
    async def broken(app: FastAPI) -> AsyncIterator[None]:
        raise RuntimeError("no pool")
        yield

    app = create_app(title="t", version="1", routers=[], lifespan=broken)
    started: list[int] = []
    note: Callable[[int], None] = started.append
    with pytest.raises(RuntimeError, match="failed to start"):
        await serve(app, host="127.0.0.1", port=0, stop=asyncio.Event(), on_started=note)
    assert started == []
