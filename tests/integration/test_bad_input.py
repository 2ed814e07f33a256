"""Bad input gets its precise problem or a failed status with a reason; nothing leaks or dies."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests import sounds
from tests.visitor import Visitor
from tonearm_local.testing import Stack

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

PROBLEM = "application/problem+json"
LEAKS = ("Traceback", "/work", "site-packages", "asyncpg", "postgresql://", "SELECT ", ".py")


@pytest.fixture
async def visitor(stack: Stack, client_address: str) -> AsyncIterator[Visitor]:
    async with Visitor.register(stack.gateway_url, address=client_address) as made:
        yield made


@pytest.fixture(autouse=True, scope="module")
def nothing_dies(stack: Stack) -> Iterator[None]:
    """Fail when a process was restarted while these tests ran."""
    before = _pids(stack)
    yield
    assert _pids(stack) == before


def _pids(stack: Stack) -> dict[str, Any]:
    return {name: row["pid"] for name, row in stack.status()["components"].items()}


def assert_problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith(PROBLEM), answer.headers
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    assert body["type"].endswith("/" + code.replace("_", "-")), body
    assert not [leak for leak in LEAKS if leak in answer.text], answer.text
    return body


async def test_a_text_file_named_mp3_is_not_audio(visitor: Visitor, tmp_path: Path) -> None:
    path = tmp_path / "song.mp3"
    path.write_text("This is no music at all.\n" * 500)
    answer = await visitor.upload(path, content_type="audio/mpeg")
    assert_problem(answer, 415, "not_audio")


async def test_an_empty_file_is_refused(visitor: Visitor, tmp_path: Path) -> None:
    path = tmp_path / "empty.wav"
    path.touch()
    assert_problem(await visitor.upload(path, content_type="audio/wav"), 422, "empty_file")


async def test_a_truncated_flac_is_analysed_as_far_as_it_goes_or_fails_with_a_reason(
    visitor: Visitor, tmp_path: Path
) -> None:
    whole = sounds.tone(tmp_path / "whole.flac", seed=11, duration_s=10)
    path = sounds.truncated(whole, tmp_path / "cut.flac", share=0.6)
    answer = await visitor.upload(path)
    if answer.status_code != 202:
        assert_problem(answer, 415, "unsupported_audio")
        return
    audio_id = answer.json()["id"]
    settled = await visitor.settled(audio_id)
    analysis = await visitor.analysis(audio_id)
    if settled["status"] == "failed":
        assert analysis["failure"]["code"]
        assert analysis["failure"]["reason"]
    else:
        properties = analysis["result"]["properties"]
        assert 4.0 < properties["duration_s"] < 8.0
        assert properties["truncated"] is True


async def test_a_header_without_sound_is_refused_or_fails_with_a_reason(
    visitor: Visitor, tmp_path: Path
) -> None:
    whole = sounds.tone(tmp_path / "whole.flac", seed=12, duration_s=10)
    path = sounds.truncated(whole, tmp_path / "head.flac", share=0.001)
    answer = await visitor.upload(path)
    if answer.status_code == 202:
        settled = await visitor.settled(answer.json()["id"])
        assert settled["status"] == "failed"
        return
    assert answer.status_code in (415, 422)
    assert answer.headers["content-type"].startswith(PROBLEM)


@pytest.mark.timeout(600)
async def test_three_hours_of_silence_are_analysed_or_fail_with_a_reason(
    visitor: Visitor, tmp_path: Path
) -> None:
    path = sounds.silence(tmp_path / "silence.flac", duration_s=3 * 3600)
    answer = await visitor.upload(path)
    assert answer.status_code == 202, answer.text
    audio_id = answer.json()["id"]
    settled = await visitor.settled(audio_id, timeout_s=540)
    analysis = await visitor.analysis(audio_id)
    if settled["status"] == "failed":
        assert analysis["failure"]["reason"]
    else:
        assert analysis["result"]["properties"]["duration_s"] == pytest.approx(10_800, abs=1)
        assert analysis["result"]["loudness"]["integrated_lufs"] is None


@pytest.mark.parametrize("content_type", ["text/plain", "application/json", "audio/mpeg"])
async def test_a_wrong_content_type_is_refused(visitor: Visitor, content_type: str) -> None:
    answer = await visitor.api.post(
        "/v1/audio", content=b"some bytes", headers={"Content-Type": content_type}
    )
    assert_problem(answer, 415, "not_multipart")


async def test_a_broken_form_is_refused(visitor: Visitor) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=abc"}
    answer = await visitor.api.post("/v1/audio", content=b"--abc\r\nbroken", headers=headers)
    assert answer.status_code in (400, 422), answer.text
    assert answer.headers["content-type"].startswith(PROBLEM)


async def test_a_missing_token_is_401(visitor: Visitor, tmp_path: Path) -> None:
    del visitor.api.headers["Authorization"]
    answer = await visitor.upload(sounds.tone(tmp_path / "a.wav", seed=1, duration_s=1))
    assert answer.status_code == 401
    assert answer.headers["content-type"].startswith(PROBLEM), answer.headers
    assert answer.headers["www-authenticate"].startswith("Bearer")


def _forged(token: str) -> dict[str, str]:
    header, body, signature = token.split(".")
    claims = jwt.decode(token, options={"verify_signature": False})
    known = jwt.get_unverified_header(token)
    key = ec.generate_private_key(ec.SECP256R1())
    admin = json.dumps(claims | {"admin": True}).encode()
    raised = jwt.utils.base64url_encode(admin).decode()
    return {
        "another key": jwt.encode(claims, key, algorithm="ES256", headers=known),
        "raised rights": f"{header}.{raised}.{signature}",
        "no signature": f"{header}.{body}.",
        "alg none": jwt.encode(claims, "", algorithm="none", headers={"kid": known["kid"]}),
        "a stray character at the end": token + "A",
        "noise": secrets.token_urlsafe(100),
    }


async def test_a_forged_token_is_401_at_the_gateway_and_at_the_service(
    stack: Stack, visitor: Visitor
) -> None:
    assert (await visitor.api.get("/v1/audio")).status_code == 200
    async with httpx.AsyncClient(base_url=stack.service_url("ingest"), timeout=30) as direct:
        for name, token in _forged(visitor.token).items():
            headers = {"Authorization": f"Bearer {token}"}
            for client in (visitor.api, direct):
                answer = await client.get("/v1/audio", headers=headers)
                assert answer.status_code == 401, name
                assert answer.headers["content-type"].startswith(PROBLEM), name
                assert not [leak for leak in LEAKS if leak in answer.text], name


async def test_a_body_over_the_limit_is_413(visitor: Visitor, tmp_path: Path) -> None:
    path = tmp_path / "huge.wav"
    sounds.tone(path, seed=2, duration_s=1)
    with path.open("ab") as file:
        file.truncate(110 * 1024 * 1024)  # sparse: over the 100 MiB of the free plan
    try:
        answer = await visitor.upload(path)
    except httpx.WriteError:
        pytest.fail("the connection broke before the answer could be read")
    assert_problem(answer, 413, "file_too_large")


async def test_a_large_json_body_is_413(visitor: Visitor) -> None:
    answer = await visitor.api.post("/v1/auth/login", json={"email": "x" * 2_000_000})
    assert answer.status_code == 413, answer.text
    assert answer.headers["content-type"].startswith(PROBLEM), answer.headers


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/audio/not-an-id", 404),
        ("GET", "/v1/audio/00000000-0000-7000-8000-000000000000", 404),
        ("GET", "/v1/audio?limit=0", 422),
        ("GET", "/v1/audio?cursor=%00", 422),
        ("GET", "/v1/audio/%00", 404),
        ("PUT", "/v1/audio", 405),
        ("GET", "/v1/nothing-here", 404),
        ("GET", "/", 404),
    ],
)
async def test_wrong_addresses_and_values_are_problems(
    visitor: Visitor, method: str, path: str, status: int
) -> None:
    answer = await visitor.api.request(method, path)
    assert answer.status_code in (status, 400, 422), answer.text
    assert answer.headers["content-type"].startswith(PROBLEM), answer.text
    assert not [leak for leak in LEAKS if leak in answer.text]


async def test_other_bytes_do_not_stay_behind(
    stack: Stack, visitor: Visitor, tmp_path: Path
) -> None:
    """What was refused leaves neither a row nor an object."""
    path = tmp_path / "text.mp3"
    path.write_text("no music " * 5000)
    objects = stack.state_dir / "objects"
    before = {file for file in objects.rglob("*") if file.is_file()}
    assert (await visitor.upload(path)).status_code == 415
    assert (await visitor.api.get("/v1/audio")).json()["items"] == []
    after = {file for file in objects.rglob("*") if file.is_file()}
    assert after <= before
