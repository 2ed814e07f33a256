"""The HTTP door, without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import APIRouter, FastAPI, Request, Response
from opentelemetry.trace import SpanKind, StatusCode
from pydantic import BaseModel

from tonearm_kit.db import DatabaseAway
from tonearm_kit.errors import AppError, Kind, RemoteError
from tonearm_kit.http import Check, create_app, problems
from tonearm_kit.testing.spans import Spans
from tonearm_kit.tokens import Caller, StaticKeys, TokenVerifier

PROBLEM = "application/problem+json"


class RecordMissing(AppError):
    """There is no such record."""

    code, kind = "record_missing", Kind.NOT_FOUND


class Busy(AppError):
    """The deck is busy."""

    code, kind, retryable = "busy", Kind.EXHAUSTED, True


class TooFast(AppError):
    """No record turns as fast."""

    code, kind = "too_fast", Kind.INVALID


class Scratched(AppError):
    """A protocol has a word of its own for this."""

    code, kind, http_status = "scratched", Kind.INVALID, 460


class Speed(BaseModel):
    rpm: int


def records() -> APIRouter:
    router = APIRouter(prefix="/v1/records", tags=["records"])

    @router.get("/{record_id}", responses=problems(RecordMissing, Busy))
    async def play(record_id: str) -> dict[str, str]:
        """Play a record. From `/v1/records`, side A first."""
        raise RecordMissing(f"no record {record_id}", record_id=record_id)

    @router.patch("/{record_id}")
    async def change(record_id: str) -> None:
        return None

    @router.post("/busy")
    async def busy() -> None:
        raise Busy(retry_after_s=1.2)

    @router.post("/boom")
    async def boom() -> None:
        raise ValueError("password=hunter2")

    @router.post("/scratch", responses=problems(Scratched))
    async def scratch() -> None:
        raise Scratched

    @router.post("/remote")
    async def remote() -> None:
        raise RemoteError("the other side said so", code="quota_exceeded", kind=Kind.EXHAUSTED)

    @router.post("/speed", responses=problems(TooFast))
    async def speed(speed: Speed) -> Speed:
        return speed

    @router.put("/bytes")
    async def count(request: Request) -> dict[str, int]:
        return {"size_bytes": sum([len(chunk) async for chunk in request.stream()])}

    @router.get("/mine/all")
    async def mine(caller: Caller) -> str:
        return caller.account_id

    return router


def sleeves() -> APIRouter:
    router = APIRouter(prefix="/v1/sleeves")

    @router.get("/one")
    async def show(response: Response, tag: str = "", keep: str = "") -> None:
        for name, value in (("ETag", tag), ("Cache-Control", keep)):
            if value:
                response.headers[name] = value

    return router


@pytest.fixture
def app() -> FastAPI:
    return create_app(
        title="Deck",
        version="1",
        routers=[records(), sleeves()],
        body_size_bytes_max=1000,
        body_size_bytes_max_by_prefix={"/v1/records/bytes": 5000},
        verifier=TokenVerifier(StaticKeys({"keys": []}), issuer="i", audience="a"),
    )


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app), base_url="http://deck"
    ) as made:
        yield made


async def chunks(count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b"x" * 100


async def test_an_app_error_is_a_problem_with_its_members(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/records/7")
    assert (answer.status_code, answer.headers["content-type"]) == (404, PROBLEM)
    body = answer.json()
    assert body["type"] == "https://tonearm.dev/problems/record-missing"
    assert (body["title"], body["detail"]) == ("There is no such record.", "no record 7")
    assert (body["status"], body["record_id"]) == (404, "7")
    assert body["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("DELETE", "/v1/records/speed", 405, "method_not_allowed"),
        ("POST", "/v1/records/boom", 500, "internal_error"),
        ("POST", "/v1/records/remote", 429, "quota_exceeded"),
        ("GET", "/v1/records/mine/all", 401, "token_missing"),
    ],
)
async def test_every_failure_is_a_problem(
    client: httpx.AsyncClient, method: str, path: str, status: int, code: str
) -> None:
    answer = await client.request(method, path)
    assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM)
    assert answer.json()["code"] == code
    assert "hunter2" not in answer.text


async def test_a_wrong_method_says_which_are_right(client: httpx.AsyncClient) -> None:
    answer = await client.delete("/v1/records/busy")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"
    answer = await client.delete("/v1/records/7")
    assert answer.headers["allow"] == "GET, PATCH"


async def test_a_slash_too_many_is_not_redirected(client: httpx.AsyncClient) -> None:
    assert (await client.post("/v1/records/busy/")).status_code == 404


async def test_a_database_that_is_away_is_503_and_not_a_bug() -> None:
    router = APIRouter()

    @router.get("/rows")
    async def rows() -> None:
        raise DatabaseAway("no connection to Postgres")

    app = create_app(title="t", version="1", routers=[router])
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app), base_url="http://t"
    ) as client:
        answer = await client.get("/rows")
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert answer.headers["retry-after"] == "1"


async def test_a_wrong_shape_says_where_without_repeating_the_value(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.post("/v1/records/speed", json={"rpm": "s3cret"})
    assert (answer.status_code, answer.headers["content-type"]) == (422, PROBLEM)
    [error] = answer.json()["errors"]
    assert (error["in"], error["pointer"], error["type"]) == ("body", "/rpm", "int_parsing")
    assert "s3cret" not in answer.text


async def test_broken_json_is_a_wrong_shape(client: httpx.AsyncClient) -> None:
    headers = {"content-type": "application/json"}
    answer = await client.post("/v1/records/speed", content=b"{oops", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    [error] = answer.json()["errors"]
    assert (error["in"], error["pointer"]) == ("body", ""), "a place in a text is no pointer"
    assert error["detail"].startswith("The body is not JSON, at character 2: ")
    assert "oops" not in answer.text


async def test_a_body_of_another_type_is_told_which_one_to_send(client: httpx.AsyncClient) -> None:
    headers = {"content-type": "text/plain"}
    answer = await client.post("/v1/records/speed", content=b'{"rpm": 33}', headers=headers)
    assert answer.status_code == 422
    [error] = answer.json()["errors"]
    assert "`Content-Type: application/json`" in error["detail"]


async def test_when_to_come_back_is_a_header_in_whole_seconds(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/records/busy")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "2")


async def test_no_token_challenges(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/records/mine/all", headers={"authorization": "Bearer a.b.c"})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer error="token_invalid"'


async def test_a_declared_size_over_the_limit_is_refused_unread(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/records/speed", content=b"x" * 1001)
    assert (answer.status_code, answer.headers["content-type"]) == (413, PROBLEM)
    assert (answer.json()["code"], answer.json()["size_bytes_max"]) == ("body_too_large", 1000)


@pytest.mark.parametrize("path", ["/v1/records/speed", "/v1/records/bytes"])
async def test_a_body_that_grows_past_the_limit_is_cut_off(
    client: httpx.AsyncClient, path: str
) -> None:
    method = "PUT" if path.endswith("bytes") else "POST"
    answer = await client.request(method, path, content=chunks(60))
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


async def test_a_prefix_has_a_limit_of_its_own(client: httpx.AsyncClient) -> None:
    answer = await client.put("/v1/records/bytes", content=chunks(50))
    assert (answer.status_code, answer.json()) == (200, {"size_bytes": 5000})


async def test_a_sane_request_id_is_kept_and_others_replaced(client: httpx.AsyncClient) -> None:
    kept = await client.get("/nowhere", headers={"x-request-id": "abc-123"})
    assert kept.headers["x-request-id"] == "abc-123"
    replaced = await client.get("/nowhere", headers={"x-request-id": "a b" * 100})
    assert len(replaced.headers["x-request-id"]) == 36


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/v1/sleeves/one", "private, no-store"),
        ("/v1/sleeves/one?tag=x", "private, no-cache"),
        ("/v1/sleeves/one?keep=public,max-age%3D9", "public,max-age=9"),
        ("/v1/sleeves/one?tag=x&keep=no-store", "no-store"),
        ("/v1/records/mine/all", "private, no-store"),
        ("/v1/records/7", "private, no-store"),
        ("/nowhere", "private, no-store"),
    ],
)
async def test_nobody_else_keeps_an_answer_unless_it_says_so(
    client: httpx.AsyncClient, path: str, told: str
) -> None:
    answer = await client.get(path)
    assert answer.headers.get_list("cache-control") == [told]


async def test_what_failed_or_was_too_large_is_kept_by_nobody(client: httpx.AsyncClient) -> None:
    for content in (b"", b"x" * 1001):
        answer = await client.post("/v1/records/boom", content=content)
        assert answer.status_code in (500, 413)
        assert answer.headers.get_list("cache-control") == ["private, no-store"]


async def test_the_span_continues_the_trace_and_names_the_route(
    client: httpx.AsyncClient, spans: Spans
) -> None:
    trace_id, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    await client.get("/v1/records/7", headers={"traceparent": f"00-{trace_id}-{parent}-01"})
    span = spans.one("GET /v1/records/{record_id}")
    assert span.context is not None
    assert span.parent is not None
    assert format(span.context.trace_id, "032x") == trace_id
    assert format(span.parent.span_id, "016x") == parent
    assert span.kind is SpanKind.SERVER
    assert span.status.status_code is StatusCode.UNSET
    attributes = dict(span.attributes or {})
    assert attributes["http.route"] == "/v1/records/{record_id}"
    assert attributes["http.response.status_code"] == 404
    assert attributes["url.path"] == "/v1/records/7"


async def test_a_bug_marks_its_span(client: httpx.AsyncClient, spans: Spans) -> None:
    await client.post("/v1/records/boom")
    span = spans.one("POST /v1/records/boom")
    assert span.status.status_code is StatusCode.ERROR
    assert (span.attributes or {})["error.type"] == "ValueError"


async def test_probes_leave_no_span(client: httpx.AsyncClient, spans: Spans) -> None:
    for path in ("/livez", "/readyz", "/metrics"):
        assert (await client.get(path)).status_code == 200
    assert spans.names() == []


async def test_the_description_speaks_of_problems_only(client: httpx.AsyncClient) -> None:
    schema = (await client.get("/openapi.json")).json()
    assert "Problem" in schema["components"]["schemas"]
    assert "HTTPValidationError" not in schema["components"]["schemas"]
    responses = schema["paths"]["/v1/records/{record_id}"]["get"]["responses"]
    assert list(responses["404"]["content"]) == [PROBLEM]
    assert "busy" in responses["429"]["description"]
    assert "/livez" not in schema["paths"]


async def test_the_description_names_what_the_doors_refuse(client: httpx.AsyncClient) -> None:
    paths = (await client.get("/openapi.json")).json()["paths"]
    mine = paths["/v1/records/mine/all"]["get"]
    assert mine["security"] == [{"access_token": []}]
    told = mine["responses"]["401"]["content"][PROBLEM]["examples"]
    assert set(told) == {"token_missing", "token_invalid", "token_expired"}
    assert "422" not in mine["responses"], "it takes nothing that could be wrong"
    speed = paths["/v1/records/speed"]["post"]["responses"]
    assert set(speed["413"]["content"][PROBLEM]["examples"]) == {"body_too_large"}
    assert set(speed["422"]["content"][PROBLEM]["examples"]) == {"too_fast", "invalid_request"}


async def test_the_description_reads_well_in_generated_clients(client: httpx.AsyncClient) -> None:
    paths = (await client.get("/openapi.json")).json()["paths"]
    one = paths["/v1/records/{record_id}"]["get"]
    assert one["operationId"] == "play"
    assert one["summary"] == "Play a record"
    assert one["description"] == "From `/v1/records`, side A first."


async def test_an_example_of_a_problem_is_what_is_answered(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    responses = document["paths"]["/v1/records/{record_id}"]["get"]["responses"]
    example = responses["404"]["content"][PROBLEM]["examples"]["record_missing"]["value"]
    answer = (await client.get("/v1/records/7")).json()
    for member in ("type", "title", "status", "code"):
        assert example[member] == answer[member]


async def ready(app: FastAPI) -> httpx.Response:
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://deck") as client:
        return await client.get("/readyz")


async def fine() -> None:
    return


async def broken() -> None:
    raise ConnectionError("postgresql://u:hunter2@db")


async def stuck() -> None:
    await asyncio.Event().wait()


async def test_readiness_names_what_is_broken_and_nothing_more() -> None:
    checks = [Check("db", fine), Check("kafka", broken), Check("auth", stuck, timeout_s=0.01)]
    answer = await ready(create_app(title="t", version="1", routers=[], readiness=checks))
    assert answer.status_code == 503
    told = answer.json()["checks"]
    assert told["db"]["ok"]
    assert told["kafka"]["reason"] == "ConnectionError"
    assert told["auth"]["reason"] == "no answer within 0.01 s"
    assert "hunter2" not in answer.text


async def test_a_draining_app_is_not_ready() -> None:
    app = create_app(title="t", version="1", routers=[], readiness=[Check("db", fine)])
    assert (await ready(app)).status_code == 200
    app.state.draining = True
    answer = await ready(app)
    assert (answer.status_code, answer.json()["status"]) == (503, "draining")


async def test_a_protocol_may_have_a_status_of_its_own(client: httpx.AsyncClient) -> None:
    response = await client.post("/v1/records/scratch")
    assert (response.status_code, response.json()["status"]) == (460, 460)
    described = (await client.get("/openapi.json")).json()
    responses = described["paths"]["/v1/records/scratch"]["post"]["responses"]
    assert (
        responses["460"]["description"] == "`scratched`: A protocol has a word of its own for this."
    )
