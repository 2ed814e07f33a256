"""The gateway's configuration, for the local stack and for Kubernetes, from one source.

deploy/gateway holds the template, the routes and Kubernetes' values; this module holds what is
the same everywhere and is easier to read as data: headers and the gateway's own answers.
"""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import jinja2
import yaml

from tonearm_local.settings import SERVICES, LocalSettings
from tonearm_local.surroundings import ROOT

SOURCE = ROOT / "deploy" / "gateway"
FOR_KUBERNETES = ROOT / "deploy" / "k8s" / "base" / "gateway" / "envoy.yaml"

CORS_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
CORS_REQUEST_HEADERS = (
    "authorization",
    "baggage",
    "content-type",
    "idempotency-key",
    "if-match",
    "if-none-match",
    "last-event-id",
    "traceparent",
    "tracestate",
    "tus-resumable",
    "upload-checksum",
    "upload-concat",
    "upload-defer-length",
    "upload-length",
    "upload-metadata",
    "upload-offset",
    "x-http-method-override",
    "x-requested-with",
)
CORS_RESPONSE_HEADERS = (
    "content-disposition",
    "etag",
    "link",
    "location",
    "ratelimit",
    "ratelimit-policy",
    "retry-after",
    "tonearm-audio-id",
    "tus-checksum-algorithm",
    "tus-extension",
    "tus-max-size",
    "tus-resumable",
    "tus-version",
    "upload-concat",
    "upload-expires",
    "upload-length",
    "upload-metadata",
    "upload-offset",
    "www-authenticate",
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
    "x-request-id",
)
INTERNAL_HEADERS = (
    "forwarded",
    "x-real-ip",
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-b3-flags",
    "b3",
    "x-envoy-max-retries",
    "x-envoy-retry-on",
    "x-envoy-upstream-rq-timeout-ms",
    "x-envoy-upstream-rq-per-try-timeout-ms",
    "x-envoy-original-path",
    "x-envoy-internal",
    "x-envoy-decorator-operation",
    "x-tonearm-account",
    "x-tonearm-service",
)


class LocalReply(NamedTuple):
    """An answer that the gateway gives by itself. *when* is a CEL expression."""

    when: str
    status: int
    code: str
    title: str


def _details(part: str) -> str:
    return f"response.code_details.contains('{part}')"


LOCAL_REPLIES = (
    LocalReply(
        _details("session-ended"),
        401,
        "session_ended",
        "The session of this token has ended; log in again.",
    ),
    LocalReply(
        _details("rbac_access_denied"),
        413,
        "body_too_large",
        "The request body is larger than this route takes.",
    ),
    LocalReply(
        _details("Jwt_is_missing"), 401, "token_missing", "The request carries no access token."
    ),
    LocalReply(_details("Jwt_is_expired"), 401, "token_expired", "The access token has expired."),
    LocalReply(
        _details("Jwks_remote_fetch"),
        503,
        "keys_unavailable",
        "The keys that tokens are checked with cannot be fetched right now.",
    ),
    # A token made for somebody else is answered 403 by the filter; to the caller it is one more
    # token that does not count here.
    LocalReply(
        _details("jwt_authn_access_denied"),
        401,
        "token_invalid",
        "The access token is not valid here.",
    ),
    LocalReply("response.code == 400", 400, "malformed_request", "The request could not be read."),
    LocalReply("response.code == 404", 404, "not_found", "There is nothing at this address."),
    LocalReply(
        "response.code == 408", 408, "request_timeout", "The request did not arrive in time."
    ),
    LocalReply(
        "response.code == 413",
        413,
        "body_too_large",
        "The request body is larger than this route takes.",
    ),
    LocalReply(
        "response.code == 429",
        429,
        "too_many_requests",
        "Too many requests; Retry-After tells when to come back.",
    ),
    LocalReply("response.code == 431", 431, "headers_too_large", "The request head is too large."),
    LocalReply("response.code == 503", 503, "unavailable", "The service cannot answer right now."),
    LocalReply("response.code == 504", 504, "timed_out", "The service did not answer in time."),
    LocalReply("response.code >= 500", 502, "bad_gateway", "The service's answer was broken."),
)


