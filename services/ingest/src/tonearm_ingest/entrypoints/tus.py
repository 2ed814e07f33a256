"""The HTTP door `/v1/uploads`: tus 1.0.0, for uploads that survive a broken connection."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass
from email.utils import format_datetime
from typing import Annotated, Any, Protocol

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from pydantic import AfterValidator
from starlette.requests import ClientDisconnect

from tonearm_ingest.domain.audio import Audio
from tonearm_ingest.domain.errors import (
    OffsetMismatch,
    TusHeaderInvalid,
    TusVersionUnsupported,
    UploadBrokenOff,
    UploadNotFound,
    UploadStalled,
)
from tonearm_ingest.domain.resumable import Resumable
from tonearm_ingest.entrypoints import measures, tus_described, tus_headers
from tonearm_ingest.entrypoints.gate import UploadGate, caller_of, count_accepted
from tonearm_ingest.usecases.accept_upload import Accepted
from tonearm_ingest.usecases.append_bytes import CHECKSUMS, AppendBytes, Appended
from tonearm_ingest.usecases.concatenate import Concatenate, Concatenated
from tonearm_ingest.usecases.resumable import Opened, OpenUpload
from tonearm_kit import tokens
from tonearm_kit.errors import AppError
from tonearm_kit.http import request_id
from tonearm_kit.http.problem import from_app_error
from tonearm_kit.idempotency import parse_key
from tonearm_kit.logs import get_logger

log = get_logger(__name__)

VERSION = "1.0.0"
EXTENSIONS = (
    "creation,creation-with-upload,creation-defer-length,checksum,expiration,termination,"
    "concatenation"
)
AUDIO_ID = "Tonearm-Audio-Id"
"""Answer header: the recording that the upload became."""
_OVERRIDE = "x-http-method-override"


def _possible_id(value: str) -> str:
    if not tus_headers.ID.match(value):
        raise UploadNotFound
    return value


UploadId = Annotated[str, AfterValidator(_possible_id)]
"""An id that may exist; for any other the answer is the same 404."""


class FindUpload(Protocol):
    """Use case `find_upload`, bound."""

    def __call__(self, upload_id: str, *, account_id: str) -> Awaitable[Resumable]:
        """Return the upload."""
        ...


class GiveUp(Protocol):
    """Use case `give_up`, bound."""

    def __call__(self, upload_id: str, *, account_id: str) -> Awaitable[None]:
        """Remove the upload."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TusOffice:
    """The use cases that this door opens to, and its own bounds."""

    open: Callable[[OpenUpload], Awaitable[Opened]]
    find: FindUpload
    append: Callable[[AppendBytes], Awaitable[Appended]]
    concatenate: Callable[[Concatenate], Awaitable[Concatenated]]
    give_up: GiveUp
    gate: UploadGate
    upload_idle_s_max: float
    size_bytes_max: int


class TusRoute(APIRoute):
    """A route that speaks the protocol's version, whatever it answers."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler with the version checked before and told behind it."""
        handle = super().get_route_handler()

        async def spoken(request: Request) -> Response:
            try:
                told = request.headers.get("tus-resumable")
                if request.method != "OPTIONS" and told != VERSION:
                    raise TusVersionUnsupported
                response = await handle(request)
            except AppError as error:
                response = from_app_error(error, request_id=request_id(request))
                if isinstance(error, TusVersionUnsupported):
                    response.headers["Tus-Version"] = VERSION
                if isinstance(error, OffsetMismatch):
                    response.headers["Upload-Offset"] = str(error.members["offset_bytes"])
            response.headers["Tus-Resumable"] = VERSION
            return response

        return spoken


def routes(office: TusOffice) -> APIRouter:
    """Return the routes of `/v1/uploads`."""
    router = APIRouter(prefix=tus_headers.PREFIX, tags=["uploads"], route_class=TusRoute)
    _add_opening(router, office)
    _add_one(router, office)
    _add_tunnel(router, office)
    return router


def _add_opening(router: APIRouter, office: TusOffice) -> None:
    @router.options("", status_code=204, response_class=Response, **tus_described.OPTIONS)
    async def upload_abilities() -> Response:
        """Tell the versions, extensions and limits of the upload protocol."""
        return _abilities(office)

    @router.options("/{upload_id}", include_in_schema=False)
    async def upload_abilities_of_one(upload_id: str) -> Response:
        return _abilities(office)

    @router.post("", status_code=201, response_class=Response, **tus_described.OPENING)
    async def open_upload(request: Request, principal: tokens.Caller) -> Response:
        """Open a resumable upload; a body is taken as its first bytes.

        An upload that got all of its bytes is a recording, and its analysis follows by itself.
        Partial uploads (`Upload-Concat: partial`) become one together, by a final upload.
        """
        body = request.stream()
        try:
            response = await _open(request, body, principal, office)
        except AppError as error:
            await _refuse(request, body, error, office)
            raise
        return response


