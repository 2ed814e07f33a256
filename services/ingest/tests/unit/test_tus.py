from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial

import httpx
import pytest
from fastapi import FastAPI

from tonearm_ingest.domain.errors import QuotaExceeded
from tonearm_ingest.entrypoints import tus
from tonearm_ingest.entrypoints.gate import UploadGate
from tonearm_ingest.usecases.append_bytes import append_bytes
from tonearm_ingest.usecases.concatenate import concatenate
from tonearm_ingest.usecases.resumable import find_upload, give_up, open_upload
from tonearm_kit import tokens
from tonearm_kit.http import create_app

from .resumable_world import ResumableWorld
from .world import WAV

TUS = {"Tus-Resumable": "1.0.0"}
STREAM = {**TUS, "Content-Type": "application/offset+octet-stream"}
NAME = "filename " + base64.b64encode("Größe.wav".encode()).decode()


def make_app(world: ResumableWorld) -> FastAPI:
    begin, limits = world.library.begin, world.resumable_limits
    office = tus.TusOffice(
        open=lambda cmd: open_upload(cmd, intake=world.intake, limits=limits),
        find=partial(find_upload, begin=begin, clock=world.clock),
        append=lambda cmd: append_bytes(cmd, intake=world.intake, limits=limits),
        concatenate=lambda cmd: concatenate(cmd, intake=world.intake, limits=limits),
        give_up=partial(give_up, begin=begin, blobs=world.blobs, clock=world.clock),
        gate=UploadGate(2, refused_body_bytes_max=1_000_000, refused_body_s_max=1.0),
        upload_idle_s_max=5.0,
        size_bytes_max=10_000,
    )
    app = create_app(
        title="ingest",
        version="1",
        routers=[tus.routes(office)],
        body_size_bytes_max_by_prefix={"/v1/uploads": 50_000},
    )

    async def principal() -> tokens.Principal:
        end = datetime(2030, 1, 1, tzinfo=UTC)
        return tokens.Principal("anna", "s", "free", False, False, end, "t")

    app.dependency_overrides[tokens.current_caller] = principal
    return app


@pytest.fixture
def world() -> ResumableWorld:
    return ResumableWorld()


@pytest.fixture
async def client(world: ResumableWorld) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(make_app(world))
    async with httpx.AsyncClient(transport=transport, base_url="http://ingest") as opened:
        yield opened


async def create(client: httpx.AsyncClient, length: int = len(WAV), **more: str) -> httpx.Response:
    headers = {**TUS, "Upload-Length": str(length), "Upload-Metadata": NAME, **more}
    return await client.post("/v1/uploads", headers=headers)


async def patch(
    client: httpx.AsyncClient, url: str, content: bytes, at: int = 0, checksum: str | None = None
) -> httpx.Response:
    headers = {**STREAM, "Upload-Offset": str(at)}
    if checksum is not None:
        headers["Upload-Checksum"] = checksum
    return await client.patch(url, content=content, headers=headers)


def problem(response: httpx.Response) -> tuple[int, str]:
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["tus-resumable"] == "1.0.0"
    body = response.json()
    assert body["status"] == response.status_code
    return response.status_code, body["code"]


async def test_the_server_tells_what_it_can(client: httpx.AsyncClient) -> None:
    for path in ("/v1/uploads", "/v1/uploads/any"):
        told = await client.options(path)
        assert told.status_code == 204
        assert told.headers["tus-version"] == "1.0.0"
        assert told.headers["tus-max-size"] == "10000"
        assert told.headers["tus-checksum-algorithm"] == "sha1,sha256"
        told_extensions = told.headers["tus-extension"].split(",")
        assert {"creation-with-upload", "concatenation", "creation-defer-length"} <= set(
            told_extensions
        )


async def test_an_upload_from_its_creation_to_the_recording(
    client: httpx.AsyncClient, world: ResumableWorld
) -> None:
    made = await create(client)
    assert (made.status_code, made.content) == (201, b"")
    assert made.headers["upload-offset"] == "0"
    assert made.headers["upload-expires"].endswith(" GMT")
    url = made.headers["location"]
    some = await patch(client, url, WAV[:1500])
    assert (some.status_code, some.headers["upload-offset"]) == (204, "1500")
    assert "tonearm-audio-id" not in some.headers
    told = await client.head(url, headers=TUS)
    assert told.status_code == 200
    assert told.headers["upload-offset"] == "1500"
    assert told.headers["upload-length"] == str(len(WAV))
    assert told.headers["upload-metadata"] == NAME
    assert told.headers["cache-control"] == "private, no-store"
    done = await patch(client, url, WAV[1500:], at=1500)
    assert done.headers["tonearm-audio-id"] == world.library.rows[0].id
    assert world.library.rows[0].filename == "Größe.wav"
    told = await client.head(url, headers=TUS)
    assert told.headers["tonearm-audio-id"] == world.library.rows[0].id
    assert (await client.delete(url, headers=TUS)).status_code == 204
    assert problem(await client.delete(url, headers=TUS)) == (404, "upload_not_found")
    assert (await client.head(url, headers=TUS)).status_code == 404


