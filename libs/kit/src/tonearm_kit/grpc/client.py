"""Channels to other services."""

from __future__ import annotations

import json

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tonearm_kit.errors import Unavailable
from tonearm_kit.grpc.interceptors import ClientInterceptor

_RETRIES = {
    "methodConfig": [
        {
            "name": [{}],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.1s",
                "maxBackoff": "1s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ],
    "loadBalancingConfig": [{"round_robin": {}}],
}
"""At most three retries within the call's deadline. A server that dies may have done the work,
so every method that writes takes an id which makes the second time harmless."""

_OPTIONS = (
    ("grpc.service_config", json.dumps(_RETRIES)),
    ("grpc.enable_retries", 1),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 5_000),
)


def channel(target: str, *, timeout_s: float = 2.0) -> grpc.aio.Channel:
    """Return a channel to `host:port`; whoever asked closes it (`async with`).

    Connecting happens on the first call, so the other side may start later. Unary calls end
    after `timeout_s` seconds unless they say otherwise, are retried while the server is
    UNAVAILABLE, and raise `RemoteError`, never `AioRpcError`.
    """
    return grpc.aio.insecure_channel(
        target, options=_OPTIONS, interceptors=[ClientInterceptor(timeout_s=timeout_s)]
    )


async def ping(open_channel: grpc.aio.Channel, *, name: str = "") -> None:
    """Ask the health service; raises `RemoteError` or `Unavailable`. For readiness checks."""
    stub = health_pb2_grpc.HealthStub(open_channel)
    answer = await stub.Check(health_pb2.HealthCheckRequest(service=name))
    if answer.status != health_pb2.HealthCheckResponse.SERVING:
        raise Unavailable(f"{name or 'the server'} is not serving")