def _abilities(office: TusOffice) -> Response:
    headers = {
        "Tus-Version": VERSION,
        "Tus-Extension": EXTENSIONS,
        "Tus-Max-Size": str(office.size_bytes_max),
        "Tus-Checksum-Algorithm": ",".join(CHECKSUMS),
    }
    return Response(status_code=204, headers=headers)


async def _open(
    request: Request, body: AsyncIterator[bytes], principal: tokens.Principal, office: TusOffice
) -> Response:
    headers = request.headers
    said, pairs = tus_headers.metadata(headers)
    concat = tus_headers.concat(headers)
    has_bytes = tus_headers.content_length(headers) != 0 and (
        "content-length" in headers or "transfer-encoding" in headers
    )
    if has_bytes:
        tus_headers.require_offset_stream(headers)
    key = parse_key(headers.get("idempotency-key"))
    if concat is not None and concat.partial_ids is not None:
        if has_bytes:
            raise TusHeaderInvalid("A final upload takes no bytes.")
        wanted = Concatenate(
            caller=caller_of(principal),
            partial_ids=concat.partial_ids,
            filename=tus_headers.filename(pairs),
            metadata=said,
            concat=concat.said,
            idempotency_key=key,
        )
        return await _concatenate(wanted, office)
    opened = await office.open(
        OpenUpload(
            caller=caller_of(principal),
            length_bytes=tus_headers.upload_length(headers),
            filename=tus_headers.filename(pairs),
            metadata=said,
            concat=None if concat is None else concat.said,
            idempotency_key=key,
        )
    )
    upload = opened.upload
    if not opened.is_replay:
        measures.RESUMABLE.add(1, {"event": "partial_opened" if upload.is_partial else "opened"})
    if has_bytes and upload.offset_bytes == 0:
        try:
            upload = await _append(request, body, principal, office, upload.id, offset_bytes=0)
        except AppError:
            if key is None:
                await _forget(upload, office)
            raise
    elif has_bytes:
        # The first of these requests sent some bytes; the client goes on behind them.
        await office.gate.drain(request, body)
    return _created(upload, is_replay=opened.is_replay)


async def _forget(upload: Resumable, office: TusOffice) -> None:
    """Give up an upload whose address nobody will hear, so that it counts as open no longer."""
    with contextlib.suppress(AppError):
        await office.give_up(upload.id, account_id=upload.account_id)


async def _concatenate(wanted: Concatenate, office: TusOffice) -> Response:
    async with office.gate.enter():
        made = await office.concatenate(wanted)
    if made.audio is not None:
        measures.RESUMABLE.add(1, {"event": "opened"})
        _count_finished(made.upload, made.audio)
    return _created(made.upload, is_replay=made.audio is None)


def _created(upload: Resumable, *, is_replay: bool) -> Response:
    answer = Response(status_code=201, headers=_state(upload))
    answer.headers["Location"] = f"{tus_headers.PREFIX}/{upload.id}"
    if is_replay:
        answer.headers["Idempotency-Replayed"] = "true"
    return answer


def _add_one(router: APIRouter, office: TusOffice) -> None:
    @router.head("/{upload_id}", response_class=Response, **tus_described.READING)
    async def get_upload_offset(upload_id: UploadId, principal: tokens.Caller) -> Response:
        """Tell how much of the upload is kept, and the recording that it became."""
        return await _tell(upload_id, principal, office)

    @router.patch(
        "/{upload_id}", status_code=204, response_class=Response, **tus_described.APPENDING
    )
    async def append_to_upload(
        request: Request, upload_id: UploadId, principal: tokens.Caller
    ) -> Response:
        """Add the bytes that come next. Of a body that breaks off, what came is kept."""
        return await _patch(request, upload_id, principal, office)

    @router.delete(
        "/{upload_id}", status_code=204, response_class=Response, **tus_described.READING
    )
    async def give_up_upload(upload_id: UploadId, principal: tokens.Caller) -> Response:
        """Remove an upload and its bytes; a recording that it became stays."""
        return await _delete(upload_id, principal, office)


