"""`kill -9` in the middle of an upload: the upload completes, once, for every subscriber."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from itertools import count
from pathlib import Path

import asyncpg
import pytest

from tests import sounds
from tests.visitor import COMPLETED, Heard, Visitor
from tonearm_local.testing import Stack

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

VICTIMS = ("auth", "ingest", "analysis", "notify", "kafka")
_seeds = count(5000)


@pytest.fixture
async def visitor(stack: Stack, client_address: str) -> AsyncIterator[Visitor]:
    async with Visitor.register(stack.gateway_url, address=client_address) as made:
        yield made


def killer(stack: Stack, victim: str, killed: list[int]) -> Callable[[], None]:
    def kill() -> None:
        killed.append(stack.kill(victim))

    return kill


async def back(stack: Stack, victim: str, killed: list[int]) -> None:
    await asyncio.to_thread(stack.wait_ready, victim, restarts_min=killed[0] + 1, timeout_s=120)


async def stored_results(stack: Stack, audio_id: str) -> int:
    """Results that analysis holds for a recording; past its door, for nothing shows two."""
    url = stack.database_admin_url.rsplit("/", 1)[0] + "/tonearm"
    conn = await asyncpg.connect(url)
    try:
        found = await conn.fetchval(
            "SELECT count(*) FROM analysis.results r JOIN analysis.jobs j"
            " USING (content_sha256, engine_version, parameters_sha256) WHERE j.audio_id = $1",
            audio_id,
        )
    finally:
        await conn.close()
    return int(found)


async def assert_settled_once(
    stack: Stack, visitor: Visitor, audio_id: str, heard: list[Heard], folder: Path
) -> None:
    settled = await visitor.settled(audio_id, timeout_s=120)
    assert settled["status"] == "completed"
    for subscriber in heard:
        await subscriber.wait_for(audio_id, COMPLETED, timeout_s=60)
    # A second event would come by the same road as the next recording's: once that one has
    # arrived, nothing of the first is still under way.
    fence = await visitor.upload_at_last(sounds.tone(folder / "fence.wav", seed=next(_seeds)))
    for subscriber in heard:
        await subscriber.wait_for(fence["id"], COMPLETED, timeout_s=120)
        assert subscriber.count(COMPLETED, audio_id) == 1
    assert await stored_results(stack, audio_id) == 1
    listed = (await visitor.api.get("/v1/audio")).json()["items"]
    assert sorted(item["id"] for item in listed) == sorted([audio_id, fence["id"]])


@pytest.mark.parametrize("victim", VICTIMS)
async def test_killed_in_the_middle_of_an_upload(
    stack: Stack, visitor: Visitor, tmp_path: Path, victim: str
) -> None:
    path = sounds.tone(tmp_path / "song.wav", seed=next(_seeds), duration_s=20)
    killed: list[int] = []
    async with visitor.listening() as first, visitor.listening() as second:
        audio = await visitor.upload_at_last(path, half_way=killer(stack, victim, killed))
        await back(stack, victim, killed)
        await assert_settled_once(stack, visitor, audio["id"], [first, second], tmp_path)


@pytest.mark.parametrize("victim", VICTIMS)
async def test_killed_in_the_middle_of_an_analysis(
    stack: Stack, visitor: Visitor, tmp_path: Path, victim: str
) -> None:
    path = sounds.tone(tmp_path / "song.flac", seed=next(_seeds), duration_s=60)
    killed: list[int] = []
    async with visitor.listening() as first, visitor.listening() as second:
        audio = await visitor.upload_at_last(path)
        await first.wait_for(audio["id"], "tonearm.analysis.started.v1")
        killer(stack, victim, killed)()
        await back(stack, victim, killed)
        await assert_settled_once(stack, visitor, audio["id"], [first, second], tmp_path)
