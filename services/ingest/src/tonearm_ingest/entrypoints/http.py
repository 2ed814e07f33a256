"""The HTTP door: `/v1/audio`."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Protocol

from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import AfterValidator

from tonearm_ingest.domain.audio import Audio, Status
from tonearm_ingest.domain.errors import (
    AccountGone,
    AudioNotFound,
    DownloadUnavailable,
    EmptyFile,
    EntitlementsUnavailable,
    FeatureOff,
    FileMissing,
    FileTooLarge,
    IdempotencyKeyReused,
    InvalidCursor,
    MalformedMultipart,
    NotAudio,
    NotMultipart,
    QuotaExceeded,
    RequestStillRunning,
    StoreUnavailable,
    TooManyUploads,
    UnsupportedAudio,
    UploadLost,
    UploadStalled,
)
from tonearm_ingest.domain.formats import MEDIA_TYPES
from tonearm_ingest.entrypoints import measures
from tonearm_ingest.entrypoints.download import download_response
from tonearm_ingest.entrypoints.gate import UploadGate, caller_of, count_accepted
from tonearm_ingest.entrypoints.multipart import MultipartFile
from tonearm_ingest.entrypoints.views import AudioView, PageView
from tonearm_ingest.usecases.accept_upload import Accepted, AcceptUpload
from tonearm_ingest.usecases.browse import Download, ListAudio, Page
from tonearm_ingest.usecases.delete_audio import DeleteAudio
from tonearm_ingest.usecases.ports import Caller
from tonearm_kit import tokens
from tonearm_kit.errors import AppError
from tonearm_kit.http import problems
from tonearm_kit.idempotency import IdempotencyKeyMalformed, parse_key
from tonearm_kit.logs import get_logger

log = get_logger(__name__)

_FORM_BYTES = 4096
_ID = re.compile(r"^[0-9A-Za-z-]{1,64}$")
_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            }
        },
    }
}
_BYTES = {
    "content": {
        kind: {"schema": {"type": "string", "format": "binary"}}
        for kind in sorted(set(MEDIA_TYPES.values()))
    }
}


def _possible_id(value: str) -> str:
    if not _ID.match(value):
        raise AudioNotFound
    return value


AudioId = Annotated[str, AfterValidator(_possible_id)]
"""An id that may exist; for any other the answer is the same 404."""


class FindAudio(Protocol):
    """Use case `get_audio`, bound."""

    def __call__(self, audio_id: str, *, account_id: str) -> Awaitable[Audio]:
        """Return the recording."""
        ...


class OpenDownload(Protocol):
    """Use case `download_audio`, bound."""

    def __call__(self, audio_id: str, *, caller: Caller) -> Awaitable[Download]:
        """Return access to the bytes."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Office:
    """The use cases that this door opens to, and its own bounds."""

    accept: Callable[[AcceptUpload], Awaitable[Accepted]]
    get: FindAudio
    browse: Callable[[ListAudio], Awaitable[Page]]
    download: OpenDownload
    delete: Callable[[DeleteAudio], Awaitable[None]]
    gate: UploadGate
    upload_idle_s_max: float


def routes(office: Office) -> APIRouter:
    """Return the routes of `/v1/audio`."""
    router = APIRouter(prefix="/v1/audio", tags=["audio"])
    _add_upload(router, office)
    _add_reading(router, office)
    _add_download(router, office)

    @router.delete("/{audio_id}", status_code=204, responses=problems(AudioNotFound))
    async def delete_audio(audio_id: AudioId, principal: tokens.Caller) -> Response:
        """Delete a recording and its bytes. Repeating it answers 204 as well."""
        await office.delete(DeleteAudio(audio_id=audio_id, account_id=principal.account_id))
        return Response(status_code=204)

    return router


