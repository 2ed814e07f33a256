"""What a person finds again, and what receivers are sent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook as Verifier

from tonearm_contracts.events import AccountDeleted, AnalysisFailed, AnalysisProgressed
from tonearm_kit.ids import new_id

pytestmark = pytest.mark.integration


def failed(account_id: str = "anna") -> AnalysisFailed:
    return AnalysisFailed(
        job_id="j",
        audio_id="r",
        account_id=account_id,
        code="not_audio",
        reason="no",
        failed_at=datetime.now(UTC),
    )


@asynccontextmanager
async def calling(notify: Any, token: str) -> AsyncIterator[httpx.AsyncClient]:
    base = f"http://127.0.0.1:{await notify.http_port}"
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=base, headers=headers) as client:
        yield client


class Receiver:
    """A webhook's other end; answers what it is told to, 200 afterwards."""

    def __init__(self, *answers: int) -> None:
        self.answers = list(answers)
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in head.split("\r\n")[1:])
        }
        body = await reader.readexactly(int(headers["content-length"]))
        self.got.append((headers, body))
        status = self.answers.pop(0) if self.answers else 200
        location = "Location: http://127.0.0.1:1/\r\n" if status == 302 else ""
        writer.write(f"HTTP/1.1 {status} X\r\n{location}Content-Length: 2\r\n\r\nok".encode())
        await writer.drain()
        writer.close()


@asynccontextmanager
async def receiving(*answers: int) -> AsyncIterator[Receiver]:
    receiver = Receiver(*answers)
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    async with server:
        yield receiver


TRUSTING: dict[str, Any] = {"webhook_private_allowed": True, "webhook_http_allowed": True}


async def test_notifications_are_listed_paged_and_read(notify: Any, tokens: Any) -> None:
    ids = [await notify.publish(failed()) for _ in range(5)]
    await notify.publish(failed("berta"))
    async with calling(notify, tokens.make("anna")) as client:
        page = (await client.get("/v1/notifications", params={"limit": 2})).json()
        assert [item["id"] for item in page["items"]] == [ids[4], ids[3]]
        assert page["unread_count"] == 5
        assert page["items"][0]["event"]["data"]["code"] == "not_audio"
        rest = (
            await client.get(
                "/v1/notifications", params={"limit": 10, "cursor": page["next_cursor"]}
            )
        ).json()
        assert [item["id"] for item in rest["items"]] == ids[2::-1]
        assert rest["next_cursor"] is None

        marked = await client.post("/v1/notifications/read", json={"ids": [ids[4], "other"]})
        assert marked.json() == {"unread_count": 4}
        marked = await client.post("/v1/notifications/read", json={"up_to": ids[1]})
        assert marked.json() == {"unread_count": 2}
        unread = (await client.get("/v1/notifications", params={"unread": True})).json()
        assert [item["id"] for item in unread["items"]] == [ids[3], ids[2]]

        assert (await client.post("/v1/notifications/read", json={})).status_code == 422
        assert (await client.get("/v1/notifications?cursor=x")).status_code == 422
    async with calling(notify, "no-token") as client:
        assert (await client.get("/v1/notifications")).status_code == 401


async def test_a_webhook_is_signed_as_the_standard_says(start_notify: Any, tokens: Any) -> None:
    async with (
        start_notify(**TRUSTING) as notify,
        receiving() as receiver,
        calling(notify, tokens.make("anna")) as client,
    ):
        made = await client.post("/v1/webhooks", json={"url": receiver.url})
        assert made.status_code == 201
        secret = made.json()["secret"]
        assert secret.startswith("whsec_")
        shown = (await client.get(made.headers["location"])).json()
        assert "secret" not in shown
        event_id = await notify.publish(failed())
        await notify.publish(progressed())
        assert await notify.house.postman.send_due() == 1
        headers, body = receiver.got[0]
        assert headers["webhook-id"] == event_id
        event = Verifier(secret).verify(body, headers)
        assert event["type"] == "tonearm.analysis.failed.v1"

        rotated = (await client.post(made.headers["location"] + "/secret/rotate")).json()["secret"]
        await notify.publish(failed())
        await notify.house.postman.send_due()
        headers, body = receiver.got[1]
        Verifier(secret).verify(body, headers)
        Verifier(rotated).verify(body, headers)

        tested = await client.post(made.headers["location"] + "/test")
        assert tested.status_code == 202
        await notify.house.postman.send_due()
        assert json.loads(receiver.got[2][1])["type"] == "tonearm.webhook.tested.v1"


def progressed() -> AnalysisProgressed:
    return AnalysisProgressed(
        job_id="j", audio_id="r", account_id="anna", stage="s", stages_done=1, stages_total=2,
        stage_duration_s=0.1, result={},
    )  # fmt: skip