async def test_a_creation_may_bring_bytes(client: httpx.AsyncClient) -> None:
    headers = {**STREAM, "Upload-Length": str(len(WAV)), "Idempotency-Key": '"k"'}
    made = await client.post("/v1/uploads", headers=headers, content=WAV[:700])
    assert (made.status_code, made.headers["upload-offset"]) == (201, "700")
    again = await client.post("/v1/uploads", headers=headers, content=WAV[:700])
    assert again.headers["idempotency-replayed"] == "true"
    assert again.headers["location"] == made.headers["location"]
    assert again.headers["upload-offset"] == "700"
    del headers["Idempotency-Key"]
    whole = await client.post("/v1/uploads", headers=headers, content=WAV)
    assert (whole.status_code, whole.headers["upload-offset"]) == (201, str(len(WAV)))
    assert whole.headers["tonearm-audio-id"]


async def test_a_creation_whose_bytes_are_refused_leaves_nothing_that_nobody_knows(
    client: httpx.AsyncClient, world: ResumableWorld
) -> None:
    headers = {**STREAM, "Upload-Length": "9000", "Upload-Checksum": f"sha1 {'A' * 27}="}
    refused = await client.post("/v1/uploads", headers=headers, content=WAV)
    assert problem(refused) == (460, "checksum_mismatch")
    assert world.is_untouched
    assert world.library.tables.uploads == {}
    headers["Idempotency-Key"] = '"k"'
    refused = await client.post("/v1/uploads", headers=headers, content=WAV)
    assert problem(refused) == (460, "checksum_mismatch")
    del headers["Upload-Checksum"]
    again = await client.post("/v1/uploads", headers=headers, content=WAV)
    assert (again.status_code, again.headers["upload-offset"]) == (201, str(len(WAV)))
    assert again.headers["idempotency-replayed"] == "true"


async def test_the_version_comes_before_everything(client: httpx.AsyncClient) -> None:
    for headers in ({}, {"Tus-Resumable": "0.2.2"}):
        refused = await client.post("/v1/uploads", headers=headers)
        assert problem(refused) == (412, "tus_version_unsupported")
        assert refused.headers["tus-version"] == "1.0.0"


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"Upload-Length": "10001"}, 413, "file_too_large"),
        ({"Upload-Length": "0"}, 422, "empty_file"),
        ({"Upload-Length": "-1"}, 400, "tus_header_invalid"),
        ({"Upload-Length": "1e3"}, 400, "tus_header_invalid"),
        ({"Upload-Defer-Length": "2"}, 400, "tus_header_invalid"),
        ({"Upload-Defer-Length": "1", "Upload-Length": "9"}, 400, "tus_header_invalid"),
        ({}, 400, "tus_header_invalid"),
        ({"Upload-Length": "9", "Upload-Metadata": "a ü"}, 400, "tus_header_invalid"),
        ({"Upload-Length": "9", "Upload-Metadata": "a b"}, 400, "tus_header_invalid"),
        ({"Upload-Length": "9", "Upload-Metadata": "a YQ==,a YQ=="}, 400, "tus_header_invalid"),
        ({"Upload-Length": "9", "Upload-Metadata": "a" * 4097}, 400, "tus_header_invalid"),
        ({"Upload-Length": "9", "Idempotency-Key": '"'}, 400, "idempotency_key_malformed"),
    ],
)
async def test_a_creation_that_makes_no_sense(
    client: httpx.AsyncClient,
    world: ResumableWorld,
    headers: dict[str, str],
    status: int,
    code: str,
) -> None:
    encoded = [(name.encode(), value.encode()) for name, value in {**TUS, **headers}.items()]
    assert problem(await client.post("/v1/uploads", headers=encoded)) == (status, code)
    assert world.library.tables.uploads == {}


