"""Dead letters over HTTP: superusers see and work them, others do not."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from tonearm_auth.bootstrap import Parts
from tonearm_auth.usecases.administer import make_admin
from tonearm_contracts.topics import Topic
from tonearm_kit.ids import new_id
from tonearm_kit.kafka import KafkaProducer, OutRecord, Poison, RetryPolicy, retries
from tonearm_kit.kafka.client import KafkaBroker
from tonearm_kit.kafka.log import KafkaLog
from tonearm_kit.testing.broker import FakeRecord

pytestmark = pytest.mark.integration

SAMPLES = Path(__file__).parents[4] / "libs" / "contracts" / "samples"
ROOT = {"email": "root@example.org", "password": "correct horse battery"}
BASE = "/v1/admin/dead-letters"


async def bury(servers: str, group: str, offset: int = 41) -> None:
    """Put one dead event into the dead letters of a group."""
    golden = json.loads((SAMPLES / "tonearm.audio.deleted.v1.json").read_text("utf-8"))
    headers = tuple((name, text.encode()) for name, text in golden["headers"].items())
    value = json.dumps(golden["value"]).encode()
    record = FakeRecord("ingest.audio.v1", 2, offset, 1_700_000_000_000, b"k", value, headers)
    letter: OutRecord = retries.dead_letter_record(
        record, Poison("bad data"), group=group, attempt=1, failed_at_ms=1_700_000_000_000,
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    )  # fmt: skip
    policy = RetryPolicy(delays_s=(1.0,), partitions=1)
    declared: list[Topic] = retries.topics_of(group, policy)
    await KafkaBroker(servers).ensure_topics(declared)
    async with KafkaProducer.open(servers, client_id="test") as producer:
        await producer.send([letter])


async def superuser(parts: Parts, http: httpx.AsyncClient) -> dict[str, str]:
    await http.post("/v1/auth/register", json=ROOT)
    await make_admin(ROOT["email"], begin=parts.begin, clock=parts.clock, new_id=parts.new_id)
    token = (await http.post("/v1/auth/login", json=ROOT)).json()["access_token"]
    return {"authorization": f"Bearer {token}"}


async def test_a_superuser_mends_and_redrives_a_dead_letter(
    parts: Parts, http: httpx.AsyncClient
) -> None:
    servers, group = parts.settings.kafka_bootstrap_servers, f"test.{new_id()}"
    await bury(servers, group)
    root = await superuser(parts, http)
    listed = (await http.get(BASE, params={"group": group}, headers=root)).json()["items"]
    assert [(each["reason"], each["event_type"]) for each in listed] == [
        ("bad data", "tonearm.audio.deleted.v1")
    ]
    letter = listed[0]["id"]
    edit = {"value": {"audio_id": "a", "account_id": "b"}, "reason": "wrong account"}
    put = await http.put(f"{BASE}/{letter}/value", json=edit, headers=root)
    assert put.json()["edited"] is True
    order = {"ids": [letter]}
    tried = await http.post(f"{BASE}/redrive", json={**order, "dry_run": True}, headers=root)
    assert tried.json() == {"ids": [letter], "dry_run": True}
    done = await http.post(f"{BASE}/redrive", json={**order, "reason": "fixed"}, headers=root)
    assert done.json() == {"ids": [letter], "dry_run": False}
    whole = (await http.get(f"{BASE}/{letter}", headers=root)).json()
    assert (whole["state"], whole["origin"]["offset"]) == ("redriven", 41)
    assert whole["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
    assert [each["action"] for each in whole["audit"]] == ["edit", "redrive"]
    (sent,) = await KafkaLog(servers).read([retries.retry_topic(group, 0)])
    assert json.loads(sent.value or b"") == edit["value"]
    closed = await http.post(f"{BASE}/{letter}/discard", json={"reason": "x"}, headers=root)
    assert (closed.status_code, closed.json()["code"]) == (409, "dead_letter_closed")


async def test_letters_are_read_page_by_page_though_some_are_redriven_meanwhile(
    parts: Parts, http: httpx.AsyncClient
) -> None:
    servers, group = parts.settings.kafka_bootstrap_servers, f"test.{new_id()}"
    for offset in (41, 42, 43):
        await bury(servers, group, offset)
    root = await superuser(parts, http)
    asked = {"group": group, "limit": "1"}
    whole = (await http.get(BASE, params={"group": group}, headers=root)).json()
    assert (len(whole["items"]), whole["next_cursor"]) == (3, None)
    first = (await http.get(BASE, params=asked, headers=root)).json()
    order = {"ids": [first["next_cursor"]], "reason": "fixed"}
    assert (await http.post(f"{BASE}/redrive", json=order, headers=root)).status_code == 200
    after = {**asked, "limit": "2", "cursor": first["next_cursor"]}
    rest = (await http.get(BASE, params=after, headers=root)).json()
    assert first["items"] + rest["items"] == whole["items"]
    assert rest["next_cursor"] is None
    unknown = await http.get(BASE, params={**asked, "cursor": "0123456789ab"}, headers=root)
    assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown_dead_letter")


async def test_everybody_else_is_refused(parts: Parts, http: httpx.AsyncClient) -> None:
    account = {"email": "anna@example.org", "password": "correct horse battery"}
    await http.post("/v1/auth/register", json=account)
    token = (await http.post("/v1/auth/login", json=account)).json()["access_token"]
    refused = await http.get(BASE, headers={"authorization": f"Bearer {token}"})
    assert (refused.status_code, refused.json()["code"]) == (403, "superuser_required")
    assert (await http.get(BASE)).status_code == 401


async def test_an_unknown_letter_is_not_found(parts: Parts, http: httpx.AsyncClient) -> None:
    root = await superuser(parts, http)
    missing = await http.get(f"{BASE}/0123456789ab", headers=root)
    assert (missing.status_code, missing.json()["code"]) == (404, "unknown_dead_letter")
