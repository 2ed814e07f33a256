"""The gateway by its behaviour: limiter > CORS > token > limiter by account > endpoint."""

import base64
import json
import re
import secrets
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import websockets

from tonearm_local import gateway
from tonearm_local.settings import SERVICES
from tonearm_local.testing import Stack

pytestmark = [pytest.mark.integration]

ORIGIN = "http://localhost:5173"
PROBLEMS = "https://tonearm.dev/problems/"
LOG_S = 15.0
INNER = {"/livez", "/readyz", "/metrics"}
"""What a service offers to its operators alone."""


@pytest.fixture
def api(stack: Stack, client_address: str) -> Iterator[httpx.Client]:
    """A client with an address, and so with limits, of its own."""
    headers = {"X-Forwarded-For": client_address}
    with httpx.Client(base_url=stack.gateway_url, headers=headers, timeout=30) as client:
        yield client


@pytest.fixture
def token(api: httpx.Client) -> str:
    who = {"email": f"g-{secrets.token_hex(6)}@example.org", "password": secrets.token_urlsafe(18)}
    registered = api.post("/v1/auth/register", json={**who, "full_name": "Gustav"})
    assert registered.status_code == 201, registered.text
    session = api.post("/v1/auth/login", json=who)
    assert session.status_code == 200, session.text
    found: str = session.json()["access_token"]
    return found


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def forged(claims: dict[str, Any], **header: str) -> str:
    parts = [{"typ": "at+jwt", "alg": "ES256", "kid": "k", **header}, claims]
    words = [base64.urlsafe_b64encode(json.dumps(p).encode()).rstrip(b"=").decode() for p in parts]
    return ".".join([*words, base64.urlsafe_b64encode(b"0" * 64).rstrip(b"=").decode()])


def preflight(api: httpx.Client, path: str, origin: str = ORIGIN) -> httpx.Response:
    headers = {"Origin": origin, "Access-Control-Request-Method": "GET"}
    return api.options(path, headers=headers)


def until_refused(ask: Callable[[], httpx.Response], n_max: int) -> tuple[int, httpx.Response]:
    """Ask until the answer is 429; how many passed before, and the refusal."""
    for n_passed in range(n_max):
        answer = ask()
        if answer.status_code == 429:
            return n_passed, answer
    raise AssertionError(f"{n_max} requests passed")