async def test_bytes_that_make_no_sense(client: httpx.AsyncClient, world: ResumableWorld) -> None:
    url = (await create(client)).headers["location"]
    other = await client.patch(url, content=b"x", headers={**TUS, "Upload-Offset": "0"})
    assert problem(other) == (415, "not_offset_stream")
    form = await client.post(
        "/v1/uploads", headers={**TUS, "Upload-Length": "9"}, data={"file": "x"}
    )
    assert problem(form) == (415, "not_offset_stream")
    unsaid = await client.patch(url, content=b"x", headers=STREAM)
    assert problem(unsaid) == (400, "tus_header_invalid")
    wrong = await patch(client, url, b"x", at=1)
    assert problem(wrong) == (409, "upload_offset_mismatch")
    assert wrong.headers["upload-offset"] == "0"
    assert problem(await patch(client, url, WAV + b"x")) == (400, "upload_overflow")
    until = world.clock.now().replace(year=2100)
    upload_id = url.rpartition("/")[2]
    world.library.tables.holders[upload_id] = ("another", until)
    held = await patch(client, url, WAV)
    assert problem(held) == (423, "upload_locked")
    assert held.headers["retry-after"] == "1"
    assert problem(await patch(client, "/v1/uploads/a%20b", WAV)) == (404, "upload_not_found")


async def test_refusals_of_the_end_are_those_of_an_upload(
    client: httpx.AsyncClient, world: ResumableWorld
) -> None:
    url = (await create(client)).headers["location"]
    world.entitlements.reserve_error = QuotaExceeded(violated_limits=["uploads_per_day"])
    assert problem(await patch(client, url, WAV)) == (429, "quota_exceeded")
    text = (await create(client, 9)).headers["location"]
    assert problem(await patch(client, text, b"just text")) == (415, "not_audio")


async def test_checksums(client: httpx.AsyncClient) -> None:
    url = (await create(client)).headers["location"]

    def of(content: bytes, algorithm: str) -> str:
        digest = hashlib.new(algorithm, content).digest()
        return f"{algorithm} {base64.b64encode(digest).decode()}"

    for bad in ("md5 YQ==", "sha256", "sha256 YQ==", "sha256 !"):
        refused = await patch(client, url, WAV[:9], checksum=bad)
        assert refused.status_code == 400, bad
    wrong = await patch(client, url, WAV[:9], checksum=of(b"other", "sha1"))
    assert problem(wrong) == (460, "checksum_mismatch")
    for at, algorithm in ((0, "sha1"), (9, "sha256")):
        content = WAV[at : at + 9]
        kept = await patch(client, url, content, at=at, checksum=of(content, algorithm))
        assert (kept.status_code, kept.headers["upload-offset"]) == (204, str(at + 9))


async def test_methods_may_come_in_a_header(client: httpx.AsyncClient) -> None:
    url = (await create(client)).headers["location"]

    async def mean(method: str, content: bytes = b"") -> httpx.Response:
        headers = {**STREAM, "Upload-Offset": "0", "X-HTTP-Method-Override": method}
        return await client.post(url, headers=headers, content=content)

    assert (await mean("PATCH", WAV[:7])).headers["upload-offset"] == "7"
    assert (await mean("HEAD")).headers["upload-length"] == str(len(WAV))
    assert problem(await mean("GET")) == (400, "tus_header_invalid")
    assert (await mean("DELETE")).status_code == 204
    assert (await client.head(url, headers=TUS)).status_code == 404


async def open_partial(client: httpx.AsyncClient, content: bytes) -> str:
    headers = {**STREAM, "Upload-Length": str(len(content)), "Upload-Concat": "partial"}
    made = await client.post("/v1/uploads", headers=headers, content=content)
    assert (made.status_code, made.headers["upload-offset"]) == (201, str(len(content)))
    assert "tonearm-audio-id" not in made.headers
    return made.headers["location"]


async def join(client: httpx.AsyncClient, said: str, **more: str) -> httpx.Response:
    headers = {**TUS, "Upload-Concat": said, "Upload-Metadata": NAME, **more}
    return await client.post("/v1/uploads", headers=headers)


