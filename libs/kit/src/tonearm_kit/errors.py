"""Errors that may cross a process boundary.

A domain raises a subclass of `AppError`; only the doors (`http`, `grpc`, the Kafka runner)
translate it. Everything else that is raised is a bug and leaves the process as INTERNAL.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import ClassVar

from pydantic import JsonValue

PROBLEM_BASE = "https://tonearm.dev/problems/"
"""Prefix of every problem `type`; the error's code follows, with dashes."""


class Kind(StrEnum):
    """What went wrong, coarse enough that every protocol has a word for it."""

    MALFORMED = "malformed"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    INVALID = "invalid"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    EXHAUSTED = "exhausted"
    TOO_LARGE = "too_large"
    UNSUPPORTED = "unsupported"
    PRECONDITION = "precondition"
    UNAVAILABLE = "unavailable"
    INTERNAL = "internal"


class AppError(Exception):
    """The request cannot be served.

    Subclasses set `code` and `kind`; the first line of their docstring is the default detail.
    Keyword arguments become extension members (RFC 9457), so they must be safe to show to the
    caller. A member `retry_after_s` (seconds) becomes the `Retry-After` header.
    """

    code: ClassVar[str] = "internal_error"
    kind: ClassVar[Kind] = Kind.INTERNAL
    retryable: ClassVar[bool] = False
    http_status: ClassVar[int | None] = None
    """Where a protocol on top of HTTP demands a status that no kind has; None: the kind's."""

    def __init__(self, detail: str | None = None, **members: JsonValue) -> None:
        self.detail = detail or self.title()
        self.members: Mapping[str, JsonValue] = members
        super().__init__(self.detail)

    @classmethod
    def title(cls) -> str:
        """Return the sentence that describes every error of this class."""
        text = (cls.__doc__ or cls.__name__).strip()
        return text.splitlines()[0].strip()

    @property
    def error_code(self) -> str:
        """The code of this very error; differs from `code` only for rebuilt remote errors."""
        return self.code

    @property
    def error_kind(self) -> Kind:
        """The kind of this very error; differs from `kind` only for rebuilt remote errors."""
        return self.kind

    @property
    def can_retry(self) -> bool:
        """Whether the same call may succeed later."""
        return self.retryable


def problem_type(code: str) -> str:
    """Return the problem `type` URI of an error code."""
    return PROBLEM_BASE + code.replace("_", "-")


class RemoteError(AppError):
    """Another service refused the call.

    Carries the code, kind and members that the other side gave, so that a caller's door can
    pass the refusal on unchanged.
    """

    code = "remote_error"
    kind = Kind.INTERNAL

    def __init__(
        self,
        detail: str | None = None,
        *,
        code: str,
        kind: Kind,
        can_retry: bool = False,
        members: Mapping[str, JsonValue] | None = None,
    ) -> None:
        super().__init__(detail, **dict(members or {}))
        self._code, self._kind, self._can_retry = code, kind, can_retry

    @property
    def error_code(self) -> str:
        """The code that the other service gave."""
        return self._code

    @property
    def error_kind(self) -> Kind:
        """The kind that the other service gave."""
        return self._kind

    @property
    def can_retry(self) -> bool:
        """Whether the other service, or the transport, called the failure temporary."""
        return self._can_retry


class Unavailable(AppError):
    """A part that this request needs is not available right now."""

    code, kind, retryable = "unavailable", Kind.UNAVAILABLE, True
