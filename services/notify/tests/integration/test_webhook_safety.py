"""Webhooks at rest and on the wire: sealed secrets, and names that lead somewhere else."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from cryptography.fernet import Fernet
from standardwebhooks import Webhook as Verifier

from services.notify.tests.integration.test_notifications_and_webhooks import (
    TRUSTING,
    Receiver,
    calling,
    failed,
    receiving,
)
from tonearm_notify.adapters.sealing import SecretBox
from tonearm_notify.adapters.sender import HttpSender, open_client
from tonearm_notify.adapters.webhooks import PostgresWebhooks
from tonearm_notify.domain.webhooks import to_secret

pytestmark = pytest.mark.integration


async def stored(notify: Any) -> list[str]:
    async with notify.db.acquire() as conn:
        rows = await conn.fetch("SELECT secret, secret_before FROM webhooks ORDER BY webhook_id")
    return [text for row in rows for text in row if text is not None]


async def sent_with(notify: Any, receiver: Receiver, secret: str) -> None:
    """Publish an event and check that its message is signed with the secret."""
    await notify.publish(failed())
    assert await notify.house.postman.send_due() == 1
    headers, body = receiver.got[-1]
    Verifier(secret).verify(body, headers)


async def test_no_secret_is_stored_open(start_notify: Any, tokens: Any) -> None:
    async with (
        start_notify(**TRUSTING) as notify,
        receiving() as receiver,
        calling(notify, tokens.make("anna")) as client,
    ):
        made = await client.post("/v1/webhooks", json={"url": receiver.url})
        rotated = await client.post(made.headers["location"] + "/secret/rotate")
        secrets = [made.json()["secret"], rotated.json()["secret"]]
        at_rest = await stored(notify)
        assert len(at_rest) == 2
        assert not any("whsec_" in text or secret in text for text in at_rest for secret in secrets)
        for secret in secrets:
            await sent_with(notify, receiver, secret)


async def test_what_an_older_release_stored_is_sealed_and_signs_as_before(
    start_notify: Any, tokens: Any
) -> None:
    secret = to_secret(b"k" * 32)
    async with (
        start_notify(**TRUSTING) as notify,
        receiving() as receiver,
        calling(notify, tokens.make("anna")) as client,
    ):
        made = (await client.post("/v1/webhooks", json={"url": receiver.url})).json()
        async with notify.db.acquire() as conn:
            await conn.execute("UPDATE webhooks SET secret = $1, sealed_with = NULL", secret)
        await sent_with(notify, receiver, secret)
        await notify.house.sweep()
        [sealed] = await stored(notify)
        assert "whsec_" not in sealed
        await sent_with(notify, receiver, secret)
        await notify.house.sweep()
        assert await stored(notify) == [sealed]
        assert (await client.get(f"/v1/webhooks/{made['id']}")).json()["status"] == "active"


async def test_keys_are_replaced_without_a_gap(start_notify: Any, tokens: Any) -> None:
    old, new = (Fernet.generate_key().decode() for _ in range(2))
    async with receiving() as receiver:
        async with (
            start_notify(webhook_secret_keys=old, **TRUSTING) as notify,
            calling(notify, tokens.make("anna")) as client,
        ):
            made = (await client.post("/v1/webhooks", json={"url": receiver.url})).json()
        async with start_notify(webhook_secret_keys=f"{new},{old}", **TRUSTING) as notify:
            await sent_with(notify, receiver, made["secret"])
            await notify.house.sweep()
        async with start_notify(webhook_secret_keys=new, **TRUSTING) as notify:
            await sent_with(notify, receiver, made["secret"])


async def test_a_lost_key_is_told_and_mended_by_rotating(start_notify: Any, tokens: Any) -> None:
    async with receiving() as receiver:
        async with (
            start_notify(**TRUSTING) as notify,
            calling(notify, tokens.make("anna")) as client,
        ):
            made = (await client.post("/v1/webhooks", json={"url": receiver.url})).json()
        lost = Fernet.generate_key().decode()
        async with (
            start_notify(webhook_secret_keys=lost, **TRUSTING) as notify,
            calling(notify, tokens.make("anna")) as client,
        ):
            path = f"/v1/webhooks/{made['id']}"
            before = await stored(notify)
            await client.patch(path, json={"description": "still here"})
            await notify.house.sweep()
            assert await stored(notify) == before
            await notify.publish(failed())
            await notify.house.postman.send_due()
            (delivery,) = (await client.get(path + "/deliveries")).json()["items"]
            one = f"{path}/deliveries/{delivery['id']}"
            (attempt,) = (await client.get(one + "/attempts")).json()["items"]
            assert attempt["error"] == "the secret cannot be read; rotate it"
            assert receiver.got == []
            rotated = (await client.post(path + "/secret/rotate")).json()
            await client.post(one + "/replay")
            await notify.house.postman.send_due()
            headers, body = receiver.got[0]
            Verifier(rotated["secret"]).verify(body, headers)


async def test_a_delivery_is_claimed_by_one_and_comes_back_when_that_one_dies(
    start_notify: Any, tokens: Any
) -> None:
    async with (
        start_notify(**TRUSTING) as notify,
        receiving() as receiver,
        calling(notify, tokens.make("anna")) as client,
    ):
        await client.post("/v1/webhooks", json={"url": receiver.url})
        for _ in range(4):
            await notify.publish(failed())
        store = PostgresWebhooks(notify.db, SecretBox([Fernet.generate_key().decode()]))
        claims = await asyncio.gather(*(store.claim_due(limit=2, lease_s=60) for _ in range(3)))
        claimed = [delivery.delivery_id for claim in claims for delivery in claim]
        assert len(claimed) == len(set(claimed)) == 4
        # Whoever claimed them is gone without a word; their lease runs out.
        assert await notify.house.postman.send_due() == 0
        async with notify.db.acquire() as conn:
            await conn.execute("UPDATE webhook_deliveries SET next_attempt_at = now()")
        assert await notify.house.postman.send_due() == 4
        assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 4


class Names:
    """A name server that changes its mind: each question gets the next answer."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, int]] = []

    async def resolve(self, host: str, port: int) -> list[str]:
        self.asked.append((host, port))
        return self.answers.pop(0)