async def test_partial_uploads_become_a_final_one(
    client: httpx.AsyncClient, world: ResumableWorld
) -> None:
    urls = [await open_partial(client, WAV[:900]), await open_partial(client, WAV[900:])]
    told = await client.head(urls[0], headers=TUS)
    assert told.headers["upload-concat"] == "partial"
    assert (told.headers["upload-offset"], told.headers["upload-length"]) == ("900", "900")
    said = f"final;{urls[0]} https://elsewhere.example{urls[1]}"
    made = await join(client, said)
    assert (made.status_code, made.content) == (201, b"")
    assert made.headers["tonearm-audio-id"] == world.library.rows[0].id
    assert world.library.rows[0].filename == "Größe.wav"
    final = made.headers["location"]
    told = await client.head(final, headers=TUS)
    assert told.headers["upload-concat"] == said
    assert told.headers["upload-offset"] == told.headers["upload-length"] == str(len(WAV))
    assert told.headers["tonearm-audio-id"] == made.headers["tonearm-audio-id"]
    again = await join(client, said)
    assert (again.status_code, again.headers["location"]) == (201, final)
    assert again.headers["idempotency-replayed"] == "true"
    for content in (b"", b"x"):
        refused = await patch(client, final, content, at=len(WAV))
        assert problem(refused) == (403, "upload_is_final")
    assert (await client.head(urls[0], headers=TUS)).status_code == 404


@pytest.mark.parametrize(
    ("said", "more"),
    [
        ("", {}),
        ("final", {}),
        ("final;", {}),
        ("final; ", {}),
        ("first;/v1/uploads/a", {}),
        ("partial;/v1/uploads/a", {}),
        ("final;/v1/uploads/a /v1/uploads/a", {}),
        ("final;/v1/uploads/a https://x/v1/uploads/a", {}),
        ("final;/v1/uploads/", {}),
        ("final;/v1/uploads/a%20b", {}),
        ("final;/v1/audio/a", {}),
        ("final;a", {}),
        ("final;http://[/v1/uploads/a", {}),
        ("final;http://\x80/v1/uploads/a", {}),
        ("final;" + "/v1/uploads/a " * 600, {}),
        ("final;/v1/uploads/a", {"Upload-Length": "9"}),
        ("partial", {}),
    ],
)
async def test_a_concatenation_that_makes_no_sense(
    client: httpx.AsyncClient, world: ResumableWorld, said: str, more: dict[str, str]
) -> None:
    headers = {**TUS, "Upload-Concat": said, **more}
    encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    refused = await client.post("/v1/uploads", headers=encoded)
    assert problem(refused) == (400, "tus_header_invalid")
    assert world.library.tables.uploads == {}


async def test_a_concatenation_of_what_is_not_there(client: httpx.AsyncClient) -> None:
    missing = await join(client, "final;/v1/uploads/nobody")
    assert problem(missing) == (422, "partial_upload_not_found")
    assert missing.json()["upload_id"] == "nobody"
    headers = {**TUS, "Upload-Length": "9", "Upload-Concat": "partial"}
    half = (await client.post("/v1/uploads", headers=headers)).headers["location"]
    assert problem(await join(client, f"final;{half}")) == (409, "partial_upload_unfinished")
    plain = (await create(client, 9)).headers["location"]
    assert problem(await join(client, f"final;{plain}")) == (422, "not_a_partial_upload")
    with_bytes = {**STREAM, "Upload-Concat": f"final;{half}"}
    refused = await client.post("/v1/uploads", headers=with_bytes, content=b"x")
    assert problem(refused) == (400, "tus_header_invalid")
    deferred = {**TUS, "Upload-Concat": f"final;{half}", "Upload-Defer-Length": "1"}
    refused = await client.post("/v1/uploads", headers=deferred)
    assert problem(refused) == (400, "tus_header_invalid")


async def test_the_length_may_come_later(client: httpx.AsyncClient, world: ResumableWorld) -> None:
    made = await client.post("/v1/uploads", headers={**TUS, "Upload-Defer-Length": "1"})
    assert made.status_code == 201
    url = made.headers["location"]
    await patch(client, url, WAV[:900])
    told = await client.head(url, headers=TUS)
    assert (told.headers["upload-defer-length"], told.headers["upload-offset"]) == ("1", "900")
    assert "upload-length" not in told.headers
    headers = {**STREAM, "Upload-Offset": "900", "Upload-Length": str(len(WAV))}
    some = await client.patch(url, content=WAV[900:1000], headers=headers)
    assert (some.status_code, some.headers["upload-offset"]) == (204, "1000")
    told = await client.head(url, headers=TUS)
    assert told.headers["upload-length"] == str(len(WAV))
    assert "upload-defer-length" not in told.headers
    headers |= {"Upload-Offset": "1000", "Upload-Length": "9999"}
    other = await client.patch(url, content=WAV[1000:], headers=headers)
    assert problem(other) == (400, "tus_header_invalid")
    done = await patch(client, url, WAV[1000:], at=1000)
    assert done.headers["tonearm-audio-id"] == world.library.rows[0].id
