"""Access tokens: JWT signed with ES256, checked against the issuer's published keys.

Only the algorithm and the token type that we issue are accepted; headers that name keys or
where to fetch them (`jwk`, `jku`, `x5u`, `x5c`) are never followed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Protocol, cast

import httpx
import jwt
from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from jwt import PyJWK

from tonearm_kit.errors import AppError, Kind
from tonearm_kit.logs import bind, get_logger

ALGORITHM = "ES256"
TOKEN_TYPE = "at+jwt"  # noqa: S105 - a media type, not a secret
_TOKEN_LENGTH_MAX = 8192
_REQUIRED = ["iss", "aud", "sub", "sid", "jti", "iat", "exp"]

log = get_logger(__name__)


class TokenMissing(AppError):
    """The request carries no access token."""

    code, kind = "token_missing", Kind.UNAUTHENTICATED


class TokenInvalid(AppError):
    """The access token is not valid here."""

    code, kind = "token_invalid", Kind.UNAUTHENTICATED


class TokenExpired(AppError):
    """The access token has expired."""

    code, kind = "token_expired", Kind.UNAUTHENTICATED


class KeysUnavailable(AppError):
    """The keys that tokens are checked with cannot be fetched right now."""

    code, kind, retryable = "keys_unavailable", Kind.UNAVAILABLE, True


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls, as the token says. `expires_at` is aware, UTC."""

    account_id: str
    session_id: str
    plan: str
    is_beta: bool
    is_superuser: bool
    expires_at: datetime
    token_id: str


class KeySource(Protocol):
    """Where verification keys come from."""

    async def find(self, key_id: str) -> PyJWK | None:
        """Return the key, or None when the issuer does not publish it."""
        ...


class StaticKeys:
    """Keys of a JWKS document that is already at hand, such as the issuer's own."""

    def __init__(self, jwks: Mapping[str, Any]) -> None:
        self._keys = parse_jwks(jwks)

    async def find(self, key_id: str) -> PyJWK | None:
        """Return the key, or None."""
        return self._keys.get(key_id)


def parse_jwks(document: Mapping[str, Any]) -> dict[str, PyJWK]:
    """Return the ES256 signature keys of a JWKS document by `kid`; other keys are left out."""
    keys: dict[str, PyJWK] = {}
    for entry in document.get("keys", []):
        fits = entry.get("kty") == "EC" and entry.get("crv") == "P-256"
        if fits and entry.get("use", "sig") == "sig" and isinstance(entry.get("kid"), str):
            keys[entry["kid"]] = PyJWK(entry, algorithm=ALGORITHM)
    return keys


