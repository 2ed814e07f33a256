"""How an `AppError` travels: as a status for everyone, and whole in a trailer for our clients."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, cast

from grpc import StatusCode
from pydantic import JsonValue

from tonearm_kit.errors import AppError, Kind, RemoteError

TRAILER = "tonearm-error-bin"
_TRAILER_BYTES_MAX = 4096

STATUS: Mapping[Kind, StatusCode] = {
    Kind.MALFORMED: StatusCode.INVALID_ARGUMENT,
    Kind.NOT_FOUND: StatusCode.NOT_FOUND,
    Kind.CONFLICT: StatusCode.ALREADY_EXISTS,
    Kind.INVALID: StatusCode.INVALID_ARGUMENT,
    Kind.UNAUTHENTICATED: StatusCode.UNAUTHENTICATED,
    Kind.FORBIDDEN: StatusCode.PERMISSION_DENIED,
    Kind.EXHAUSTED: StatusCode.RESOURCE_EXHAUSTED,
    Kind.TOO_LARGE: StatusCode.OUT_OF_RANGE,
    Kind.UNSUPPORTED: StatusCode.INVALID_ARGUMENT,
    Kind.PRECONDITION: StatusCode.FAILED_PRECONDITION,
    Kind.UNAVAILABLE: StatusCode.UNAVAILABLE,
    Kind.INTERNAL: StatusCode.INTERNAL,
}

_KIND_OF_BARE_STATUS: Mapping[StatusCode, Kind] = {
    StatusCode.INVALID_ARGUMENT: Kind.INVALID,
    StatusCode.OUT_OF_RANGE: Kind.INVALID,
    StatusCode.NOT_FOUND: Kind.NOT_FOUND,
    StatusCode.ALREADY_EXISTS: Kind.CONFLICT,
    StatusCode.ABORTED: Kind.CONFLICT,
    StatusCode.UNAUTHENTICATED: Kind.UNAUTHENTICATED,
    StatusCode.PERMISSION_DENIED: Kind.FORBIDDEN,
    StatusCode.RESOURCE_EXHAUSTED: Kind.EXHAUSTED,
    StatusCode.FAILED_PRECONDITION: Kind.PRECONDITION,
    StatusCode.UNAVAILABLE: Kind.UNAVAILABLE,
    StatusCode.DEADLINE_EXCEEDED: Kind.UNAVAILABLE,
    StatusCode.CANCELLED: Kind.UNAVAILABLE,
}

SERVER_FAULTS = frozenset(
    {
        StatusCode.UNKNOWN,
        StatusCode.DEADLINE_EXCEEDED,
        StatusCode.UNIMPLEMENTED,
        StatusCode.INTERNAL,
        StatusCode.UNAVAILABLE,
        StatusCode.DATA_LOSS,
    }
)
"""Statuses that the conventions count as errors of a server span."""

UNAVAILABLE_DETAIL = "The service cannot answer right now."
INTERNAL_DETAIL = "The server failed; the error has been logged."


def to_trailer(error: AppError) -> tuple[tuple[str, bytes], ...]:
    """Return the trailing metadata of `error`; members are left out where they do not fit."""
    told: dict[str, JsonValue] = {
        "code": error.error_code,
        "kind": error.error_kind.value,
        "detail": error.detail,
        "retryable": error.can_retry,
        "members": dict(error.members),
    }
    encoded = json.dumps(told, separators=(",", ":")).encode()
    if len(encoded) > _TRAILER_BYTES_MAX:
        told |= {"members": {}, "detail": error.detail[:1000]}
        encoded = json.dumps(told, separators=(",", ":")).encode()
    return ((TRAILER, encoded),)


def from_status(
    status: StatusCode, detail: str | None, trailers: Iterable[tuple[str, str | bytes]] | None
) -> RemoteError:
    """Return the error that a failed call stands for, whole if the trailer carries it."""
    for name, value in trailers or ():
        told = _from_trailer(value) if name == TRAILER and isinstance(value, bytes) else None
        if told is not None:
            return told
    kind = _KIND_OF_BARE_STATUS.get(status, Kind.INTERNAL)
    return RemoteError(
        detail or status.name,
        code=status.name.lower(),
        kind=kind,
        can_retry=kind is Kind.UNAVAILABLE,
    )


def _from_trailer(value: bytes) -> RemoteError | None:
    try:
        told: Any = json.loads(value)
        return RemoteError(
            str(told["detail"]),
            code=str(told["code"]),
            kind=Kind(told["kind"]),
            can_retry=told.get("retryable") is True,
            members=cast("Mapping[str, JsonValue]", told.get("members") or {}),
        )
    except (ValueError, KeyError, TypeError):
        return None  # a newer or foreign peer: the bare status still says enough
