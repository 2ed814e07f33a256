"""Sends webhooks, to public addresses only.

The name is resolved here, every address it has is checked, and the connection goes to a
checked address: a name that resolves differently a moment later changes nothing.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit, urlunsplit

import httpx

from tonearm_notify.domain import webhooks as rules
from tonearm_notify.domain.webhooks import Target
from tonearm_notify.usecases.webhook_ports import Attempt

_RESPONSE_BYTES_MAX = 1024
Resolve = Callable[[str, int], Awaitable[list[str]]]


class AddressRefusedError(Exception):
    """The name leads to an address that webhooks must not go to."""


async def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of a host; raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


class HttpSender:
    """POSTs with a time limit, no redirects, no proxies, and the first kilobyte of the answer."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        *,
        private_allowed: bool,
        http_allowed: bool,
        timeout_s: float,
        resolve: Resolve = resolve,
    ) -> None:
        self._client = client
        self._private_allowed = private_allowed
        self._http_allowed = http_allowed
        self._timeout_s = timeout_s
        self._resolve = resolve

    async def check(self, url: str) -> bool:
        """Tell whether webhooks may go to this address as it resolves now.

        A name that does not resolve passes: it may tomorrow, and is checked again then.
        """
        target = rules.parse_url(url, http_allowed=self._http_allowed)
        if target is None:
            return False
        try:
            await self._address(target)
        except AddressRefusedError:
            return False
        except OSError:
            return True
        return True

    async def _address(self, target: Target) -> str:
        async with asyncio.timeout(self._timeout_s):
            addresses = await self._resolve(target.host, target.port)
        refused = not self._private_allowed and not all(map(rules.is_public, addresses))
        if not addresses or refused:
            raise AddressRefusedError("not a public address")
        return addresses[0]

    async def send(self, url: str, *, headers: dict[str, str], body: bytes) -> Attempt:
        """POST the body once and return what came of it."""
        started_s = time.monotonic()
        target = rules.parse_url(url, http_allowed=self._http_allowed)
        if target is None:
            return Attempt(http_status=None, error="address refused", duration_s=0.0)
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._post(url, target, headers, body, started_s)
        except AddressRefusedError as error:
            reason = str(error)
        except TimeoutError:
            reason = f"no answer within {self._timeout_s:g} s"
        except (httpx.HTTPError, OSError) as error:
            reason = type(error).__name__
        return Attempt(http_status=None, error=reason, duration_s=time.monotonic() - started_s)

    async def _post(
        self, url: str, target: Target, headers: dict[str, str], body: bytes, started_s: float
    ) -> Attempt:
        address = await self._address(target)
        literal = f"[{address}]" if ":" in address else address
        parts = urlsplit(url)
        pinned = urlunsplit(parts._replace(netloc=f"{literal}:{target.port}"))
        host = parts.netloc.rpartition("@")[2]
        async with self._client.stream(
            "POST",
            pinned,
            content=body,
            headers={**headers, "host": host},
            # The certificate must be that of the name, not of the address.
            extensions={"sni_hostname": target.host},
        ) as response:
            read = b""
            async for block in response.aiter_raw(_RESPONSE_BYTES_MAX):
                read += block
                if len(read) >= _RESPONSE_BYTES_MAX:
                    break
        return Attempt(
            http_status=response.status_code,
            error=None,
            duration_s=time.monotonic() - started_s,
            response=read[:_RESPONSE_BYTES_MAX].decode("utf-8", "replace").replace("\x00", ""),
            retry_after_s=_retry_after_s(response.headers.get("retry-after")),
        )


def _retry_after_s(value: str | None) -> float | None:
    """Return the seconds that a `Retry-After` asks for, from either of its forms."""
    if value is None:
        return None
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError):  # the latter for years and hours of eleven digits
        return None


def open_client() -> httpx.AsyncClient:
    """Return a client without proxies, redirects and shared connections."""
    return httpx.AsyncClient(
        trust_env=False,
        follow_redirects=False,
        timeout=httpx.Timeout(10.0),
        limits=httpx.Limits(max_connections=20, max_keepalive_connections=0),
    )