@asynccontextmanager
async def sending(names: Names, *, private_allowed: bool) -> AsyncIterator[HttpSender]:
    async with open_client() as client:
        yield HttpSender(
            client,
            private_allowed=private_allowed,
            http_allowed=True,
            timeout_s=5.0,
            resolve=names.resolve,
        )


PUBLIC = "93.184.215.14"


async def test_the_connection_goes_to_the_address_that_was_checked() -> None:
    """The name is asked for once a try; what it would say a moment later has no part in it."""
    names = Names(["127.0.0.1"], [PUBLIC])
    async with receiving() as receiver, sending(names, private_allowed=True) as sender:
        port = httpx.URL(receiver.url).port
        attempt = await sender.send(f"http://hooks.example:{port}/x", headers={}, body=b"{}")
        assert attempt.http_status == 200
        assert names.asked == [("hooks.example", port)]
        assert receiver.got[0][0]["host"] == f"hooks.example:{port}"


@pytest.mark.parametrize("then", [["127.0.0.1"], [PUBLIC, "127.0.0.1"], ["::ffff:127.0.0.1"], []])
async def test_a_name_that_was_public_and_is_private_now_gets_nothing(then: list[str]) -> None:
    names = Names([PUBLIC], then)
    async with receiving() as receiver, sending(names, private_allowed=False) as sender:
        url = f"http://hooks.example:{httpx.URL(receiver.url).port}/x"
        assert await sender.check(url)
        attempt = await sender.send(url, headers={}, body=b"{}")
        assert attempt.http_status is None
        assert attempt.error == "not a public address"
        assert receiver.got == []


async def test_the_name_and_not_the_address_is_asked_for_in_the_handshake() -> None:
    """With TLS the certificate must be the name's: the name is what the handshake says."""
    asked: list[str | None] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.sni_callback = lambda _socket, name, _context: asked.append(name)
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0, ssl=context)
    async with server, sending(Names(["127.0.0.1"]), private_allowed=True) as sender:
        port = server.sockets[0].getsockname()[1]
        attempt = await sender.send(f"https://hooks.example:{port}/x", headers={}, body=b"{}")
    assert attempt.http_status is None
    assert asked == ["hooks.example"]
