"""The app factory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from fastapi import APIRouter, FastAPI

from tonearm_kit.http import health
from tonearm_kit.http import problem as problem_module
from tonearm_kit.http.body import BodyLimit
from tonearm_kit.http.describe import ANY_PROBLEM, describe, operation_id
from tonearm_kit.http.door import Door
from tonearm_kit.http.health import Check
from tonearm_kit.tokens import TokenVerifier

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


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
        responses=ANY_PROBLEM,
        generate_unique_id_function=operation_id,
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

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = describe(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
    return app