def _add_tunnel(router: APIRouter, office: TusOffice) -> None:
    @router.post("/{upload_id}", response_class=Response, **tus_described.TUNNELLED)
    async def override_upload_method(
        request: Request, upload_id: UploadId, principal: tokens.Caller
    ) -> Response:
        """Do what `X-HTTP-Method-Override` says, for clients that know GET and POST alone."""
        meant = request.headers.get(_OVERRIDE, "").upper()
        if meant == "PATCH":
            return await _patch(request, upload_id, principal, office)
        if meant == "DELETE":
            return await _delete(upload_id, principal, office)
        if meant == "HEAD":
            return await _tell(upload_id, principal, office)
        raise TusHeaderInvalid("X-HTTP-Method-Override must be PATCH, DELETE or HEAD here.")


async def _tell(upload_id: str, principal: tokens.Principal, office: TusOffice) -> Response:
    upload = await office.find(upload_id, account_id=principal.account_id)
    answer = Response(status_code=200, headers=_state(upload))
    if upload.is_length_deferred:
        answer.headers["Upload-Defer-Length"] = "1"
    else:
        answer.headers["Upload-Length"] = str(upload.length_bytes)
    if upload.metadata:
        answer.headers["Upload-Metadata"] = upload.metadata
    if upload.concat is not None:
        answer.headers["Upload-Concat"] = upload.concat
    return answer


async def _delete(upload_id: str, principal: tokens.Principal, office: TusOffice) -> Response:
    await office.give_up(upload_id, account_id=principal.account_id)
    measures.RESUMABLE.add(1, {"event": "given_up"})
    return Response(status_code=204)


async def _patch(
    request: Request, upload_id: str, principal: tokens.Principal, office: TusOffice
) -> Response:
    body = request.stream()
    try:
        tus_headers.require_offset_stream(request.headers)
        offset_bytes = tus_headers.upload_offset(request.headers)
        upload = await _append(
            request, body, principal, office, upload_id, offset_bytes=offset_bytes
        )
    except AppError as error:
        await _refuse(request, body, error, office)
        raise
    return Response(status_code=204, headers=_state(upload))


async def _append(
    request: Request,
    body: AsyncIterator[bytes],
    principal: tokens.Principal,
    office: TusOffice,
    upload_id: str,
    *,
    offset_bytes: int,
) -> Resumable:
    async with office.gate.enter():
        appended = await office.append(
            AppendBytes(
                caller=caller_of(principal),
                upload_id=upload_id,
                offset_bytes=offset_bytes,
                chunks=_chunks(body, idle_s_max=office.upload_idle_s_max),
                declared_size_bytes=tus_headers.content_length(request.headers),
                checksum=tus_headers.checksum(request.headers),
                length_bytes=tus_headers.told_length(request.headers),
                on_kept=measures.RESUMABLE_SIZE.add,
            )
        )
    upload, audio = appended.upload, appended.audio
    if audio is not None:
        _count_finished(upload, audio)
    return upload


def _count_finished(upload: Resumable, audio: Audio) -> None:
    measures.RESUMABLE.add(1, {"event": "finished"})
    count_accepted(Accepted(audio=audio, is_replay=False))
    log.info(
        "resumable upload accepted",
        audio_id=audio.id,
        upload_id=upload.id,
        size_bytes=audio.size_bytes,
        format=audio.properties.format,
    )


async def _chunks(body: AsyncIterator[bytes], *, idle_s_max: float) -> AsyncIterator[bytes]:
    """Give what arrives; raises `UploadStalled` or `UploadBrokenOff` where it ends too early."""
    while True:
        try:
            async with asyncio.timeout(idle_s_max):
                received = await anext(body, None)
        except TimeoutError:
            raise UploadStalled(idle_s_max=idle_s_max) from None
        except ClientDisconnect:
            raise UploadBrokenOff from None
        if received is None:
            return
        if received:
            yield received


async def _refuse(
    request: Request, body: AsyncIterator[bytes], error: AppError, office: TusOffice
) -> None:
    measures.UPLOADS.add(1, {"outcome": error.error_code})
    await office.gate.drain(request, body)


def _state(upload: Resumable) -> dict[str, str]:
    """Return how far the upload is and how long it is kept."""
    headers = {
        "Upload-Offset": str(upload.offset_bytes),
        "Upload-Expires": format_datetime(upload.expires_at.replace(microsecond=0), usegmt=True),
    }
    if upload.audio_id is not None:
        headers[AUDIO_ID] = upload.audio_id
    return headers
