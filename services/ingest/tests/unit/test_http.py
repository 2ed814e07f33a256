from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import httpx
import pytest
from fastapi import FastAPI

from tonearm_ingest.domain.errors import EntitlementsUnavailable, QuotaExceeded
from tonearm_ingest.entrypoints import http
from tonearm_ingest.entrypoints.gate import UploadGate
from tonearm_ingest.usecases.accept_upload import accept_upload
from tonearm_ingest.usecases.browse import download_audio, get_audio, list_audio
from tonearm_ingest.usecases.delete_audio import delete_audio
from tonearm_ingest.usecases.ports import LooseObject
from tonearm_kit import idempotency, tokens
from tonearm_kit.http import create_app

from .world import WAV, World


def make_app(world: World) -> FastAPI:
    begin = world.library.begin
    office = http.Office(
        accept=lambda cmd: accept_upload(cmd, intake=world.intake),
        get=partial(get_audio, begin=begin),
        browse=partial(list_audio, begin=begin),
        download=partial(
            download_audio, begin=begin, blobs=world.blobs, entitlements=world.entitlements
        ),
        delete=partial(delete_audio, begin=begin, blobs=world.blobs, clock=world.clock),
        gate=UploadGate(2, refused_body_bytes_max=1_000_000, refused_body_s_max=1.0),
        upload_idle_s_max=5.0,
    )
    app = create_app(
        title="ingest",
        version="1",
        routers=[http.routes(office)],
        body_size_bytes_max_by_prefix={"/v1/audio": 50_000},
    )

    async def principal() -> tokens.Principal:
        return tokens.Principal(
            account_id="anna",
            session_id="s",
            plan="free",
            is_beta=False,
            is_superuser=False,
            expires_at=datetime(2030, 1, 1, tzinfo=UTC),
            token_id="t",
        )

    app.dependency_overrides[tokens.current_caller] = principal
    return app


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def client(world: World) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(make_app(world))
    async with httpx.AsyncClient(transport=transport, base_url="http://ingest") as opened:
        yield opened


async def post(
    client: httpx.AsyncClient, content: bytes = WAV, *, name: str = "song.wav", key: str = ""
) -> httpx.Response:
    headers = {"Idempotency-Key": key} if key else {}
    return await client.post("/v1/audio", files={"file": (name, content)}, headers=headers)


async def test_an_upload_answers_with_the_recording(client: httpx.AsyncClient) -> None:
    response = await post(client, name="Größe.wav")
    assert response.status_code == 202
    body = response.json()
    assert response.headers["location"] == f"/v1/audio/{body['id']}"
    assert body["status"] == "uploaded"
    assert body["filename"] == "Größe.wav"
    assert body["media_type"] == "audio/wav"
    again = await client.get(response.headers["location"])
    assert again.json() == body
    assert again.headers["cache-control"] == "private, no-store"


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"", 422, "empty-file"),
        (b"just text", 415, "not-audio"),
        (WAV + bytes(20_000), 413, "file-too-large"),
        (WAV + bytes(60_000), 413, "body-too-large"),
    ],
)
async def test_bad_files_get_their_problem(
    client: httpx.AsyncClient, world: World, content: bytes, status: int, code: str
) -> None:
    response = await post(client, content)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["type"].endswith(code)
    assert world.is_untouched


async def test_bad_forms_get_their_problem(client: httpx.AsyncClient, world: World) -> None:
    plain = await client.post("/v1/audio", content=WAV, headers={"Content-Type": "audio/wav"})
    assert (plain.status_code, plain.json()["code"]) == (415, "not_multipart")
    other = await client.post("/v1/audio", files={"other": ("a.wav", WAV)})
    assert (other.status_code, other.json()["code"]) == (422, "file_missing")
    cut = await client.post(
        "/v1/audio",
        content=b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + WAV,
        headers={"Content-Type": "multipart/form-data; boundary=b"},
    )
    assert (cut.status_code, cut.json()["code"]) == (400, "malformed_multipart")
    assert world.is_untouched


async def test_refusals_tell_when_to_come_back(client: httpx.AsyncClient, world: World) -> None:
    world.entitlements.error = EntitlementsUnavailable(retry_after_s=2)
    response = await post(client)
    assert (response.status_code, response.headers["retry-after"]) == (503, "2")
    world.entitlements.error = QuotaExceeded(violated_limits=["uploads_per_day"])
    response = await post(client)
    assert response.status_code == 429
    assert response.json()["violated_limits"] == ["uploads_per_day"]


async def test_the_idempotency_key_replays(client: httpx.AsyncClient) -> None:
    first = await post(client, key='"k 1"')
    again = await post(client, key='"k 1"')
    assert again.json() == first.json()
    assert again.headers["idempotency-replayed"] == "true"
    other = await post(client, WAV + b"x", key='"k 1"')
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    bad = await post(client, key='"')
    assert bad.status_code == 400


