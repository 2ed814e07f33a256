"""Every error leaves as RFC 9457 `application/problem+json`, whoever raised it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.routing import iter_route_contexts
from opentelemetry import trace
from pydantic import BaseModel, ConfigDict, Field, JsonValue
from starlette.exceptions import HTTPException
from starlette.routing import Match

from tonearm_kit.errors import AppError, Kind, RemoteError, problem_type

MEDIA_TYPE = "application/problem+json"

STATUS: Mapping[Kind, int] = {
    Kind.MALFORMED: 400,
    Kind.UNAUTHENTICATED: 401,
    Kind.FORBIDDEN: 403,
    Kind.NOT_FOUND: 404,
    Kind.CONFLICT: 409,
    Kind.PRECONDITION: 412,
    Kind.TOO_LARGE: 413,
    Kind.UNSUPPORTED: 415,
    Kind.INVALID: 422,
    Kind.EXHAUSTED: 429,
    Kind.INTERNAL: 500,
    Kind.UNAVAILABLE: 503,
}

FRAMEWORK_PROBLEMS: Mapping[int, tuple[str, str]] = {
    400: ("malformed_request", "The request could not be read."),
    401: ("unauthenticated", "The request carries no valid credentials."),
    403: ("forbidden", "The caller may not do this."),
    404: ("not_found", "There is nothing at this address."),
    405: ("method_not_allowed", "This address does not serve this method."),
    406: ("not_acceptable", "No representation fits the Accept header."),
    413: ("body_too_large", "The request body is larger than this route takes."),
    415: ("unsupported_media_type", "The content type is not supported here."),
    429: ("too_many_requests", "Too many requests."),
    500: ("internal_error", "The server failed; the error has been logged."),
    503: ("unavailable", "The service cannot answer right now."),
}
"""Code and title of a status that no error class stands for."""


class InvalidRequest(AppError):
    """The request does not have the shape that this route takes; `errors` says where and why."""

    code, kind = "invalid_request", Kind.INVALID


class Problem(BaseModel):
    """An error, RFC 9457. Further members depend on the type."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="Stable URI of the kind of problem.")
    title: str = Field(description="What every problem of this type has in common.")
    status: int = Field(description="The HTTP status, repeated.")
    detail: str = Field(description="What went wrong this time.")
    code: str = Field(description="The last part of the type, for programs.")
    request_id: str | None = Field(None, description="Quote this when asking for help.")
    trace_id: str | None = Field(None, description="W3C trace id, hex, of the failed request.")


def _trace_id() -> str | None:
    context = trace.get_current_span().get_span_context()
    return format(context.trace_id, "032x") if context.is_valid else None


def problem_response(
    *,
    status: int,
    code: str,
    title: str,
    detail: str | None = None,
    request_id: str | None = None,
    members: Mapping[str, JsonValue] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return the response of one problem. A member never replaces a standard one."""
    body: dict[str, JsonValue] = dict(members or {})
    body |= {
        "type": problem_type(code),
        "title": title,
        "status": status,
        "detail": detail or title,
        "code": code,
    }
    body |= {
        name: value
        for name, value in (("request_id", request_id), ("trace_id", _trace_id()))
        if value
    }
    sent = dict(headers or {})
    retry_after_s = body.get("retry_after_s")
    if isinstance(retry_after_s, int | float):
        sent.setdefault("Retry-After", str(max(0, math.ceil(retry_after_s))))
    if status == 401:
        sent.setdefault("WWW-Authenticate", f'Bearer error="{code}"')
    return JSONResponse(body, status_code=status, headers=sent, media_type=MEDIA_TYPE)


def request_id(request: Request) -> str | None:
    """Return the id that this request answers with, None outside the kit's door."""
    value = request.scope.get("tonearm.request_id")
    return str(value) if value else None


def status_of(error: AppError | type[AppError]) -> int:
    """Return the HTTP status of an error, or of every error of a class."""
    kind = error.error_kind if isinstance(error, AppError) else error.kind
    return error.http_status or STATUS[kind]


def from_app_error(error: AppError, *, request_id: str | None = None) -> Response:
    """Return the problem of an `AppError`; internal ones show nothing but their code."""
    status = status_of(error)
    hidden = error.error_kind is Kind.INTERNAL
    code = error.error_code
    return problem_response(
        status=status,
        code=code,
        title=FRAMEWORK_PROBLEMS[500][1] if hidden else _title(error),
        detail=FRAMEWORK_PROBLEMS[500][1] if hidden else error.detail,
        request_id=request_id,
        members={} if hidden else error.members,
    )


def _title(error: AppError) -> str:
    """Return what the errors of this kind have in common; of another service's, what it said."""
    return error.detail if isinstance(error, RemoteError) else type(error).title()


def _allowed_methods(request: Request) -> str:
    """Return every method that is served at this path, for `Allow`.

    The framework names only those of the first route that fits. Where several templates fit,
    such as `/x/all` and `/x/{id}`, the one with the fewest parameters is the resource.
    """
    by_template: dict[str, set[str]] = {}
    for route in iter_route_contexts(request.app.routes):
        if route.matches(request.scope)[0] is not Match.NONE:
            template = str(getattr(route, "path", ""))
            by_template.setdefault(template, set()).update(getattr(route, "methods", None) or ())
    resource = min(by_template, key=lambda template: template.count("{"), default="")
    return ", ".join(sorted(by_template.get(resource, set())))


def from_status(
    status: int, *, request_id: str | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    """Return the problem of a bare HTTP status, such as the router's 404 and 405."""
    code, title = FRAMEWORK_PROBLEMS.get(status, (f"http_{status}", f"HTTP status {status}."))
    return problem_response(
        status=status, code=code, title=title, request_id=request_id, headers=headers
    )


def validation_errors(errors: Sequence[Any]) -> list[JsonValue]:
    """Return where and why, without the values: they may be secrets."""
    return [
        {
            "in": str(error["loc"][0]) if error.get("loc") else "body",
            "pointer": _pointer(error),
            "detail": _reason(error),
            "type": str(error["type"]),
        }
        for error in errors
    ]


def _pointer(error: Any) -> str:
    # Of a text that is no JSON, the framework names the character, which no pointer can.
    inside = () if error["type"] == "json_invalid" else error.get("loc", ())[1:]
    return "".join(f"/{part}" for part in inside)


def _reason(error: Any) -> str:
    """Return what is wrong, for whoever wrote the request; the framework speaks of its own parts."""
    if error["type"] == "json_invalid":
        why = error.get("ctx", {}).get("error", error["msg"])
        return f"The body is not JSON, at character {int(error['loc'][1]) + 1}: {why}"
    if error["type"] == "model_attributes_type" and tuple(error["loc"]) == ("body",):
        return "The body must be a JSON object, sent with `Content-Type: application/json`."
    return str(error["msg"])


def install(app: FastAPI) -> None:
    """Give `app` the handlers that turn every exception it knows into a problem."""

    @app.exception_handler(AppError)
    async def on_app_error(request: Request, error: AppError) -> Response:
        return from_app_error(error, request_id=request_id(request))

    @app.exception_handler(RequestValidationError)
    async def on_validation(request: Request, error: RequestValidationError) -> Response:
        refused = InvalidRequest(errors=validation_errors(error.errors()))
        return from_app_error(refused, request_id=request_id(request))

    @app.exception_handler(HTTPException)
    async def on_http(request: Request, error: HTTPException) -> Response:
        headers = dict(error.headers or {})
        if error.status_code == 405:
            headers["Allow"] = _allowed_methods(request)
        return from_status(error.status_code, request_id=request_id(request), headers=headers)
