"""What superusers may do over HTTP, on real stores."""

from __future__ import annotations

import httpx
import pytest

from services.auth.tests.integration.visits import (
    ANNA,
    PASSWORD,
    bearer,
    events,
    log_in,
    refresh,
    register,
)
from tonearm_auth.bootstrap import Parts
from tonearm_auth.usecases.administer import make_admin

pytestmark = pytest.mark.integration


async def test_superusers_change_flags_and_plans_with_a_trace(
    parts: Parts, http: httpx.AsyncClient
) -> None:
    await register(http)
    bert = (await register(http, "bert@example.org")).json()["id"]
    mine = bearer(await log_in(http))
    refused = await http.get("/v1/admin/flags", headers=mine)
    assert (refused.status_code, refused.json()["code"]) == (403, "superuser_required")
    await make_admin(ANNA, begin=parts.begin, clock=parts.clock, new_id=parts.new_id)
    flags = (await http.get("/v1/admin/flags", headers=mine)).json()["items"]
    assert len(flags) == 20
    rules = {"is_enabled": True, "audience": "beta", "percentage": 25}
    put = await http.put("/v1/admin/flags/ai-moods", json=rules, headers=mine)
    assert put.json() | rules == put.json()
    where = f"/v1/admin/flags/ai-moods/overrides/{bert}"
    assert (await http.put(where, json={"value": True}, headers=mine)).status_code == 204
    one = (await http.get("/v1/admin/flags/ai-moods", headers=mine)).json()
    assert one["overrides"] == [{"account_id": bert, "value": True}]
    assert (await http.delete(where, headers=mine)).status_code == 204
    patched = await http.patch(f"/v1/admin/accounts/{bert}", json={"plan": "premium"}, headers=mine)
    assert patched.json()["plan"] == "premium"
    found = await http.get("/v1/admin/accounts", params={"email": "BERT"}, headers=mine)
    assert [each["id"] for each in found.json()["items"]] == [bert]
    audit = (await http.get("/v1/admin/audit", headers=mine)).json()["items"]
    assert [each["action"] for each in audit] == [
        "account.changed",
        "flag.overridden",
        "flag.overridden",
        "flag.changed",
        "account.changed",
    ]
    kinds = [kind for kind, _ in await events(parts)]
    assert kinds.count("tonearm.flag.changed.v1") == 3
    assert kinds.count("tonearm.account.entitlements_changed.v1") == 2
    for bad in ({"percentage": 101}, {"percentage": -1}, {"percentage": True}, {"audience": "x"}):
        wrong = await http.put("/v1/admin/flags/ai-moods", json=rules | bad, headers=mine)
        assert wrong.status_code == 422


async def test_admin_lists_are_read_page_by_page_to_their_end(
    parts: Parts, http: httpx.AsyncClient
) -> None:
    await register(http)
    bert = (await register(http, "bert@example.org")).json()["id"]
    await make_admin(ANNA, begin=parts.begin, clock=parts.clock, new_id=parts.new_id)
    mine = bearer(await log_in(http))
    await http.patch(f"/v1/admin/accounts/{bert}", json={"plan": "premium"}, headers=mine)
    for where in ("/v1/admin/accounts", "/v1/admin/audit"):
        whole = (await http.get(where, headers=mine)).json()
        assert (len(whole["items"]), whole["next_cursor"]) == (2, None)
        first = (await http.get(where, params={"limit": 1}, headers=mine)).json()
        more = {"limit": 1, "cursor": first["next_cursor"]}
        second = (await http.get(where, params=more, headers=mine)).json()
        assert first["items"] + second["items"] == whole["items"]
        assert second["next_cursor"] is None


async def test_disabling_an_account_closes_every_door(
    parts: Parts, http: httpx.AsyncClient
) -> None:
    await register(http)
    bert = (await register(http, "bert@example.org")).json()["id"]
    theirs = await log_in(http, "bert@example.org")
    await make_admin(ANNA, begin=parts.begin, clock=parts.clock, new_id=parts.new_id)
    mine = bearer(await log_in(http))
    await http.patch(f"/v1/admin/accounts/{bert}", json={"is_active": False}, headers=mine)
    assert (await http.get("/v1/auth/me", headers=bearer(theirs))).status_code == 401
    assert (await refresh(http, theirs["refresh_token"])).status_code == 401
    again = await http.post(
        "/v1/auth/login", json={"email": "bert@example.org", "password": PASSWORD}
    )
    assert (again.status_code, again.json()["code"]) == (401, "bad_credentials")
