from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tonearm_cli.api import Api
from tonearm_cli.credentials import Credentials, CredentialsFile
from tonearm_cli.errors import CliError, NotLoggedIn, ProblemError, Unreachable

SERVER = "http://server"
Answer = Callable[[httpx.Request], httpx.Response]


class Server:
    """Answers in order and remembers what it was asked."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []
        self.bodies: list[bytes] = []

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        self.bodies.append(await request.aread())
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def kept_in(folder: Path, *, fresh: bool = True) -> CredentialsFile:
    kept = CredentialsFile(folder)
    kept.save(
        SERVER,
        Credentials(
            access_token="old",
            refresh_token="r1",
            expires_at_s=time.time() + (600 if fresh else 0),
            email="a@b",
        ),
    )
    return kept


def pair() -> httpx.Response:
    return httpx.Response(
        200, json={"access_token": "new", "refresh_token": "r2", "expires_in": 900}
    )


def problem(status: int, code: str, **members: Any) -> httpx.Response:
    headers = {"Retry-After": str(members.pop("after"))} if "after" in members else {}
    return httpx.Response(status, json={"code": code, "detail": "No.", **members}, headers=headers)


async def test_the_token_is_refreshed_before_it_ends(tmp_path: Path) -> None:
    server = Server(pair(), httpx.Response(200, json={"id": "anna"}))
    kept = kept_in(tmp_path, fresh=False)
    async with Api.open(SERVER, kept=kept, transport=httpx.MockTransport(server)) as api:
        assert await api.me() == {"id": "anna"}
    assert [str(request.url.path) for request in server.requests] == [
        "/v1/auth/refresh",
        "/v1/auth/me",
    ]
    assert server.requests[1].headers["authorization"] == "Bearer new"
    found = kept.find(SERVER)
    assert found is not None
    assert found.refresh_token == "r2"


async def test_a_session_that_ended_is_forgotten(tmp_path: Path) -> None:
    server = Server(problem(401, "refresh_rejected"))
    kept = kept_in(tmp_path, fresh=False)
    async with Api.open(SERVER, kept=kept, transport=httpx.MockTransport(server)) as api:
        with pytest.raises(NotLoggedIn):
            await api.me()
    assert kept.find(SERVER) is None


async def test_a_token_given_replaces_the_log_in(tmp_path: Path) -> None:
    server = Server(httpx.Response(200, json={}))
    transport = httpx.MockTransport(server)
    async with Api.open(SERVER, kept=kept_in(tmp_path), token="given", transport=transport) as api:
        await api.me()
    assert server.requests[0].headers["authorization"] == "Bearer given"


async def test_an_upload_streams_a_form_and_counts_it(tmp_path: Path) -> None:
    song = tmp_path / 'a "song" ü.wav'
    song.write_bytes(bytes(range(256)) * 2000)
    server = Server(httpx.Response(202, json={"id": "1"}))
    sent: list[int] = []
    transport = httpx.MockTransport(server)
    async with Api.open(SERVER, kept=kept_in(tmp_path), transport=transport) as api:
        assert await api.upload(song, sent=sent.append) == {"id": "1"}
    (request,), (body,) = server.requests, server.bodies
    assert sum(sent) == song.stat().st_size
    assert len(sent) > 2
    assert int(request.headers["content-length"]) == len(body)
    assert song.read_bytes() in body
    assert 'filename="a %22song%22 ü.wav"'.encode() in body


async def test_an_upload_is_tried_again_under_the_same_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    async def no_wait(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr("tonearm_cli.api.asyncio.sleep", no_wait)
    song = tmp_path / "song.wav"
    song.write_bytes(b"x" * 1000)
    server = Server(
        httpx.ConnectError("down"),
        problem(503, "entitlements_unavailable", after=2),
        httpx.Response(202, json={"id": "1"}),
    )
    sent: list[int] = []
    transport = httpx.MockTransport(server)
    async with Api.open(SERVER, kept=kept_in(tmp_path), transport=transport) as api:
        assert (await api.upload(song, sent=sent.append))["id"] == "1"
    keys = {request.headers["idempotency-key"] for request in server.requests}
    assert len(keys) == 1
    assert waits == [1.0, 2.0]
    assert sum(sent) == 1000


async def test_a_refusal_is_not_tried_again(tmp_path: Path) -> None:
    song = tmp_path / "song.wav"
    song.write_bytes(b"x")
    server = Server(problem(415, "not_audio"))
    transport = httpx.MockTransport(server)
    async with Api.open(SERVER, kept=kept_in(tmp_path), transport=transport) as api:
        with pytest.raises(ProblemError) as caught:
            await api.upload(song, sent=lambda _: None)
    assert caught.value.code == "not_audio"
    assert "wav" in caught.value.hint


@pytest.mark.parametrize(
    ("answer", "kind", "message", "hint"),
    [
        (httpx.ConnectError("x"), Unreachable, "Cannot reach http://server.", "make up"),
        (httpx.ReadError("x"), Unreachable, "The connection", "Try again"),
        (problem(429, "rate_limited", after=7), ProblemError, "No.", "Try again in 7 s."),
        (problem(401, "token_invalid"), ProblemError, "No.", "tonearm login"),
        (httpx.Response(502, text="<html>"), ProblemError, "The server answered 502.", ""),
        (
            httpx.Response(
                422,
                json={"detail": "Bad.", "errors": [{"pointer": "/email", "detail": "too short"}]},
            ),
            ProblemError,
            "Bad. /email: too short.",
            "",
        ),
    ],
)
async def test_errors_are_one_line_that_says_what_to_do(
    tmp_path: Path, answer: Any, kind: type[CliError], message: str, hint: str
) -> None:
    transport = httpx.MockTransport(Server(answer))
    async with Api.open(SERVER, kept=kept_in(tmp_path), transport=transport) as api:
        with pytest.raises(kind) as caught:
            await api.me()
    assert caught.value.message.startswith(message)
    assert hint in caught.value.hint


async def test_logging_out_forgets_even_when_the_server_is_away(tmp_path: Path) -> None:
    kept = kept_in(tmp_path)
    transport = httpx.MockTransport(Server(httpx.ConnectError("x")))
    async with Api.open(SERVER, kept=kept, transport=transport) as api:
        with pytest.raises(Unreachable):
            await api.log_out()
    assert kept.find(SERVER) is None


async def test_a_call_carries_what_it_is_given(tmp_path: Path) -> None:
    server = Server(httpx.Response(201, json={"id": "n"}))
    async with Api.open(
        SERVER, kept=kept_in(tmp_path), transport=httpx.MockTransport(server)
    ) as api:
        notice = {"kind": "info", "message": "Hello."}
        assert await api.call("POST", "/v1/admin/notices", json=notice) == {"id": "n"}
    [request] = server.requests
    assert request.headers["authorization"] == "Bearer old"
    assert json.loads(server.bodies[0]) == notice
