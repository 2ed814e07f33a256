"""The HTTP door on real stores: the journey of an account, and what is refused."""

from __future__ import annotations

import asyncio
import hmac
import json
from base64 import urlsafe_b64encode
from dataclasses import replace
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from jwt import PyJWKSet
from jwt.algorithms import ECAlgorithm

from services.auth.tests.integration.conftest import client_of
from services.auth.tests.integration.visits import (
    ANNA,
    PASSWORD,
    bearer,
    events,
    log_in,
    refresh,
    register,
)
from tonearm_auth.bootstrap import Parts, make_app
from tonearm_kit.db import Connection
from tonearm_kit.idempotency import Claim, PostgresIdempotency, Reply
from tonearm_kit.tokens import StaticKeys, TokenVerifier

pytestmark = pytest.mark.integration


async def test_register_log_in_refresh_log_out(parts: Parts, http: httpx.AsyncClient) -> None:
    made = await register(http, "Anna@Example.org")
    assert made.status_code == 201
    assert made.headers["location"] == "/v1/auth/me"
    assert made.json()["email"] == ANNA
    assert "password" not in made.text
    tokens = await log_in(http)
    assert (tokens["token_type"], tokens["expires_in"]) == ("Bearer", 900)
    me = await http.get("/v1/auth/me", headers=bearer(tokens))
    assert me.json()["last_login_at"] is not None
    fresh = (await refresh(http, tokens["refresh_token"])).json()
    assert fresh["session_id"] == tokens["session_id"]
    usage = (await http.get("/v1/auth/usage", headers=bearer(fresh))).json()
    assert {line["name"]: line["limit"] for line in usage["limits"]} == {
        "uploads_per_day": 50,
        "stored_bytes": 2 * 1024**3,
        "analysed_audio_s_per_month": 36000,
        "file_bytes": 100 * 1024**2,
    }
    assert (await http.post("/v1/auth/logout", headers=bearer(fresh))).status_code == 204
    dead = await http.get("/v1/auth/me", headers=bearer(fresh))
    assert (dead.status_code, dead.json()["code"]) == (401, "session_ended")
    assert (await refresh(http, fresh["refresh_token"])).status_code == 401
    assert [kind for kind, _ in await events(parts)] == [
        "tonearm.account.registered.v1",
        "tonearm.account.session_revoked.v1",
    ]


async def test_a_token_opens_what_the_published_keys_say(
    parts: Parts, http: httpx.AsyncClient
) -> None:
    await register(http)
    tokens = await log_in(http)
    keys = await http.get("/.well-known/jwks.json")
    assert keys.headers["cache-control"] == "public, max-age=300"
    assert all("d" not in key for key in keys.json()["keys"])
    header = jwt.get_unverified_header(tokens["access_token"])
    assert (header["alg"], header["typ"]) == ("ES256", "at+jwt")
    # As any client of the standard does it ...
    key = PyJWKSet.from_dict(keys.json())[header["kid"]]
    claims = jwt.decode(
        tokens["access_token"],
        key.key,
        algorithms=["ES256"],
        audience="tonearm",
        issuer=parts.settings.token_issuer,
    )
    assert claims["exp"] - claims["iat"] == 900
    assert {"sub", "sid", "jti", "nbf", "plan", "beta", "admin"} <= set(claims)
    # ... and as the other services do.
    verifier = TokenVerifier(
        StaticKeys(keys.json()), issuer=parts.settings.token_issuer, audience="tonearm"
    )
    principal = await verifier.verify(tokens["access_token"])
    assert principal.session_id == tokens["session_id"]


def _signed_with_the_public_key(
    header: dict[str, Any], claims: dict[str, Any], *, key: bytes
) -> str:
    """Return a token as made by somebody who hopes that HMAC is taken for ES256."""
    parts = [urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, claims)]
    digest = hmac.digest(key, b".".join(parts), "sha256")
    return b".".join([*parts, urlsafe_b64encode(digest).rstrip(b"=")]).decode()


def _signed_by_a_stranger(header: dict[str, Any], claims: dict[str, Any]) -> str:
    """Return a token that brings its own key along, and says where to find more."""
    key = generate_private_key(SECP256R1())
    named = {
        "jwk": json.loads(ECAlgorithm.to_jwk(key.public_key())),
        "jku": "https://evil.example/jwks.json",
        "x5u": "https://evil.example/cert.pem",
    }
    return jwt.encode(claims, key, algorithm="ES256", headers={**header, **named})


