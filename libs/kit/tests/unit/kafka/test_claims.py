from __future__ import annotations

from pathlib import Path

import pytest
from obstore.store import MemoryStore

from tonearm_contracts.envelope import CloudEvent
from tonearm_kit.db import Connection
from tonearm_kit.kafka import Poison, retries
from tonearm_kit.kafka.claims import ClaimStoreAway, ObjectClaims, resolve
from tonearm_kit.kafka.failures import Verdict, verdict
from tonearm_kit.kafka.headers import encode

from .test_headers import event
from .test_runner import World, running, until

URL = "s3://tonearm"


@pytest.fixture
def claims() -> ObjectClaims:
    return ObjectClaims(MemoryStore(), url=URL)


async def test_what_is_put_is_found_by_its_reference(claims: ObjectClaims) -> None:
    dataref = await claims.put("e1", b'{"a": 1}')
    assert dataref == f"{URL}/claims/e1"
    assert (await resolve(event(dataref=dataref, data={}), claims)).data == {"a": 1}


async def test_an_event_that_carries_its_data_is_left_alone(claims: ObjectClaims) -> None:
    assert await resolve(event(), claims) == event()


@pytest.mark.parametrize(
    "dataref",
    [
        "http://169.254.169.254/latest",
        "file:///etc/passwd",
        f"{URL}/audio/secret",
        f"{URL}/claims/../audio/secret",
        f"{URL}/claims/a/b",
    ],
)
async def test_a_reference_out_of_the_store_is_not_followed(
    claims: ObjectClaims, dataref: str
) -> None:
    with pytest.raises(Poison, match="outside"):
        await claims.get(dataref)


@pytest.mark.parametrize("batch", [False, True])
async def test_the_runner_fetches_claims_and_parks_what_it_may_not_fetch(
    claims: ObjectClaims, batch: bool
) -> None:
    world, seen = World(partitions=1), list[object]()

    async def handle(conn: Connection, received: CloudEvent) -> None:
        seen.append(received.data.get("n"))

    for number, dataref in enumerate(
        (await claims.put("e0", b'{"n": 0}'), "http://elsewhere", None)
    ):
        sent = event(id=f"e{number}", type="x", dataref=dataref, data={"n": number})
        world.broker.append(encode(sent, topic="t"))
    runner = world.runner(handlers={"x": handle}, claims=claims, batch=batch)
    async with running(runner):
        await until(lambda: sum(world.broker.committed("g").values()) == 3)
    assert seen == [0, 2]
    (dead,) = world.broker.log("g.dlq")
    assert b"outside of the claim store" in dict(dead.headers)[retries.REASON]


async def test_a_store_that_is_away_is_no_fault_of_the_event(tmp_path: Path) -> None:
    claims = ObjectClaims.open(f"{tmp_path.as_uri()}/made")
    (tmp_path / "made" / "claims").write_text("a file where the folder should be")
    with pytest.raises(ClaimStoreAway) as caught:
        await claims.put("e1", b"{}")
    assert verdict(caught.value) is Verdict.TRANSIENT


async def test_a_claim_that_is_gone_may_come_back(tmp_path: Path) -> None:
    claims = ObjectClaims.open(tmp_path.as_uri())
    with pytest.raises(FileNotFoundError) as caught:
        await claims.get(f"{tmp_path.as_uri()}/claims/e1")
    assert verdict(caught.value) is Verdict.TRANSIENT


async def test_without_a_claim_store_a_claim_is_poison() -> None:
    with pytest.raises(Poison, match="no claim store; set OBJECT_STORE_URL"):
        await resolve(event(dataref="s3://tonearm/claims/e1", data={}), None)
