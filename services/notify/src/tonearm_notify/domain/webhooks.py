"""Webhooks: what is signed, when to try again, when to give up, where not to send.

Follows Standard Webhooks: `webhook-id`, `webhook-timestamp` (Unix seconds) and
`webhook-signature` (`v1,` and base64 of HMAC-SHA256 over `id.timestamp.body`, one per secret,
separated by spaces); secrets start with `whsec_`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from urllib.parse import urlsplit

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - the mark of a secret, not one
SECRET_BYTES: Final = 32
URL_LENGTH_MAX: Final = 2048
DELAYS_S: Final = (5.0, 300.0, 1800.0, 7200.0, 18000.0, 36000.0, 50400.0, 72000.0, 86400.0)
"""Waits after the first, second, ... failed attempt: about three days and a half in all."""
ATTEMPTS_MAX: Final = len(DELAYS_S) + 1
GONE: Final = 410


class Status(StrEnum):
    """Whether a webhook is used."""

    ACTIVE = "active"
    OFF = "off"
    FAILED = "failed"


class DeliveryStatus(StrEnum):
    """Where a delivery stands."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


class BadSecretError(ValueError):
    """The text is not a secret of a webhook."""


def to_secret(key: bytes) -> str:
    """Return the text form of a key."""
    return SECRET_PREFIX + base64.b64encode(key).decode()


def sign(secrets: Sequence[str], *, id_: str, timestamp_s: int, body: bytes) -> str:
    """Return the value of `webhook-signature`: one signature per secret, newest first."""
    signed = b".".join((id_.encode(), str(timestamp_s).encode(), body))
    signatures = []
    for secret in secrets:
        try:
            key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
        except binascii.Error as error:
            raise BadSecretError("not base64") from error
        digest = hmac.new(key, signed, hashlib.sha256).digest()
        signatures.append("v1," + base64.b64encode(digest).decode())
    return " ".join(signatures)


def delay_s(attempts: int, *, jitter: float) -> float | None:
    """Return the wait after so many failed attempts (from 1); None when that was the last.

    jitter in [0, 1) lengthens it by up to a tenth, so that many do not come back at once.
    """
    if attempts >= ATTEMPTS_MAX:
        return None
    return DELAYS_S[attempts - 1] * (1 + jitter / 10)


def is_public(address: str) -> bool:
    """Tell whether an IP address belongs to the public internet.

    An address inside another (IPv4 mapped, 6to4, Teredo, NAT64) is judged by the inner one,
    too.
    """
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    inner: list[ipaddress.IPv4Address | ipaddress.IPv6Address] = [ip]
    if isinstance(ip, ipaddress.IPv6Address):
        inner += [found for found in (ip.ipv4_mapped, ip.sixtofour) if found is not None]
        if ip.teredo is not None:
            inner += list(ip.teredo)
        if ip in _NAT64:
            inner.append(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF))
        if ip.ipv4_mapped is not None:
            inner.remove(ip)
    return all(one.is_global and not one.is_multicast and one not in _SITE_LOCAL for one in inner)


_SITE_LOCAL: Final = ipaddress.IPv6Network("fec0::/10")
"""Withdrawn by RFC 3879, so no registry calls it private; old networks still route it inside."""
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class Target:
    """A webhook's address, taken apart."""

    host: str
    port: int
    is_secure: bool


def parse_url(url: str, *, http_allowed: bool) -> Target | None:
    """Return the target of an address; None where webhooks must not go by its look alone."""
    if len(url) > URL_LENGTH_MAX or not url.isascii() or not url.isprintable():
        return None
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    schemes = ("https", "http") if http_allowed else ("https",)
    if parts.scheme not in schemes or not parts.hostname or parts.username or parts.password:
        return None
    secure = parts.scheme == "https"
    return Target(parts.hostname, port or (443 if secure else 80), secure)
