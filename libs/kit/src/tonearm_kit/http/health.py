"""`/livez` says that the process turns, `/readyz` that it can serve, `/metrics` how it does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import JsonValue

from tonearm_kit import telemetry
from tonearm_kit.logs import get_logger

PATHS = frozenset({"/livez", "/readyz", "/metrics"})
"""Asked every few seconds by machines: neither traced nor in the access log."""

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must work before requests are welcome.

    `probe` returns when it does and raises when it does not; after `timeout_s` seconds it
    counts as broken.
    """

    name: str
    probe: Callable[[], Awaitable[object]]
    timeout_s: float = 2.0


async def _run(check: Check) -> tuple[bool, JsonValue]:
    started = time.perf_counter()
    reason: str | None = None
    try:
        async with asyncio.timeout(check.timeout_s):
            await check.probe()
    except TimeoutError:
        reason = f"no answer within {check.timeout_s:g} s"
    except Exception as error:
        # Only the class goes out: messages of drivers carry addresses and user names.
        reason = type(error).__name__
        log.warning("readiness check failed", check=check.name, exc_info=error)
    took_ms = round((time.perf_counter() - started) * 1000, 1)
    outcome: dict[str, JsonValue] = {"ok": reason is None, "duration_ms": took_ms}
    if reason is not None:
        outcome["reason"] = reason
    return reason is None, outcome


def routes(readiness: Sequence[Check]) -> APIRouter:
    """Return the three routes; they are not part of the public API description."""
    router = APIRouter(include_in_schema=False)

    @router.get("/livez")
    async def livez() -> dict[str, str]:
        return {"status": "ok"}

    @router.get("/readyz")
    async def readyz(request: Request) -> Response:
        draining = bool(getattr(request.app.state, "draining", False))
        async with asyncio.TaskGroup() as group:
            running = {check.name: group.create_task(_run(check)) for check in readiness}
        outcomes = {name: task.result() for name, task in running.items()}
        ready = not draining and all(ok for ok, _ in outcomes.values())
        status = "draining" if draining else "ok" if ready else "not_ready"
        return JSONResponse(
            {"status": status, "checks": {name: shown for name, (_, shown) in outcomes.items()}},
            status_code=200 if ready else 503,
            headers={"Cache-Control": "no-store"},
        )

    @router.get("/metrics")
    async def metrics() -> Response:
        return Response(
            telemetry.render_metrics(), headers={"Content-Type": telemetry.METRICS_CONTENT_TYPE}
        )

    return router
