"""The app factory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi

from tonearm_kit.errors import AppError
from tonearm_kit.http import health
from tonearm_kit.http import problem as problem_module
from tonearm_kit.http.body import BodyLimit
from tonearm_kit.http.door import Door
from tonearm_kit.http.health import Check
from tonearm_kit.http.problem import MEDIA_TYPE, STATUS, Problem
from tonearm_kit.tokens import TokenVerifier

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]

_SCHEMA_REF = {"$ref": "#/components/schemas/Problem"}


def problems(*errors: type[AppError]) -> dict[int | str, dict[str, Any]]:
    """Return what a route's `responses=` says about the errors it may answer with."""
    by_status: dict[int | str, list[str]] = {}
    for error in errors:
        by_status.setdefault(STATUS[error.kind], []).append(f"`{error.code}`: {error.title()}")
    return {status: _documented("  \n".join(lines)) for status, lines in by_status.items()}


def _documented(description: str) -> dict[str, Any]:
    return {"description": description, "content": {MEDIA_TYPE: {"schema": _SCHEMA_REF}}}


def create_app(
    *,
    title: str,
    version: str,
    routers: Sequence[APIRouter],
    readiness: Sequence[Check] = (),
    lifespan: Lifespan | None = None,
    body_size_bytes_max: int = 1024 * 1024,
    body_size_bytes_max_by_prefix: Mapping[str, int] | None = None,
    verifier: TokenVerifier | None = None,
    description: str = "",
) -> FastAPI:
    """Return an app with the house's doors around `routers`.

    Every error is a problem document, every body has a limit (in bytes; by start of the path
    where the default does not fit), `/livez`, `/readyz` and `/metrics` are there. `verifier`
    serves the dependency `tokens.Caller`.
    """
    app = FastAPI(
        title=title,
        version=version,
        description=description,
        lifespan=lifespan,
        openapi_url="/openapi.json",
        docs_url=None,
        redoc_url=None,
        # A redirect would name an address behind the gateway; a wrong path is a 404.
        redirect_slashes=False,
        # The door traces; the framework's own spans would be a second, unpinned set.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
        responses={
            422: _documented("`invalid_request`: The request does not have the right shape."),
            "default": _documented("Any other problem."),
        },
    )
    app.state.draining = False
    app.state.token_verifier = verifier
    problem_module.install(app)
    for router in routers:
        app.include_router(router)
    app.include_router(health.routes(readiness))
    # The last one added is the outermost.
    app.add_middleware(
        BodyLimit,
        size_bytes_max=body_size_bytes_max,
        by_prefix=dict(body_size_bytes_max_by_prefix or {}),
    )
    app.add_middleware(Door)
    _describe(app)
    return app


def _describe(app: FastAPI) -> None:
    """Make `app.openapi` name the problem schema and nothing of the framework's own."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(
                title=app.title,
                version=app.version,
                description=app.description,
                routes=app.routes,
            )
            components = schema.setdefault("components", {}).setdefault("schemas", {})
            for name in ("HTTPValidationError", "ValidationError"):
                components.pop(name, None)
            components["Problem"] = Problem.model_json_schema(
                ref_template="#/components/schemas/{model}"
            )
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
