"""What an app says of itself at `/openapi.json`: one voice for every service.

FastAPI knows routes and shapes. What every route of the house has in common is added here, so
that no route can forget it: refusals of the doors, names and summaries that generated clients
can be read by.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from tonearm_kit.errors import AppError, problem_type
from tonearm_kit.http.body import BodyTooLarge
from tonearm_kit.http.problem import MEDIA_TYPE, InvalidRequest, Problem, status_of
from tonearm_kit.tokens import TokenExpired, TokenInvalid, TokenMissing

_SENTENCE_END = re.compile(r"\.(?:\s+|$)")
_PROBLEM = "#/components/schemas/Problem"

ANY_PROBLEM: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "Any other problem: 429 `too_many_requests` of the gateway, 503 while a "
        "part is away.",
        "content": {MEDIA_TYPE: {"schema": {"$ref": _PROBLEM}}},
    }
}


def problems(*errors: type[AppError]) -> dict[int | str, dict[str, Any]]:
    """Return what a route's `responses=` says about the errors it may answer with."""
    by_status: dict[int | str, dict[str, Any]] = {}
    for error in errors:
        _add(by_status, error)
    return by_status


def _add(responses: dict[int | str, Any], error: type[AppError], status: str = "") -> None:
    """Add one error to the responses of a route, after those of the same status."""
    key = status or status_of(error)
    response = responses.setdefault(key, {"description": "", "content": {}})
    line = f"`{error.code}`: {error.title()}"
    told = [each for each in response["description"].split("  \n") if each]
    if line in told:
        return
    response["description"] = "  \n".join([*told, line])
    content = response["content"].setdefault(
        MEDIA_TYPE, {"schema": {"$ref": _PROBLEM}, "examples": {}}
    )
    content["examples"][error.code] = {
        "value": {
            "type": problem_type(error.code),
            "title": error.title(),
            "status": status_of(error),
            "detail": error.title(),
            "code": error.code,
        }
    }


def operation_id(route: APIRoute) -> str:
    """Return the name of the route's function: what generated clients call the operation."""
    return route.name


def describe(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document of `app`."""
    document = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["Problem"] = Problem.model_json_schema()
    for operation in _operations(document["paths"]):
        _summarise(operation)
        _add_refusals_of_the_doors(operation)
    return document


def _operations(paths: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for item in paths.values():
        yield from (part for part in item.values() if isinstance(part, dict))


def _summarise(operation: dict[str, Any]) -> None:
    """Make the first sentence of the docstring the summary, what follows it the description."""
    summary, *rest = _SENTENCE_END.split(operation.pop("description", ""), maxsplit=1)
    operation["summary"] = " ".join(summary.split())
    if rest and rest[0]:
        operation["description"] = rest[0]


def _add_refusals_of_the_doors(operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    if operation.get("parameters") or "requestBody" in operation:
        _add(responses, InvalidRequest, "422")
    else:
        # FastAPI declares it for the whole app.
        responses.pop("422", None)
    if "requestBody" in operation:
        _add(responses, BodyTooLarge, "413")
    if operation.get("security"):
        for error in (TokenMissing, TokenInvalid, TokenExpired):
            _add(responses, error, "401")
    operation["responses"] = dict(sorted(responses.items()))