def assert_problem(answer: httpx.Response, status: int, code: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["type"] == PROBLEMS + code.replace("_", "-")
    assert body["status"] == status
    assert body["code"] == code
    assert body["title"]
    assert body["request_id"] == answer.headers["x-request-id"]


def test_the_limiter_by_address_stands_before_cors(api: httpx.Client) -> None:
    passed, refusal = until_refused(lambda: preflight(api, "/v1/audio"), 70)
    # One more may fall due while the sixty are sent.
    assert 60 <= passed <= 63
    assert_problem(refusal, 429, "too_many_requests")


def test_the_limiter_by_address_stands_before_the_token_check(api: httpx.Client) -> None:
    def ask() -> httpx.Response:
        answer = api.post("/v1/auth/login", headers=bearer("junk"), json={})
        assert answer.status_code in {401, 429}
        return answer

    passed, _ = until_refused(ask, 14)
    assert 10 <= passed <= 12


def test_cors_stands_before_the_token_check(api: httpx.Client) -> None:
    answer = preflight(api, "/v1/audio")
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    refused = api.get("/v1/audio", headers={"Origin": ORIGIN, **bearer("junk")})
    assert_problem(refused, 401, "token_invalid")
    assert refused.headers["access-control-allow-origin"] == ORIGIN
    assert "retry-after" in refused.headers["access-control-expose-headers"]


def test_a_foreign_origin_is_not_allowed(api: httpx.Client) -> None:
    answer = preflight(api, "/v1/audio", "https://evil.example")
    assert "access-control-allow-origin" not in answer.headers


def test_the_limiter_by_account_counts_verified_tokens_across_addresses(
    api: httpx.Client, token: str
) -> None:
    number = iter(range(250))

    def ask() -> httpx.Response:
        address = f"198.51.100.{next(number)}"
        answer = api.get("/v1/auth/me", headers={**bearer(token), "X-Forwarded-For": address})
        assert answer.status_code in {200, 429}
        return answer

    passed, refusal = until_refused(ask, 80)
    assert 60 <= passed <= 64
    assert_problem(refusal, 429, "too_many_requests")
    # Another account at the refused one's last address is served.
    assert api.get("/v1/audio", headers=bearer("junk")).status_code == 401


def test_a_forged_token_does_not_eat_the_limit_of_its_subject(
    api: httpx.Client, token: str
) -> None:
    account = api.get("/v1/auth/me", headers=bearer(token)).json()["id"]
    before = int(api.get("/v1/auth/me", headers=bearer(token)).headers["x-ratelimit-remaining"])
    for _ in range(10):
        assert api.get("/v1/auth/me", headers=bearer(forged({"sub": account}))).status_code == 401
    after = int(api.get("/v1/auth/me", headers=bearer(token)).headers["x-ratelimit-remaining"])
    assert after >= before - 1


def test_an_ended_session_opens_no_service_though_its_token_looks_good(
    api: httpx.Client, token: str
) -> None:
    assert api.get("/v1/audio", headers=bearer(token)).status_code == 200
    assert api.post("/v1/auth/logout", headers=bearer(token)).status_code == 204
    give_up_at = time.monotonic() + 10
    while (answer := api.get("/v1/audio", headers=bearer(token))).status_code == 200:
        assert time.monotonic() < give_up_at, "the token still opens the library"
    assert_problem(answer, 401, "session_ended")


def test_limits_are_told_once_each(api: httpx.Client, token: str) -> None:
    answer = api.get("/v1/auth/me", headers=bearer(token))
    assert answer.status_code == 200
    for name in ("ratelimit", "ratelimit-policy", "x-ratelimit-limit", "x-ratelimit-remaining"):
        assert len(answer.headers.get_list(name)) == 1, (name, answer.headers.get_list(name))
    assert "account" in answer.headers["ratelimit-policy"]


def test_a_refusal_tells_when_to_come_back(api: httpx.Client) -> None:
    _, refusal = until_refused(lambda: api.get("/.well-known/jwks.json"), 70)
    assert 1 <= int(refusal.headers["retry-after"]) <= 60
    assert "ratelimit" in refusal.headers
    assert "ratelimit-policy" in refusal.headers
    assert refusal.json()["violated-policies"] == ["address-minute"]


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "token_missing"),
        (bearer("junk"), "token_invalid"),
        (bearer(forged({"iss": "http://127.0.0.1:8080", "aud": "tonearm"})), "token_invalid"),
        (bearer(forged({"iss": "https://evil.example", "sub": "x"})), "token_invalid"),
        (bearer(forged({"sub": "x"}, alg="none")), "token_invalid"),
        (bearer(forged({"sub": "x"}, alg="HS256")), "token_invalid"),
    ],
)
def test_no_good_token_is_401(api: httpx.Client, headers: dict[str, str], code: str) -> None:
    answer = api.get("/v1/audio", headers=headers)
    assert_problem(answer, 401, code)
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_a_bad_token_is_refused_even_where_none_is_needed(api: httpx.Client) -> None:
    assert api.get("/.well-known/jwks.json").status_code == 200
    answer = api.get("/.well-known/jwks.json", headers=bearer("junk"))
    assert_problem(answer, 401, "token_invalid")


def test_a_body_over_the_limit_is_refused_by_its_length(stack: Stack, client_address: str) -> None:
    # By hand: the refusal must come before the body, which is never sent.
    import http.client

    host, port = stack.gateway_url.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    connection.putrequest("POST", "/v1/auth/login")
    for name, value in (
        ("X-Forwarded-For", client_address),
        ("Content-Type", "application/json"),
        ("Content-Length", str(1024 * 1024 + 1)),
    ):
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    body = json.loads(answer.read())
    connection.close()
    assert answer.status == 413
    assert answer.headers["content-type"] == "application/problem+json"
    assert body["type"] == f"{PROBLEMS}body-too-large"


def offers(document: dict[str, Any]) -> list[tuple[str, str]]:
    """Method and path of all that an OpenAPI document describes, with x for every parameter."""
    return [
        (method.upper(), re.sub(r"\{[^}]*\}", "x", path))
        for path, item in document["paths"].items()
        for method in item
        if path not in INNER
    ]