class JwksKeys:
    """Keys fetched from a JWKS URL.

    Kept for `max_age_s` seconds, and used beyond that while the issuer does not answer. An
    unknown `kid` fetches again, at most every `floor_s` seconds, so that forged key ids
    cannot turn this service into a hammer.
    """

    def __init__(
        self,
        url: str,
        *,
        max_age_s: float = 300.0,
        floor_s: float = 5.0,
        timeout_s: float = 3.0,
        transport: httpx.AsyncBaseTransport | None = None,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url, self._max_age_s, self._floor_s = url, max_age_s, floor_s
        self._timeout_s, self._transport, self._monotonic_s = timeout_s, transport, monotonic_s
        self._keys: dict[str, PyJWK] = {}
        self._fetched_at_s = self._tried_at_s = float("-inf")
        self._lock = asyncio.Lock()

    async def find(self, key_id: str) -> PyJWK | None:
        """Return the key, or None. Raises `KeysUnavailable` when no keys were ever fetched."""
        if not self._fresh(key_id):
            async with self._lock:
                now = self._monotonic_s()
                if not self._fresh(key_id) and now - self._tried_at_s >= self._floor_s:
                    self._tried_at_s = now
                    await self._fetch()
        if self._fetched_at_s == float("-inf"):
            raise KeysUnavailable(retry_after_s=self._floor_s)
        return self._keys.get(key_id)

    def _fresh(self, key_id: str) -> bool:
        age_s = self._monotonic_s() - self._fetched_at_s
        return key_id in self._keys and age_s < self._max_age_s

    async def _fetch(self) -> None:
        try:
            # A client per fetch: they are minutes apart, and this way nobody has to close it.
            async with httpx.AsyncClient(
                timeout=self._timeout_s, transport=self._transport, trust_env=False
            ) as client:
                response = await client.get(self._url)
                response.raise_for_status()
                self._keys = parse_jwks(response.json())
            self._fetched_at_s = self._monotonic_s()
        except (httpx.HTTPError, ValueError, jwt.PyJWTError) as error:
            log.warning("cannot fetch token keys", url=self._url, reason=type(error).__name__)


class TokenVerifier:
    """Checks access tokens.

    keys: a JWKS URL or a `KeySource`. leeway_s: clock difference granted, in seconds.
    """

    def __init__(
        self, keys: str | KeySource, *, issuer: str, audience: str, leeway_s: float = 5.0
    ) -> None:
        self._keys: KeySource = JwksKeys(keys) if isinstance(keys, str) else keys
        self._issuer, self._audience, self._leeway_s = issuer, audience, leeway_s

    async def verify(self, token: str) -> Principal:
        """Return who calls. Raises `TokenInvalid`, `TokenExpired` or `KeysUnavailable`."""
        if len(token) > _TOKEN_LENGTH_MAX:
            raise TokenInvalid
        try:
            header = jwt.get_unverified_header(token)
            key = await self._key(header)
            claims = jwt.decode(
                token,
                key.key,
                algorithms=[ALGORITHM],
                audience=self._audience,
                issuer=self._issuer,
                leeway=self._leeway_s,
                options={"require": _REQUIRED},
            )
        except jwt.ExpiredSignatureError as error:
            raise TokenExpired from error
        except jwt.PyJWTError as error:
            # The reason is for our log; telling it would help to forge the next one.
            log.info("token refused", reason=type(error).__name__)
            raise TokenInvalid from error
        return _principal(claims)

    async def _key(self, header: Mapping[str, Any]) -> PyJWK:
        kind, key_id = header.get("typ"), header.get("kid")
        typed = isinstance(kind, str) and kind.lower().removeprefix("application/") == TOKEN_TYPE
        if not typed or header.get("alg") != ALGORITHM or not isinstance(key_id, str):
            raise TokenInvalid
        key = await self._keys.find(key_id)
        if key is None:
            raise TokenInvalid
        return key


def _principal(claims: Mapping[str, Any]) -> Principal:
    texts = [claims.get(name) for name in ("sub", "sid", "jti")]
    if not all(isinstance(text, str) and text for text in texts):
        raise TokenInvalid
    return Principal(
        account_id=claims["sub"],
        session_id=claims["sid"],
        plan=str(claims.get("plan", "free")),
        is_beta=claims.get("beta") is True,
        is_superuser=claims.get("admin") is True,
        expires_at=datetime.fromtimestamp(claims["exp"], UTC),
        token_id=claims["jti"],
    )


def bearer_token(request: Request) -> str:
    """Return the token of `Authorization: Bearer`. Raises `TokenMissing`."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise TokenMissing
    return token.strip()


_SCHEME = HTTPBearer(bearerFormat="JWT", scheme_name="access_token", auto_error=False)
"""Only for the API description: it says which routes want a token."""


async def current_caller(
    request: Request,
    _described: Annotated[HTTPAuthorizationCredentials | None, Depends(_SCHEME)] = None,
) -> Principal:
    """Return who calls, by the verifier that the app was created with."""
    verifier = cast("TokenVerifier | None", request.app.state.token_verifier)
    if verifier is None:
        raise RuntimeError("create_app was given no verifier")
    principal = await verifier.verify(bearer_token(request))
    bind(account_id=principal.account_id)
    return principal


Caller = Annotated[Principal, Depends(current_caller)]
"""Parameter type of a route that needs a caller; 401 without a valid token."""
