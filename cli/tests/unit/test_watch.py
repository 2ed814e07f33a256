from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from tonearm_cli.api import Api
from tonearm_cli.board import Board
from tonearm_cli.credentials import CredentialsFile
from tonearm_cli.errors import CliError
from tonearm_cli.feed import Feed
from tonearm_cli.output import Output
from tonearm_cli.watch import follow


class Library:
    """A server with one recording, which completes after `looks` looks at it."""

    def __init__(self, *, looks: int, status: str = "completed") -> None:
        self.looks, self.status = looks, status

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/analysis"):
            return httpx.Response(200, json={"result": {"engine_version": "1"}})
        self.looks -= 1
        links = {"analysis": "/v1/audio/1/analysis"}
        status = self.status if self.looks < 0 else "processing"
        return httpx.Response(200, json={"id": "1", "status": status, "links": links})


def event(kind: str, *, id_: str = "", audio_id: str = "1", **data: Any) -> dict[str, Any]:
    return {
        "id": id_ or kind,
        "type": f"tonearm.analysis.{kind}.v1",
        "data": {"audio_id": audio_id, **data},
    }


async def feed_of(*events: dict[str, Any], is_live: bool = True) -> Feed:
    feed = Feed()
    feed.is_live = is_live
    for each in events:
        await feed.on_publication(SimpleNamespace(pub=SimpleNamespace(data=each)))
    return feed


async def run(
    library: Library,
    feed: Feed,
    tmp_path: Path,
    *,
    timeout_s: float = 30.0,
    status_before: str | None = None,
) -> dict[str, Any]:
    async with Api.open(
        "http://server",
        kept=CredentialsFile(tmp_path),
        token="t",
        transport=httpx.MockTransport(library),
    ) as api:
        board = Board(Output(as_json=True))
        return await follow(
            api, feed, "1", board=board, timeout_s=timeout_s, status_before=status_before
        )


async def test_the_end_comes_by_push(tmp_path: Path) -> None:
    feed = await feed_of(
        event("completed", id_="x", audio_id="another"),
        event("started"),
        event("progressed", stage="rhythm", stages_done=1, stages_total=6, result={}),
        event("completed", engine_duration_s=1.0, cached=False),
    )
    ended = await run(Library(looks=0), feed, tmp_path)
    assert ended["delivered_by"] == "push"
    assert ended["analysis"] == {"result": {"engine_version": "1"}}


async def test_an_end_before_we_looked_is_in_the_state(tmp_path: Path) -> None:
    ended = await run(Library(looks=0), await feed_of(), tmp_path)
    assert ended["delivered_by"] == "state"
    assert ended["analysis"] is not None


@pytest.mark.parametrize(("looks", "status_before"), [(2, None), (0, "queued")])
async def test_a_push_that_the_state_overtakes_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, looks: int, status_before: str | None
) -> None:
    monkeypatch.setattr("tonearm_cli.watch.POLL_S", 0.01)
    feed = await feed_of()

    class Overtaking(Library):
        def __call__(self, request: httpx.Request) -> httpx.Response:
            response = super().__call__(request)
            if self.looks == -1:  # the first look that sees the end; the push comes after it
                publication = SimpleNamespace(pub=SimpleNamespace(data=event("completed")))
                pushes.append(asyncio.ensure_future(feed.on_publication(publication)))
            return response

    pushes: list[asyncio.Future[None]] = []
    ended = await run(Overtaking(looks=looks), feed, tmp_path, status_before=status_before)
    await asyncio.gather(*pushes)
    assert ended["delivered_by"] == "push"


async def test_a_push_that_never_comes_is_not_waited_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tonearm_cli.watch.POLL_S", 0.01)
    monkeypatch.setattr("tonearm_cli.watch.GRACE_S", 0.01)
    ended = await run(Library(looks=2), await feed_of(), tmp_path)
    assert ended["delivered_by"] == "state"


async def test_without_push_the_state_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tonearm_cli.watch.POLL_S_WITHOUT_PUSH", 0.01)
    ended = await run(Library(looks=3), await feed_of(is_live=False), tmp_path)
    assert ended["delivered_by"] == "state"


async def test_a_failure_has_no_result(tmp_path: Path) -> None:
    feed = await feed_of(event("failed", code="not_audio", reason="No audio."))
    ended = await run(Library(looks=0, status="failed"), feed, tmp_path)
    assert ended["analysis"] is None
    assert ended["audio"]["status"] == "failed"


async def test_watching_ends_in_the_end(tmp_path: Path) -> None:
    with pytest.raises(CliError) as caught:
        await run(Library(looks=10**6), await feed_of(), tmp_path, timeout_s=0.1)
    assert "tonearm watch 1" in caught.value.hint


async def test_an_event_that_comes_twice_counts_once() -> None:
    feed = await feed_of(event("started"), event("started"))
    assert await feed.next("1", timeout_s=0.01) is not None
    assert await feed.next("1", timeout_s=0.01) is None


async def test_the_past_comes_before_the_present() -> None:
    feed = Feed()

    class Subscription:
        async def history(self, *, limit: int) -> Any:
            live = SimpleNamespace(pub=SimpleNamespace(data=event("completed")))
            await feed.on_publication(live)
            return SimpleNamespace(publications=[SimpleNamespace(data=event("started"))])

    await feed.take_past(Subscription())
    first, second = await feed.next("1", timeout_s=1), await feed.next("1", timeout_s=1)
    assert first is not None
    assert second is not None
    assert [first["id"], second["id"]] == ["started", "completed"]
