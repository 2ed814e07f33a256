"""What a receiver answers cannot harm the sender."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from tonearm_notify.adapters.sender import HttpSender

URL = "https://hooks.example.org/"


async def later() -> AsyncIterator[bytes]:
    yield b"later"


def sender(*, retry_after: str = "1", address: str = "93.184.216.34") -> HttpSender:
    def answer(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(503, headers={"Retry-After": retry_after}, content=later())

    async def resolve(_host: str, _port: int) -> list[str]:
        return [address]

    return HttpSender(
        httpx.AsyncClient(transport=httpx.MockTransport(answer)),
        private_allowed=False,
        http_allowed=False,
        timeout_s=5,
        resolve=resolve,
    )


@pytest.mark.parametrize(
    ("retry_after", "expected_s"),
    [
        ("120", 120),
        ("Mon, 01 Jan 2001 00:00:00 GMT", 0),
        ("soon", None),
        ("Mon, 01 Jan 99999999999 00:00:00 GMT", None),
        ("Mon, 01 Jan 2026 99999999999:00:00 GMT", None),
    ],
)
async def test_whatever_the_receiver_says_of_later_the_try_is_told(
    retry_after: str, expected_s: float | None
) -> None:
    attempt = await sender(retry_after=retry_after).send(URL, headers={}, body=b"{}")
    assert (attempt.http_status, attempt.retry_after_s) == (503, expected_s)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "::1",
        "fe80::1%eth0",
        "fec0::1",
        "fd00::1",
        "::ffff:127.0.0.1",
        "2002:7f00:1::",
        "64:ff9b::7f00:1",
    ],
)
async def test_a_name_that_leads_inside_is_refused(address: str) -> None:
    inside = sender(address=address)
    assert not await inside.check(URL)
    attempt = await inside.send(URL, headers={}, body=b"{}")
    assert (attempt.http_status, attempt.error) == (None, "not a public address")


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:4700::1111"])
async def test_a_name_that_leads_outside_is_taken(address: str) -> None:
    assert await sender(address=address).check(URL)