async def test_forged_tokens_open_nothing(parts: Parts, http: httpx.AsyncClient) -> None:
    await register(http)
    tokens = await log_in(http)
    good = tokens["access_token"]
    header = {k: v for k, v in jwt.get_unverified_header(good).items() if k != "alg"}
    claims = jwt.decode(good, options={"verify_signature": False})
    public = json.dumps((await http.get("/.well-known/jwks.json")).json()["keys"][0])
    head, body, signature = good.split(".")
    forged = [
        jwt.encode(claims, key="", algorithm="none", headers=header),
        _signed_with_the_public_key({**header, "alg": "HS256"}, claims, key=public.encode()),
        _signed_by_a_stranger(header, claims),
        f"{head}.{body}.",
        f"{head}.{body}.{'A' * len(signature)}",
        f"{head}.{jwt.encode(claims | {'admin': True}, 'x' * 32).split('.')[1]}.{signature}",
        tokens["refresh_token"],
        "",
        "a.b.c",
        "x" * 10_000,
    ]
    for token in forged:
        response = await http.get("/v1/auth/me", headers={"Authorization": f"Bearer {token}"})
        assert response.status_code == 401, token[:60]
        assert response.headers["content-type"] == "application/problem+json"
        assert "www-authenticate" in response.headers
    assert (await http.get("/v1/auth/me")).status_code == 401


async def test_many_refreshes_at_once_agree_on_one_child(
    parts: Parts, http: httpx.AsyncClient
) -> None:
    await register(http)
    tokens = await log_in(http)
    answers = await asyncio.gather(*(refresh(http, tokens["refresh_token"]) for _ in range(12)))
    assert [answer.status_code for answer in answers] == [200] * 12
    assert len({answer.json()["refresh_token"] for answer in answers}) == 1
    assert len(await events(parts)) == 1


async def test_a_stolen_refresh_token_ends_the_family(
    parts: Parts, http: httpx.AsyncClient
) -> None:
    await register(http)
    first = await log_in(http)
    second = (await refresh(http, first["refresh_token"])).json()
    third = (await refresh(http, second["refresh_token"])).json()
    stolen = await asyncio.gather(*(refresh(http, first["refresh_token"]) for _ in range(5)))
    assert {answer.status_code for answer in stolen} == {401}
    assert (await refresh(http, third["refresh_token"])).status_code == 401
    assert (await http.get("/v1/auth/me", headers=bearer(third))).status_code == 401
    told = [event for kind, event in await events(parts) if kind.endswith("session_revoked.v1")]
    assert told == [
        {
            "account_id": told[0]["account_id"],
            "session_id": first["session_id"],
            "reason": "refresh_reuse",
        }
    ]


async def test_nothing_that_opens_a_door_is_stored_in_the_clear(
    parts: Parts, http: httpx.AsyncClient
) -> None:
    await register(http)
    tokens = await log_in(http)
    child = (await refresh(http, tokens["refresh_token"])).json()["refresh_token"]
    async with parts.db.acquire() as conn:
        tables = await conn.fetch(
            "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
        )
        dump = ""
        for table in tables:
            rows = await conn.fetch(f'SELECT t::text FROM "{table["tablename"]}" t')  # noqa: S608
            dump += "\n".join(row[0] for row in rows)
    assert ANNA in dump
    for secret in (PASSWORD, tokens["refresh_token"], child, tokens["access_token"]):
        assert secret not in dump
        assert secret.encode().hex() not in dump
    assert "PRIVATE" not in dump


async def test_a_repeated_registration_is_answered_again(http: httpx.AsyncClient) -> None:
    first = await register(http, **{"Idempotency-Key": '"k1"'})
    again = await register(http, **{"Idempotency-Key": '"k1"'})
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert again.headers["idempotency-replayed"] == "true"
    other = await http.post(
        "/v1/auth/register",
        json={"email": ANNA, "password": "another fine phrase"},
        headers={"Idempotency-Key": '"k1"'},
    )
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    without = await register(http)
    assert (without.status_code, without.json()["code"]) == (409, "email_taken")


class _DyingIdempotency(PostgresIdempotency):
    """The keys of a process that is killed right after its work was committed."""

    async def complete(self, claim: Claim, reply: Reply, *, conn: Connection | None = None) -> None:
        if conn is None:
            raise RuntimeError("killed")
        await super().complete(claim, reply, conn=conn)

    async def abandon(self, claim: Claim) -> None:
        raise RuntimeError("killed")


async def test_an_answer_is_stored_with_the_account_it_tells_of(
    parts: Parts, http: httpx.AsyncClient
) -> None:
    dying = replace(parts, idempotency=_DyingIdempotency(parts.db, clock=parts.clock))
    async with client_of(dying) as killed:
        assert (await register(killed, **{"Idempotency-Key": '"k"'})).status_code == 500
    again = await register(http, **{"Idempotency-Key": '"k"'})
    assert (again.status_code, again.headers["idempotency-replayed"]) == (201, "true")


