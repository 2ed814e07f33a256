"""One set of promises, kept by the fake and by Postgres."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import APIRouter, FastAPI, Request, Response

from tonearm_kit.db import Database
from tonearm_kit.errors import AppError, Kind
from tonearm_kit.http import create_app
from tonearm_kit.idempotency import (
    Claim,
    IdempotencyKeyReused,
    IdempotencyStore,
    PostgresIdempotency,
    Reply,
    RequestStillRunning,
    fingerprint,
    once,
)
from tonearm_kit.testing.clock import FixedClock
from tonearm_kit.testing.idempotency import FakeIdempotency

pytestmark = pytest.mark.integration

SCOPE = "anna POST /v1/records"


async def claim(store: IdempotencyStore, *, key: str = "k1", body: str = "a") -> Claim:
    held = await store.claim(scope=SCOPE, key=key, fingerprint=fingerprint(body))
    assert isinstance(held, Claim)
    return held


@pytest.fixture(params=["fake", "postgres"])
async def store(
    request: pytest.FixtureRequest, fixed_clock: FixedClock, database: Database
) -> IdempotencyStore:
    if request.param == "fake":
        return FakeIdempotency(fixed_clock)
    return PostgresIdempotency(database, clock=fixed_clock)


class TestIdempotencyStore:
    async def test_a_completed_request_is_answered_again(self, store: IdempotencyStore) -> None:
        reply = Reply(201, {"id": "r1", "n": [1, None]}, {"Location": "/r1"})
        await store.complete(await claim(store), reply)
        assert await store.claim(scope=SCOPE, key="k1", fingerprint=fingerprint("a")) == reply

    async def test_an_answer_without_a_body_is_told_again(self, store: IdempotencyStore) -> None:
        await store.complete(await claim(store), Reply(204))
        again = await store.claim(scope=SCOPE, key="k1", fingerprint=fingerprint("a"))
        assert isinstance(again, Reply)
        assert (again.status, again.body) == (204, None)

    async def test_a_running_request_is_not_started_twice(self, store: IdempotencyStore) -> None:
        await claim(store)
        with pytest.raises(RequestStillRunning):
            await claim(store)

    async def test_another_payload_is_refused(self, store: IdempotencyStore) -> None:
        held = await claim(store)
        with pytest.raises(IdempotencyKeyReused):
            await claim(store, body="b")
        await store.complete(held, Reply(201))
        with pytest.raises(IdempotencyKeyReused):
            await claim(store, body="b")

    async def test_a_key_belongs_to_its_scope(self, store: IdempotencyStore) -> None:
        await claim(store)
        other = await store.claim(scope="ben POST /", key="k1", fingerprint=fingerprint("b"))
        assert isinstance(other, Claim)

    async def test_a_failed_request_gives_its_key_back(self, store: IdempotencyStore) -> None:
        await store.abandon(await claim(store))
        await claim(store, body="b")

    async def test_a_completed_request_keeps_its_key(self, store: IdempotencyStore) -> None:
        held = await claim(store)
        await store.complete(held, Reply(201))
        await store.abandon(held)
        assert isinstance(
            await store.claim(scope=SCOPE, key="k1", fingerprint=fingerprint("a")), Reply
        )

    async def test_a_dead_claim_is_free_after_its_lease(
        self, store: IdempotencyStore, fixed_clock: FixedClock
    ) -> None:
        dead = await claim(store)
        fixed_clock.advance(61)
        alive = await claim(store)
        await store.complete(dead, Reply(500))
        await store.complete(alive, Reply(201))
        again = await store.claim(scope=SCOPE, key="k1", fingerprint=fingerprint("a"))
        assert isinstance(again, Reply)
        assert again.status == 201

    async def test_an_answer_expires_and_is_swept(
        self, store: IdempotencyStore, fixed_clock: FixedClock
    ) -> None:
        for number in range(3):
            await store.complete(await claim(store, key=f"k{number}"), Reply(201))
        assert await store.sweep() == 0
        fixed_clock.advance(24 * 3600)
        assert await store.sweep(rows_max=2) == 2
        await claim(store, key="k2", body="another")


async def test_a_reply_stored_in_the_works_own_transaction_rolls_back_with_it(
    database: Database,
) -> None:
    store = PostgresIdempotency(database)
    held = await claim(store)

    async def fail() -> None:
        async with database.begin() as conn:
            await store.complete(held, Reply(201), conn=conn)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    with pytest.raises(RequestStillRunning):
        await claim(store)


class Full(AppError):
    """The shelf is full."""

    code, kind = "full", Kind.EXHAUSTED


@pytest.fixture
async def client(store: IdempotencyStore) -> AsyncIterator[httpx.AsyncClient]:
    router, made = APIRouter(), list[str]()

    @router.post("/records")
    async def post(request: Request) -> Response:
        body = await request.body()

        async def work(claim: Claim | None) -> Reply:
            if body == b"fail" and not made:
                made.append("failed")
                raise Full
            made.append(body.decode())
            return Reply(201, {"count": len(made)}, {"Location": f"/records/{len(made)}"})

        return await once(request, store, work, caller="anna", payload=body)

    app: FastAPI = create_app(title="t", version="1", routers=[router])
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://t") as opened:
        yield opened


async def post(client: httpx.AsyncClient, body: bytes, key: str | None) -> httpx.Response:
    headers = {"Idempotency-Key": key} if key is not None else {}
    return await client.post("/records", content=body, headers=headers)


async def test_a_repeat_gets_the_same_answer_and_is_told_so(client: httpx.AsyncClient) -> None:
    first, second = await post(client, b"a", '"k"'), await post(client, b"a", '"k"')
    assert (first.status_code, first.json()) == (201, {"count": 1})
    assert (second.status_code, second.json()) == (201, {"count": 1})
    assert second.headers["location"] == first.headers["location"]
    assert second.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers


async def test_another_payload_is_422(client: httpx.AsyncClient) -> None:
    await post(client, b"a", '"k"')
    assert (await post(client, b"b", '"k"')).status_code == 422


async def test_without_a_key_every_request_is_new(client: httpx.AsyncClient) -> None:
    await post(client, b"a", None)
    assert (await post(client, b"a", None)).json() == {"count": 2}


@pytest.mark.parametrize("key", ['"open', '""', "x" * 256, "caf\xe9", ""])
async def test_a_malformed_key_is_400(client: httpx.AsyncClient, key: str) -> None:
    headers = {b"Idempotency-Key": key.encode("latin-1")}
    answer = await client.post("/records", content=b"a", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "idempotency_key_malformed")


async def test_a_failed_request_may_be_sent_again(client: httpx.AsyncClient) -> None:
    assert (await post(client, b"fail", '"k"')).status_code == 429
    assert (await post(client, b"fail", '"k"')).status_code == 201