async def test_the_key_of_an_upload_that_runs_is_refused_as_in_every_service(
    client: httpx.AsyncClient, world: World
) -> None:
    world.library.tables.loose["x"] = LooseObject(
        object_key="x",
        account_id="anna",
        sweep_after=world.clock.now() + timedelta(seconds=1),
        idempotency_key="k1",
    )
    refused = await post(client, key='"k1"')
    assert (refused.status_code, refused.headers["retry-after"]) == (409, "5")
    assert refused.json()["code"] == idempotency.RequestStillRunning.code


async def test_lists_go_by_cursor(client: httpx.AsyncClient) -> None:
    made = [(await post(client)).json()["id"] for _ in range(3)]
    first = (await client.get("/v1/audio", params={"limit": 2})).json()
    assert [item["id"] for item in first["items"]] == [made[2], made[1]]
    rest = await client.get("/v1/audio", params={"limit": 2, "cursor": first["next_cursor"]})
    assert [item["id"] for item in rest.json()["items"]] == [made[0]]
    assert rest.json()["next_cursor"] is None
    assert (await client.get("/v1/audio", params={"status": "failed"})).json()["items"] == []
    for bad in ({"limit": 0}, {"limit": 201}, {"status": "x"}, {"cursor": "x"}):
        assert (await client.get("/v1/audio", params=bad)).status_code == 422


async def test_a_page_holds_as_many_as_were_asked_for(
    client: httpx.AsyncClient, world: World
) -> None:
    audio = await world.has_audio()
    for number in range(210):
        made = replace(audio, id=f"{number:04d}", idempotency_key=None)
        world.library.tables.audio[made.id] = made
    page = (await client.get("/v1/audio", params={"limit": 200})).json()
    assert len(page["items"]) == 200
    refused = (await client.get("/v1/audio", params={"limit": 201})).json()
    assert (refused["status"], refused["code"]) == (422, "invalid_request")
    [error] = refused["errors"]
    assert (error["in"], error["pointer"]) == ("query", "/limit")
    assert "200" in error["detail"]


async def test_a_download_whole_in_part_or_not_at_all(client: httpx.AsyncClient) -> None:
    body = (await post(client, name='a "b" ü.wav')).json()
    url = body["links"]["download"]
    whole = await client.get(url)
    assert whole.content == WAV
    assert whole.headers["content-type"] == "audio/wav"
    assert whole.headers["content-length"] == str(len(WAV))
    assert whole.headers["etag"] == f'"{body["sha256"]}"'
    assert whole.headers["x-content-type-options"] == "nosniff"
    assert "filename*=UTF-8''a%20%22b%22%20%C3%BC.wav" in whole.headers["content-disposition"]
    part = await client.get(url, headers={"Range": "bytes=8-11"})
    assert (part.status_code, part.content) == (206, b"WAVE")
    assert part.headers["content-range"] == f"bytes 8-11/{len(WAV)}"
    changed = await client.get(url, headers={"Range": "bytes=8-11", "If-Range": '"other"'})
    assert changed.status_code == 200
    outside = await client.get(url, headers={"Range": "bytes=99999-"})
    assert outside.status_code == 416
    assert outside.headers["content-range"] == f"bytes */{len(WAV)}"
    assert outside.json()["request_id"] == outside.headers["x-request-id"]
    assert whole.headers["cache-control"] == "private, no-cache"
    same = await client.get(url, headers={"If-None-Match": whole.headers["etag"]})
    assert (same.status_code, same.content) == (304, b"")
    assert same.headers["cache-control"] == "private, no-cache"
    head = await client.head(url)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(WAV))


async def test_missing_bytes_are_an_error_not_a_broken_body(
    client: httpx.AsyncClient, world: World
) -> None:
    url = (await post(client)).json()["links"]["download"]
    world.blobs.objects.clear()
    response = await client.get(url)
    assert (response.status_code, response.json()["code"]) == (404, "download_unavailable")
    world.entitlements.on.discard("audio-download")
    response = await client.get(url)
    assert (response.status_code, response.json()["flag"]) == (403, "audio-download")


async def test_deleting_twice_answers_twice(client: httpx.AsyncClient) -> None:
    url = (await post(client)).json()["links"]["self"]
    assert (await client.delete(url)).status_code == 204
    assert (await client.delete(url)).status_code == 204
    assert (await client.get(url)).status_code == 404
    assert (await client.delete("/v1/audio/nobody")).status_code == 404
    for odd in ("%00", "a%20b", "x" * 100):
        assert (await client.get(f"/v1/audio/{odd}")).status_code == 404


async def test_without_a_token_there_is_nothing(world: World) -> None:
    app = make_app(world)
    app.dependency_overrides.clear()
    app.state.token_verifier = tokens.TokenVerifier(
        tokens.StaticKeys({"keys": []}), issuer="i", audience="a"
    )
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://ingest") as client:
        assert (await post(client)).status_code == 401
        assert (await client.get("/v1/audio")).status_code == 401
        forged = {"Authorization": "Bearer a.b.c"}
        assert (await client.get("/v1/audio/x", headers=forged)).status_code == 401