def _add_upload(router: APIRouter, office: Office) -> None:
    async def receive(
        request: Request, body: AsyncIterator[bytes], principal: tokens.Principal, key: str | None
    ) -> Accepted:
        async with office.gate.enter():
            file = await MultipartFile.open(
                body,
                content_type=request.headers.get("content-type", ""),
                idle_s_max=office.upload_idle_s_max,
            )
            return await office.accept(
                AcceptUpload(
                    caller=caller_of(principal),
                    filename=file.filename,
                    chunks=file.chunks(),
                    declared_size_bytes=_declared_size_bytes(request),
                    idempotency_key=key,
                )
            )

    @router.post(
        "",
        status_code=202,
        response_model=AudioView,
        openapi_extra=_FORM,
        responses=problems(
            MalformedMultipart,
            IdempotencyKeyMalformed,
            FeatureOff,
            AccountGone,
            RequestStillRunning,
            FileTooLarge,
            NotMultipart,
            NotAudio,
            UnsupportedAudio,
            EmptyFile,
            FileMissing,
            UploadStalled,
            IdempotencyKeyReused,
            QuotaExceeded,
            EntitlementsUnavailable,
            StoreUnavailable,
            TooManyUploads,
            UploadLost,
        ),
    )
    async def post_audio(
        request: Request,
        response: Response,
        principal: tokens.Caller,
        idempotency_key: Annotated[str | None, Header(max_length=300)] = None,
    ) -> AudioView:
        """Take one audio file in the part `file`; analysis follows by itself.

        202, since what was asked for, the analysis, is yet to be done; `Location` is the
        recording, whose `status` tells how far it is.
        """
        body = request.stream()
        try:
            accepted = await receive(request, body, principal, parse_key(idempotency_key))
        except AppError as error:
            measures.UPLOADS.add(1, {"outcome": error.error_code})
            await office.gate.drain(request, body)
            raise
        audio = accepted.audio
        count_accepted(accepted)
        response.headers["Location"] = f"/v1/audio/{audio.id}"
        if accepted.is_replay:
            response.headers["Idempotency-Replayed"] = "true"
        log.info(
            "upload accepted",
            audio_id=audio.id,
            size_bytes=audio.size_bytes,
            format=audio.properties.format,
            is_replay=accepted.is_replay,
        )
        return AudioView.of(audio)


def _add_reading(router: APIRouter, office: Office) -> None:
    @router.get("", response_model=PageView, responses=problems(InvalidCursor))
    async def list_audio(
        principal: tokens.Caller,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        cursor: Annotated[str | None, Query(max_length=256)] = None,
        status: Annotated[Status | None, Query()] = None,
    ) -> PageView:
        """List the account's recordings, newest first; `next_cursor` is null on the last page."""
        page = await office.browse(
            ListAudio(
                account_id=principal.account_id,
                limit=limit,
                cursor=cursor,
                status=status,
            )
        )
        return PageView.of(page)

    @router.get("/{audio_id}", response_model=AudioView, responses=problems(AudioNotFound))
    async def get_audio(audio_id: AudioId, principal: tokens.Caller) -> AudioView:
        """Return one recording with its status and the summary of its last analysis."""
        return AudioView.of(await office.get(audio_id, account_id=principal.account_id))


def _add_download(router: APIRouter, office: Office) -> None:
    @router.get(
        "/{audio_id}/download",
        response_class=Response,
        responses={
            200: {"description": "The whole file.", **_BYTES},
            206: {"description": "The range that was asked for.", **_BYTES},
            304: {"description": "The client's copy is the same."},
            416: {"description": "The range lies outside the file."},
            **problems(
                FeatureOff,
                AudioNotFound,
                DownloadUnavailable,
                EntitlementsUnavailable,
                StoreUnavailable,
            ),
        },
    )
    async def get_download(
        request: Request, audio_id: AudioId, principal: tokens.Caller
    ) -> Response:
        """Return the bytes as they were uploaded; `Range` and `If-None-Match` work."""
        download = await office.download(audio_id, caller=caller_of(principal))
        return await download_response(request, download)

    @router.head("/{audio_id}/download", include_in_schema=False)
    async def head_download(
        request: Request, audio_id: AudioId, principal: tokens.Caller
    ) -> Response:
        download = await office.download(audio_id, caller=caller_of(principal))
        return await download_response(request, download)


def _declared_size_bytes(request: Request) -> int | None:
    """Return the least that the file has by Content-Length, given a form of usual size."""
    declared = request.headers.get("content-length", "")
    if not declared.isdigit() or len(declared) > 18:
        return None
    return max(0, int(declared) - _FORM_BYTES)