async def test_failures_are_retried_logged_and_replayed(start_notify: Any, tokens: Any) -> None:
    async with (
        start_notify(**TRUSTING) as notify,
        receiving(500, 302, 410) as receiver,
        calling(notify, tokens.make("anna")) as client,
    ):
        made = (await client.post("/v1/webhooks", json={"url": receiver.url})).json()
        path = f"/v1/webhooks/{made['id']}"
        await notify.publish(failed())
        assert await notify.house.postman.send_due() == 1
        assert await notify.house.postman.send_due() == 0
        (delivery,) = (await client.get(path + "/deliveries")).json()["items"]
        assert (delivery["status"], delivery["attempts"]) == ("pending", 1)
        wait_s = (
            datetime.fromisoformat(delivery["next_attempt_at"]) - datetime.now(UTC)
        ).total_seconds()
        assert 3 < wait_s < 6
        assert (await client.get(path)).json()["failing_since"] is not None

        one = f"{path}/deliveries/{delivery['id']}"
        assert (await client.post(one + "/replay")).json() == {"count": 1}
        await notify.house.postman.send_due()
        assert (await client.post(one + "/replay")).status_code == 202
        await notify.house.postman.send_due()
        log = (await client.get(one + "/attempts")).json()["items"]
        assert [attempt["http_status"] for attempt in log] == [500, 302, 410]
        assert log[0]["response"] == "ok"

        gone = (await client.get(path)).json()
        assert gone["status"] == "failed"
        assert "410" in gone["status_reason"]
        assert (await client.post(one + "/replay")).status_code == 409
        await notify.publish(failed())
        assert await notify.house.postman.send_due() == 0

        await client.patch(path, json={"status": "active"})
        again = await client.post(path + "/replay", json={"since": "2020-01-01T00:00:00Z"})
        assert again.json() == {"count": 1}
        await notify.house.postman.send_due()
        assert (await client.get(path)).json()["failing_since"] is None
        found = (await client.get(path + "/deliveries?status=delivered")).json()["items"]
        assert [item["id"] for item in found] == [delivery["id"]]
        assert (await client.delete(path)).status_code == 204
        assert (await client.get(path)).status_code == 404


async def test_days_of_failure_switch_a_webhook_off(start_notify: Any, tokens: Any) -> None:
    async with (
        start_notify(**TRUSTING) as notify,
        receiving(*[500] * 9) as receiver,
        calling(notify, tokens.make("anna")) as client,
    ):
        made = (await client.post("/v1/webhooks", json={"url": receiver.url})).json()
        await notify.publish(failed())
        await notify.house.postman.send_due()
        async with notify.db.acquire() as conn:
            await conn.execute("UPDATE webhooks SET failing_since = now() - interval '6 days'")
        await notify.publish(failed())
        await notify.house.postman.send_due()
        shown = (await client.get(f"/v1/webhooks/{made['id']}")).json()
        assert shown["status"] == "failed"
        assert shown["status_reason"] == "nothing but failures for 5 days"


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/x",
        "https://127.0.0.1/x",
        "https://[::1]/x",
        "https://[::ffff:10.0.0.1]/x",
        "https://169.254.169.254/latest/meta-data",
        "https://10.1.2.3/",
        "https://user:pw@example.com/",
        "https://localhost/x",
        "ftp://example.com/",
        "https://",
        "https://example.com:99999/",
    ],
)
async def test_private_and_odd_addresses_are_refused(notify: Any, tokens: Any, url: str) -> None:
    async with calling(notify, tokens.make("anna")) as client:
        answer = await client.post("/v1/webhooks", json={"url": url})
    assert answer.status_code == 422
    assert answer.json()["type"].endswith("/webhook-address-refused")


async def test_webhooks_belong_to_one_account_and_are_limited(
    start_notify: Any, tokens: Any
) -> None:
    async with start_notify(webhooks_per_account_max=1, **TRUSTING) as notify:
        async with calling(notify, tokens.make("anna")) as anna:
            new = {"url": "http://127.0.0.1:9/x"}
            key = {"Idempotency-Key": new_id()}
            made = (await anna.post("/v1/webhooks", json=new, headers=key)).json()
            twice = await anna.post("/v1/webhooks", json=new, headers=key)
            assert twice.json() == made
            assert (await anna.post("/v1/webhooks", json=new)).status_code == 429
        async with calling(notify, tokens.make("berta")) as berta:
            for method in ("GET", "DELETE"):
                answer = await berta.request(method, f"/v1/webhooks/{made['id']}")
                assert answer.status_code == 404
            assert (await berta.get("/v1/webhooks")).json() == {"items": []}
        await notify.publish(AccountDeleted(account_id="anna"))
        async with notify.db.acquire() as conn:
            assert await conn.fetchval("SELECT count(*) FROM webhooks") == 0
