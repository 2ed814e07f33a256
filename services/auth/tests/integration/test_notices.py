"""`/v1/admin/notices` on real stores: said once, however often it is sent."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from services.auth.tests.integration.visits import ANNA, bearer, events, log_in, register
from tonearm_auth.bootstrap import Parts
from tonearm_auth.usecases.administer import make_admin

pytestmark = pytest.mark.integration

NOTICE = {
    "kind": "maintenance",
    "message": "Back soon.",
    "starts_at": "2026-03-02T03:00:00Z",
    "ends_at": "2026-03-02T03:10:00Z",
}


async def announced(parts: Parts) -> list[dict[str, Any]]:
    return [data for kind, data in await events(parts) if kind == "tonearm.notice.announced.v1"]


async def test_a_notice_is_announced_once_per_key(parts: Parts, http: httpx.AsyncClient) -> None:
    await register(http)
    mine = bearer(await log_in(http))
    refused = await http.post("/v1/admin/notices", json=NOTICE, headers=mine)
    assert (refused.status_code, refused.json()["code"]) == (403, "superuser_required")
    await make_admin(ANNA, begin=parts.begin, clock=parts.clock, new_id=parts.new_id)
    keyed = {**mine, "Idempotency-Key": '"n1"'}
    made = await http.post("/v1/admin/notices", json=NOTICE, headers=keyed)
    assert made.status_code == 201
    assert made.json() == {**NOTICE, "id": made.json()["id"]}
    again = await http.post("/v1/admin/notices", json=NOTICE, headers=keyed)
    assert again.json() == made.json()
    assert again.headers["idempotency-replayed"] == "true"
    [event] = await announced(parts)
    assert event["notice_id"] == made.json()["id"]


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "gossip"},
        {"message": ""},
        {"message": "x" * 1001},
        {"starts_at": "2026-03-02T03:00:00"},
        {"ends_at": "2026-03-02T03:00:00Z"},
    ],
)
async def test_odd_notices_are_refused(
    parts: Parts, http: httpx.AsyncClient, change: dict[str, str]
) -> None:
    await register(http)
    mine = bearer(await log_in(http))
    await make_admin(ANNA, begin=parts.begin, clock=parts.clock, new_id=parts.new_id)
    answer = await http.post("/v1/admin/notices", json=NOTICE | change, headers=mine)
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert await announced(parts) == []
