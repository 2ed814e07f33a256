"""Run gRPC services inside a service's own task group."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as aio_health

from tonearm_kit.grpc.interceptors import ServerInterceptor
from tonearm_kit.logs import get_logger

Register = Callable[[grpc.aio.Server], None]

log = get_logger(__name__)

_OPTIONS = (
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", 4 * 1024 * 1024),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
)


async def serve(
    services: Sequence[Register],
    *,
    host: str,
    port: int,
    stop: asyncio.Event,
    health_names: Sequence[str] = (),
    timeout_s: float = 10.0,
    concurrent_calls_max: int = 512,
    grace_s: float = 10.0,
    on_started: Callable[[int], None] | None = None,
) -> None:
    """Serve until `stop`; then report NOT_SERVING, refuse new calls and finish what runs.

    services: functions that register a servicer, such as
    `partial(add_QuotaServiceServicer_to_server, servicer)`. health_names: full service names
    for `grpc.health.v1`, beside the empty name of the whole server. timeout_s: longest unary
    call. Calls still running `grace_s` seconds after `stop` are cut. Port 0 takes a free one,
    which `on_started` is told. Raises `OSError` when the address is taken.
    """
    server = grpc.aio.server(
        interceptors=[ServerInterceptor(timeout_s=timeout_s)],
        maximum_concurrent_rpcs=concurrent_calls_max,
        options=_OPTIONS,
    )
    health = aio_health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    for register in services:
        register(server)
    try:
        bound = server.add_insecure_port(f"{host}:{port}")
    except RuntimeError as error:
        raise OSError(f"cannot listen on {host}:{port}: {error}") from error
    await server.start()
    try:
        for name in ("", *health_names):
            await health.set(name, health_pb2.HealthCheckResponse.SERVING)
        log.info("serving gRPC", port=bound)
        if on_started is not None:
            on_started(bound)
        await stop.wait()
    finally:
        await health.enter_graceful_shutdown()
        await server.stop(grace_s)