def test_no_route_leads_to_an_address_that_nobody_serves(stack: Stack) -> None:
    led = {"websocket", "openapi"}  # no HTTP route of a service; the descriptions themselves
    for service in SERVICES:
        document = httpx.get(f"{stack.service_url(service)}/openapi.json").json()
        for method, path in offers(document):
            route = gateway.find_route(method, path)
            led |= {route["name"]} if route else set()
    assert {route["name"] for route in gateway.routes()} == led


@pytest.mark.parametrize("service", SERVICES)
def test_all_that_a_service_offers_is_let_through_to_it(
    stack: Stack, api: httpx.Client, service: str
) -> None:
    document = httpx.get(f"{stack.service_url(service)}/openapi.json").json()
    described = api.get(f"/openapi/{service}.json")
    assert described.json() == document
    assert described.headers["x-content-type-options"] == "nosniff"
    offered = offers(document)
    assert offered
    for method, path in offered:
        route = gateway.find_route(method, path)
        assert route is not None, f"{method} {path} is not let through"
        assert route["service"] == service, f"{method} {path} goes to {route['service']}"


async def test_server_sent_events_pass_at_once_and_last(
    stack: Stack, client_address: str, token: str
) -> None:
    headers = {"X-Forwarded-For": client_address, **bearer(token)}
    async with (
        httpx.AsyncClient(base_url=stack.gateway_url, headers=headers, timeout=10) as client,
        client.stream("GET", "/v1/events") as answer,
    ):
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        first = await anext(answer.aiter_lines())
        assert first


def test_an_unknown_address_is_a_problem(api: httpx.Client) -> None:
    assert_problem(api.get("/nothing/here"), 404, "not_found")


def test_an_escaped_slash_is_refused(api: httpx.Client) -> None:
    answer = api.get("/v1/audio%2F..%2Fadmin")
    # Before the request has an id.
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_request")


def test_it_lives(api: httpx.Client) -> None:
    answer = api.get("/livez")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def logged(stack: Stack, request_id: str) -> dict[str, Any]:
    """The access log's line of a request; Envoy writes it within a second or so."""
    deadline = time.monotonic() + LOG_S
    while time.monotonic() < deadline:
        for line in stack.log("gateway-access").splitlines():
            entry: dict[str, Any] = json.loads(line)
            if entry["request_id"] == request_id:
                return entry
        time.sleep(0.2)
    raise AssertionError(f"request {request_id} was not logged")


def test_a_request_is_logged_as_json_without_its_query(
    stack: Stack, api: httpx.Client, client_address: str
) -> None:
    answer = api.get("/v1/audio?token=secret")
    entry = logged(stack, answer.headers["x-request-id"])
    assert (entry["method"], entry["path"], entry["status"]) == ("GET", "/v1/audio", 401)
    assert entry["route"] == "audio"
    assert entry["client"] == client_address
    assert "secret" not in json.dumps(entry)


def test_a_trace_is_continued_or_started(stack: Stack, api: httpx.Client) -> None:
    trace_id = secrets.token_hex(16)
    traceparent = f"00-{trace_id}-{secrets.token_hex(8)}-01"
    continued = api.get("/.well-known/jwks.json", headers={"traceparent": traceparent})
    assert logged(stack, continued.headers["x-request-id"])["trace_id"] == trace_id
    started = api.get("/.well-known/jwks.json")
    assert len(logged(stack, started.headers["x-request-id"])["trace_id"]) == 32


def test_a_clients_word_about_inner_matters_is_dropped(stack: Stack, api: httpx.Client) -> None:
    trace_id = secrets.token_hex(16)
    answer = api.get(
        "/.well-known/jwks.json",
        headers={"X-Request-Id": "mine", "X-B3-TraceId": trace_id, "X-B3-SpanId": trace_id[:16]},
    )
    assert answer.headers["x-request-id"] != "mine"
    assert logged(stack, answer.headers["x-request-id"])["trace_id"] != trace_id


async def test_only_the_websocket_route_upgrades(stack: Stack, client_address: str) -> None:
    base = stack.gateway_url.replace("http", "ws", 1)
    headers = {"X-Forwarded-For": client_address}
    async with websockets.connect(f"{base}/connection/websocket", additional_headers=headers) as ws:
        assert ws.response is not None
        assert ws.response.status_code == 101
    with pytest.raises(websockets.InvalidStatus) as refused:
        await websockets.connect(f"{base}/v1/auth/me", additional_headers=headers)
    assert refused.value.response.status_code == 403
