from __future__ import annotations

import json
import time
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from tonearm_kit.testing.clock import FixedClock
from tonearm_kit.tokens import (
    JwksKeys,
    KeysUnavailable,
    StaticKeys,
    TokenExpired,
    TokenInvalid,
    TokenVerifier,
    parse_jwks,
)

KEY = ec.generate_private_key(ec.SECP256R1())
OTHER = ec.generate_private_key(ec.SECP256R1())
HEADERS = {"typ": "at+jwt", "kid": "k1"}


def jwk(key: ec.EllipticCurvePrivateKey, kid: str) -> dict[str, Any]:
    public: dict[str, Any] = ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return public | {"kid": kid, "use": "sig", "alg": "ES256"}


JWKS = {"keys": [jwk(KEY, "k1")]}


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    return {
        "iss": "https://issuer",
        "aud": "tonearm",
        "sub": "acc-1",
        "sid": "ses-1",
        "jti": "tok-1",
        "iat": now,
        "nbf": now,
        "exp": now + 60,
        "plan": "premium",
        "beta": True,
        "admin": False,
    } | changes


def sign(
    body: dict[str, Any] | None = None,
    *,
    key: Any = KEY,
    headers: dict[str, Any] | None = None,
    algorithm: str = "ES256",
) -> str:
    return jwt.encode(
        body or claims(), key, algorithm=algorithm, headers=HEADERS if headers is None else headers
    )


@pytest.fixture
def verifier() -> TokenVerifier:
    return TokenVerifier(StaticKeys(JWKS), issuer="https://issuer", audience="tonearm", leeway_s=1)


async def test_a_good_token_tells_who_calls(verifier: TokenVerifier) -> None:
    principal = await verifier.verify(sign())
    assert (principal.account_id, principal.session_id) == ("acc-1", "ses-1")
    assert (principal.plan, principal.is_beta, principal.is_superuser) == ("premium", True, False)
    assert principal.expires_at.tzinfo is not None


def _forged() -> dict[str, str]:
    now = int(time.time())
    pem = KEY.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    header, body, signature = sign().split(".")
    without_sub = claims()
    del without_sub["sub"]
    return {
        "another key": sign(key=OTHER),
        "unknown kid": sign(headers=HEADERS | {"kid": "k9"}),
        "no kid": sign(headers={"typ": "at+jwt"}),
        "a refresh token": sign(headers=HEADERS | {"typ": "rt+jwt"}),
        "plain JWT type": sign(headers={"typ": "JWT", "kid": "k1"}),
        "alg none": jwt.encode(claims(), "", algorithm="none", headers=HEADERS),
        "HS256 with a secret": sign(key="x" * 32, algorithm="HS256"),
        "HS256 with the public key": _hs256(pem),
        "own jwk in the header": sign(
            key=OTHER, headers=HEADERS | {"kid": "k2", "jwk": jwk(OTHER, "k2")}
        ),
        "jku in the header": sign(key=OTHER, headers=HEADERS | {"jku": "https://evil/jwks"}),
        "another issuer": sign(claims(iss="https://evil")),
        "another audience": sign(claims(aud="else")),
        "not yet valid": sign(claims(nbf=now + 600)),
        "no subject": sign(without_sub),
        "an empty subject": sign(claims(sub="")),
        "a changed body": f"{header}.{body[:-2]}AA.{signature}",
        "a stray character at the end": sign() + "A",
        "no signature": f"{header}.{body}.",
        "not a token": "hello",
        "nothing": "",
        "too long": "a" * 9000,
    }


def _hs256(secret: bytes) -> str:
    import base64
    import hashlib
    import hmac

    def part(value: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    signed = f"{part(HEADERS | {'alg': 'HS256'})}.{part(claims())}"
    mac = hmac.new(secret, signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


@pytest.mark.parametrize("name", sorted(_forged()))
async def test_a_forged_token_is_refused(verifier: TokenVerifier, name: str) -> None:
    with pytest.raises(TokenInvalid):
        await verifier.verify(_forged()[name])


async def test_an_expired_token_is_told_apart(verifier: TokenVerifier) -> None:
    with pytest.raises(TokenExpired):
        await verifier.verify(sign(claims(exp=int(time.time()) - 10)))


async def test_rights_need_a_true_boolean(verifier: TokenVerifier) -> None:
    principal = await verifier.verify(sign(claims(admin="true", beta=1)))
    assert (principal.is_superuser, principal.is_beta) == (False, False)


def test_keys_of_other_kinds_are_left_out() -> None:
    rsa = {"kty": "RSA", "kid": "r", "n": "AQAB", "e": "AQAB"}
    encryption = jwk(OTHER, "e") | {"use": "enc"}
    assert list(parse_jwks({"keys": [rsa, encryption, jwk(KEY, "k1")]})) == ["k1"]


class Issuer:
    """A JWKS endpoint that counts how often it is asked."""

    def __init__(self) -> None:
        self.asked, self.keys, self.is_up = 0, [jwk(KEY, "k1")], True
        self.transport = httpx.MockTransport(self._answer)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        return httpx.Response(200 if self.is_up else 503, json={"keys": self.keys})


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
def keys(issuer: Issuer, fixed_clock: FixedClock) -> JwksKeys:
    return JwksKeys(
        "http://issuer/jwks",
        max_age_s=300,
        floor_s=5,
        transport=issuer.transport,
        monotonic_s=fixed_clock.monotonic_s,
    )


async def test_keys_are_fetched_once(keys: JwksKeys, issuer: Issuer) -> None:
    for _ in range(10):
        assert await keys.find("k1") is not None
    assert issuer.asked == 1


async def test_unknown_keys_cannot_hammer_the_issuer(
    keys: JwksKeys, issuer: Issuer, fixed_clock: FixedClock
) -> None:
    for number in range(50):
        assert await keys.find(f"forged-{number}") is None
    assert issuer.asked == 1
    fixed_clock.advance(5)
    assert await keys.find("forged") is None
    assert issuer.asked == 2


async def test_a_new_key_is_found_after_a_rollover(
    keys: JwksKeys, issuer: Issuer, fixed_clock: FixedClock
) -> None:
    await keys.find("k1")
    issuer.keys.append(jwk(OTHER, "k2"))
    fixed_clock.advance(5)
    assert await keys.find("k2") is not None


async def test_known_keys_outlive_an_issuer_that_is_down(
    keys: JwksKeys, issuer: Issuer, fixed_clock: FixedClock
) -> None:
    await keys.find("k1")
    issuer.is_up = False
    fixed_clock.advance(1000)
    assert await keys.find("k1") is not None


async def test_a_withdrawn_key_is_gone_after_the_cache_time(
    keys: JwksKeys, issuer: Issuer, fixed_clock: FixedClock
) -> None:
    await keys.find("k1")
    issuer.keys.clear()
    fixed_clock.advance(301)
    assert await keys.find("k1") is None


async def test_without_any_keys_the_failure_is_ours_not_the_callers(
    keys: JwksKeys, issuer: Issuer
) -> None:
    issuer.is_up = False
    with pytest.raises(KeysUnavailable):
        await keys.find("k1")