async def test_a_deleted_account_is_gone(parts: Parts, http: httpx.AsyncClient) -> None:
    made = await register(http)
    tokens = await log_in(http)
    mine = bearer(tokens)
    wrong = await http.post("/v1/auth/me/delete", json={"password": "no"}, headers=mine)
    assert wrong.status_code == 401
    gone = await http.post("/v1/auth/me/delete", json={"password": PASSWORD}, headers=mine)
    assert gone.status_code == 204
    assert (await http.get("/v1/auth/me", headers=mine)).status_code == 401
    assert (await refresh(http, tokens["refresh_token"])).status_code == 401
    told = await events(parts)
    assert told[-1] == ("tonearm.account.deleted.v1", {"account_id": made.json()["id"]})
    assert (await register(http)).status_code == 201


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"email": ANNA, "password": "seven77"}, 422, "password_rejected"),
        ({"email": ANNA, "password": "password123"}, 422, "password_rejected"),
        ({"email": ANNA, "password": "x" * 257}, 422, "password_rejected"),
        ({"email": ANNA, "password": "x" * 2000}, 422, "invalid_request"),
        ({"email": "anna", "password": PASSWORD}, 422, "email_invalid"),
        ({"email": ANNA}, 422, "invalid_request"),
        ({"email": ANNA, "password": 12345678}, 422, "invalid_request"),
    ],
)
async def test_a_bad_registration_says_why_and_repeats_nothing(
    http: httpx.AsyncClient, body: dict[str, Any], status: int, code: str
) -> None:
    response = await http.post("/v1/auth/register", json=body)
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert response.headers["content-type"] == "application/problem+json"
    assert str(body.get("password", "-none-")) not in response.text


async def test_a_long_password_is_not_cut(http: httpx.AsyncClient) -> None:
    long = "x" * 100
    made = await http.post("/v1/auth/register", json={"email": ANNA, "password": long + "1"})
    assert made.status_code == 201
    wrong = await http.post("/v1/auth/login", json={"email": ANNA, "password": long + "2"})
    assert wrong.status_code == 401
    right = await http.post("/v1/auth/login", json={"email": ANNA, "password": long + "1"})
    assert right.status_code == 200


async def test_sessions_show_where_from_and_end_one_by_one(http: httpx.AsyncClient) -> None:
    await register(http)
    one = await http.post(
        "/v1/auth/login",
        json={"email": ANNA, "password": PASSWORD},
        headers={"User-Agent": "Phone\x07/1", "X-Forwarded-For": "6.6.6.6, 203.0.113.9"},
    )
    two = await log_in(http)
    listed = (await http.get("/v1/auth/sessions", headers=bearer(two))).json()["items"]
    assert [each["is_current"] for each in listed] == [True, False]
    assert (listed[1]["user_agent"], listed[1]["address"]) == ("Phone/1", "203.0.113.9")
    gone = await http.delete(f"/v1/auth/sessions/{listed[1]['id']}", headers=bearer(two))
    assert gone.status_code == 204
    assert (await refresh(http, one.json()["refresh_token"])).status_code == 401
    again = await http.delete(f"/v1/auth/sessions/{listed[1]['id']}", headers=bearer(two))
    assert (again.status_code, again.json()["code"]) == (404, "session_not_found")


async def test_guessing_one_account_is_slowed(parts: Parts, http: httpx.AsyncClient) -> None:
    await register(http)
    [attempts] = [each for each in parts.policies.all() if each.name == "login-attempts"]
    wrong = {"email": ANNA, "password": "wrong horse battery"}
    answers = [
        (await http.post("/v1/auth/login", json=wrong)).status_code
        for _ in range(attempts.pace.burst)
    ]
    assert set(answers) == {401}
    slowed = await http.post("/v1/auth/login", json={"email": ANNA, "password": PASSWORD})
    assert (slowed.status_code, slowed.json()["code"]) == (429, "too_many_logins")
    assert int(slowed.headers["retry-after"]) >= 1
    other = await http.post("/v1/auth/login", json=wrong | {"email": "bert@example.org"})
    assert other.status_code == 401


async def test_the_api_describes_itself(parts: Parts) -> None:
    described = make_app(parts).openapi()
    assert {"/v1/auth/register", "/ofrep/v1/evaluate/flags", "/.well-known/jwks.json"} <= set(
        described["paths"]
    )