def routes() -> list[dict[str, Any]]:
    """routes.yaml with its defaults filled in."""
    raw = yaml.safe_load((SOURCE / "routes.yaml").read_text("utf-8"))
    return [raw["defaults"] | {"methods": []} | route for route in raw["routes"]]


def find_route(method: str, path: str) -> dict[str, Any] | None:
    """The route that Envoy takes for a request; None when nothing fits."""
    for route in routes():
        if (not route["methods"] or method in route["methods"]) and _fits(route["match"], path):
            return route
    return None


def _fits(match: dict[str, str], path: str) -> bool:
    if "path" in match:
        return path == match["path"]
    if "prefix" in match:
        return path.startswith(match["prefix"])
    if "segment" in match:
        return path == match["segment"] or path.startswith(match["segment"] + "/")
    return re.fullmatch(match["regex"], path) is not None


def local_values(settings: LocalSettings) -> dict[str, Any]:
    """The template's values in the local stack."""
    upstreams: dict[str, dict[str, Any]] = {
        name: {"host": "127.0.0.1", "port": getattr(settings, f"{name}_http_port")}
        for name in SERVICES
    }
    upstreams["auth"]["grpc_port"] = settings.auth_grpc_port
    upstreams["notify_ws"] = {"host": "127.0.0.1", "port": settings.notify_ws_port}
    origins = [origin.strip() for origin in settings.cors_allowed_origins.split(",")]
    return {
        "listen": {"host": settings.gateway_host, "port": settings.gateway_port},
        "admin": {"host": "127.0.0.1", "port": settings.gateway_admin_port},
        "token": {"issuer": settings.issuer, "audience": settings.token_audience},
        "cors_allowed_origins": [origin for origin in origins if origin],
        "trusted_hops": settings.gateway_trusted_hops,
        "body_bytes_max": {
            "small": settings.gateway_body_bytes_max,
            "upload": settings.gateway_upload_bytes_max,
        },
        "access_log": str(settings.path("logs", "gateway-access.log")),
        "upstreams": upstreams,
        "tracing": _local_tracing(settings),
    }


def _local_tracing(settings: LocalSettings) -> dict[str, Any]:
    if settings.otel_traces_exporter == "zipkin_json":
        parts = urlsplit(settings.zipkin_endpoint)
        return {
            "kind": "zipkin",
            "host": parts.hostname,
            "port": parts.port or 80,
            "path": parts.path,
        }
    if settings.otel_traces_exporter == "otlp":
        parts = urlsplit(settings.otel_exporter_otlp_endpoint or "http://127.0.0.1:4317")
        return {"kind": "opentelemetry", "host": parts.hostname, "port": parts.port or 4317}
    return {"kind": "none"}


def k8s_values() -> dict[str, Any]:
    """The template's values in Kubernetes."""
    values: dict[str, Any] = yaml.safe_load((SOURCE / "k8s.yaml").read_text("utf-8"))
    return values


def render(values: dict[str, Any]) -> str:
    """Envoy's bootstrap as YAML."""
    environment = _environment()
    internal = list(INTERNAL_HEADERS)
    if values["trusted_hops"] == 0:
        internal.append("x-forwarded-for")
    return environment.get_template("envoy.yaml.j2").render(
        **values,
        routes=routes(),
        internal_headers=internal,
        local_replies=LOCAL_REPLIES,
        cors_methods=CORS_METHODS,
        cors_request_headers=CORS_REQUEST_HEADERS,
        cors_response_headers=CORS_RESPONSE_HEADERS,
    )


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(SOURCE),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 - YAML, not HTML; values are quoted as JSON
        keep_trailing_newline=True,
    )
    # Jinja's own tojson escapes for HTML; JSON proper is YAML's flow style.
    environment.filters["tojson"] = json.dumps
    return environment


def for_kubernetes() -> str:
    """Kubernetes' rendering as committed; byte for byte the same for the same source.

    Kustomize makes the ConfigMap of it and names it after the content, so that a new rendering
    rolls the pods: Envoy reads its bootstrap once.
    """
    head = "# Rendered by `python -m tonearm_local gateway k8s` from deploy/gateway; do not edit.\n"
    return head + render(k8s_values())


def committed_is_current(path: Path = FOR_KUBERNETES) -> bool:
    """True when the committed rendering is what the source renders to."""
    return path.is_file() and path.read_text("utf-8") == for_kubernetes()
