"""The server's HTTP API, as this program uses it."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from tonearm_cli import say
from tonearm_cli.credentials import Credentials, CredentialsFile
from tonearm_cli.errors import CliError, NotLoggedIn, ProblemError, Unreachable
from tonearm_cli.multipart import FileForm

UPLOAD_TRIES_MAX = 8
RETRY_AFTER_S_MAX = 30.0
_BACKOFF_S_MAX = 8.0
_HINTS = {
    "quota_exceeded": "Delete recordings, wait for the next period, or ask for another plan.",
    "bad_credentials": "Check e-mail address and password.",
    "email_taken": "Run `tonearm login` instead.",
    "not_audio": "Send wav, flac, mp3, ogg, opus, m4a, aac or aiff.",
    "audio_not_found": "`tonearm list` shows your recordings.",
}
_GIVEN_HINT = "It came by --token or TONEARM_TOKEN, which replace your log-in."


class Api:
    """A connection to one server, with the log-in that is kept for it."""

    def __init__(
        self, http: httpx.AsyncClient, *, server: str, kept: CredentialsFile, token: str | None
    ) -> None:
        self._http, self.server, self._kept = http, server, kept
        self._given = None if token is None else Credentials.of_token(token)
        self._refreshing = asyncio.Lock()

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        server: str,
        *,
        kept: CredentialsFile,
        token: str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> AsyncIterator[Api]:
        """Open the API of `server`. `token` replaces the log-in that is kept."""
        timeout = httpx.Timeout(60.0, connect=5.0)
        async with httpx.AsyncClient(
            base_url=server,
            timeout=timeout,
            transport=transport,
            headers={"User-Agent": "tonearm-cli"},
        ) as http:
            yield cls(http, server=server, kept=kept, token=token)

    async def register(self, *, email: str, password: str, full_name: str | None) -> dict[str, Any]:
        """Open an account; returns it."""
        body = {"email": email, "password": password, "full_name": full_name}
        return await self._json("POST", "/v1/auth/register", json=body)

    async def log_in(self, *, email: str, password: str) -> Credentials:
        """Open a session and keep it."""
        pair = await self._json(
            "POST", "/v1/auth/login", json={"email": email, "password": password}
        )
        return self._keep(pair, email=email)

    async def log_out(self) -> None:
        """End the session, here in any case and at the server where it answers."""
        credentials = self._kept.find(self.server)
        self._kept.forget(self.server)
        if credentials is not None:
            await self._request(
                "POST",
                "/v1/auth/logout",
                json={"refresh_token": credentials.refresh_token},
                headers={"Authorization": f"Bearer {credentials.access_token}"},
            )

    async def me(self) -> dict[str, Any]:
        """Return the account."""
        return await self.call("GET", "/v1/auth/me")

    async def credentials(self) -> Credentials:
        """Return a log-in whose access token is fresh. Raises `NotLoggedIn`."""
        if self._given is not None:
            return self._given
        async with self._refreshing:
            found = self._kept.find(self.server)
            if found is None:
                raise NotLoggedIn(f"You are not logged in at {self.server}.")
            return found if found.is_fresh() else await self._refresh(found)

    async def _refresh(self, old: Credentials) -> Credentials:
        try:
            pair = await self._json(
                "POST", "/v1/auth/refresh", json={"refresh_token": old.refresh_token}
            )
        except ProblemError as problem:
            if problem.status != 401:
                raise
            self._kept.forget(self.server)
            raise NotLoggedIn("Your session has ended.") from None
        return self._keep(pair, email=old.email)

    def _keep(self, pair: Mapping[str, Any], *, email: str) -> Credentials:
        credentials = Credentials(
            access_token=pair["access_token"],
            refresh_token=pair["refresh_token"],
            expires_at_s=time.time() + float(pair["expires_in"]),
            email=email,
        )
        self._kept.save(self.server, credentials)
        return credentials

    async def call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Return the JSON answer of a request in the account's name; {} for an empty one."""
        headers = await self._authorization()
        response = await self._request(method, path, params=params, json=json, headers=headers)
        return dict(response.json()) if response.content else {}

    async def upload(self, path: Path, *, sent: Callable[[int], None]) -> dict[str, Any]:
        """Upload a file and return the recording.

        A connection that breaks and a server that is busy are tried again, under the same
        Idempotency-Key, so that one file never becomes two recordings. `sent` is told the bytes
        that went out, and a negative number where they have to go again.
        """
        key = f'"{secrets.token_hex(16)}"'
        for tries in range(1, UPLOAD_TRIES_MAX + 1):
            n_sent = 0

            def count(n_bytes: int) -> None:
                nonlocal n_sent
                n_sent += n_bytes
                sent(n_bytes)

            form = FileForm(path, sent=count)
            headers = {**form.headers, "Idempotency-Key": key}
            try:
                response = await self._authorised(
                    "POST", "/v1/audio", headers=headers, body=form.body
                )
            except (Unreachable, ProblemError) as error:
                wait_s = _worth_waiting_s(error, tries=tries)
                if wait_s is None or tries == UPLOAD_TRIES_MAX:
                    raise
                sent(-n_sent)
                await asyncio.sleep(wait_s)
                continue
            return dict(response.json())
        raise AssertionError("unreachable")

    @asynccontextmanager
    async def download(self, audio_id: str, *, start: int) -> AsyncIterator[httpx.Response]:
        """Open the bytes of a recording, from `start` on where the server can."""
        headers = await self._authorization()
        if start:
            headers["Range"] = f"bytes={start}-"
        request = self._http.build_request("GET", f"/v1/audio/{audio_id}/download", headers=headers)
        response = await self._send(request, stream=True)
        try:
            yield response
        finally:
            await response.aclose()

    async def _authorization(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {(await self.credentials()).access_token}"}

    async def _authorised(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: Callable[[], AsyncIterator[bytes]] | None = None,
    ) -> httpx.Response:
        all_headers = {**(headers or {}), **await self._authorization()}
        return await self._request(
            method, path, headers=all_headers, content=body() if body else None
        )

    async def _json(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        return dict((await self._request(method, path, **options)).json())

    async def _request(self, method: str, path: str, **options: Any) -> httpx.Response:
        return await self._send(self._http.build_request(method, path, **options))

    async def _send(self, request: httpx.Request, *, stream: bool = False) -> httpx.Response:
        try:
            response = await self._http.send(request, stream=stream)
            if response.is_error:
                await response.aread()
        except (httpx.ConnectError, httpx.ConnectTimeout):
            raise Unreachable(
                f"Cannot reach {self.server}.",
                hint="Is it running? `make up` starts it; --server names another.",
            ) from None
        except httpx.TransportError as error:
            raise Unreachable(
                f"The connection to {self.server} broke ({type(error).__name__}).",
                hint="Try again.",
            ) from None
        if response.is_error:
            raise to_problem(response, has_given_token=self._given is not None)
        return response


def to_problem(response: httpx.Response, *, has_given_token: bool = False) -> CliError:
    """Return the error that a refusing answer stands for."""
    try:
        document = response.json()
    except ValueError:
        document = {}
    if not isinstance(document, dict):
        document = {}
    code = str(document.get("code") or f"http_{response.status_code}")
    message = str(
        document.get("detail")
        or document.get("title")
        or f"The server answered {response.status_code}."
    )
    for error in document.get("errors", []):
        message += f" {error.get('pointer', '')}: {error.get('detail', '')}."
    retry_after = response.headers.get("retry-after", "")
    retry_after_s = float(retry_after) if retry_after.isdigit() else None
    hint = _HINTS.get(code, "")
    limit = document.get("size_bytes_max")
    if isinstance(limit, int | float):
        hint = f"The limit is {say.size(limit)}."
    if not hint and response.status_code == 401:
        hint = _GIVEN_HINT if has_given_token else "Run `tonearm login`."
    if not document and response.status_code == 404:
        hint = "Is it a Tonearm gateway? --server names another."
    if not hint and retry_after_s is not None:
        hint = f"Try again in {retry_after_s:.0f} s."
    return ProblemError(
        message,
        status=response.status_code,
        code=code,
        hint=hint,
        retry_after_s=retry_after_s,
    )


def _worth_waiting_s(error: CliError, *, tries: int) -> float | None:
    """Return how long to wait before the same request may succeed, None where it will not."""
    backoff_s = min(_BACKOFF_S_MAX, 2.0 ** (tries - 1))
    if isinstance(error, Unreachable):
        return backoff_s
    if isinstance(error, ProblemError) and error.status in {409, 429, 502, 503, 504}:
        wait_s = backoff_s if error.retry_after_s is None else error.retry_after_s
        return wait_s if wait_s <= RETRY_AFTER_S_MAX else None
    return None
