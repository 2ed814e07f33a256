"""The rendered gateway: one source, the order of the house, nothing forgotten on a route."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tonearm_local import gateway
from tonearm_local.settings import LocalSettings


def manager(config: dict[str, Any]) -> dict[str, Any]:
    (listener,) = config["static_resources"]["listeners"]
    found: dict[str, Any] = listener["filter_chains"][0]["filters"][0]["typed_config"]
    return found


def routes(config: dict[str, Any]) -> list[dict[str, Any]]:
    (host,) = manager(config)["route_config"]["virtual_hosts"]
    found: list[dict[str, Any]] = host["routes"]
    return found


@pytest.fixture(params=["local", "k8s"])
def config(request: pytest.FixtureRequest) -> dict[str, Any]:
    local = gateway.local_values(LocalSettings(_env_file=None))
    values = local if request.param == "local" else gateway.k8s_values()
    parsed: dict[str, Any] = yaml.safe_load(gateway.render(values))
    return parsed


def test_filters_stand_in_the_order_limiter_cors_token_limiter_endpoint(
    config: dict[str, Any],
) -> None:
    filters = manager(config)["http_filters"]
    assert [f["name"] for f in filters] == [
        "address_limit",
        "envoy.filters.http.cors",
        "envoy.filters.http.jwt_authn",
        "account_limit",
        "body_size",
        "envoy.filters.http.router",
    ]
    limits = [f["typed_config"] for f in filters if f["name"].endswith("_limit")]
    assert [limit["stage"] for limit in limits] == [0, 1]
    assert {limit["domain"] for limit in limits} == {"tonearm"}


def test_every_route_tells_limits_token_and_body_size(config: dict[str, Any]) -> None:
    for route in routes(config):
        if "direct_response" in route:
            continue
        stages = [limit["stage"] for limit in route["route"]["rate_limits"]]
        assert stages == [0, 0, 1], route["name"]
        own = route["typed_per_filter_config"]
        requirement = own["envoy.filters.http.jwt_authn"]["requirement_name"]
        assert requirement in {"required", "optional"}
        assert "body-too-large" in own["body_size"]["rbac"]["rules"]["policies"]


def test_only_named_routes_pass_without_a_token(config: dict[str, Any]) -> None:
    optional = {
        route["name"]
        for route in routes(config)
        if "direct_response" not in route
        and route["typed_per_filter_config"]["envoy.filters.http.jwt_authn"]["requirement_name"]
        == "optional"
    }
    assert optional == {
        "login",
        "register",
        "auth",
        "flags",
        "well_known",
        "openapi",
        "analysis",  # OPTIONS alone
        "upload_options",
        "websocket",
        "events",
    }


def test_streams_have_no_deadline_and_everything_else_has(config: dict[str, Any]) -> None:
    endless = {
        route["name"]
        for route in routes(config)
        if "route" in route and route["route"]["timeout"] == "0s"
    }
    assert endless == {"websocket", "events"}


def test_only_the_websocket_route_may_upgrade(config: dict[str, Any]) -> None:
    assert manager(config)["upgrade_configs"] == [{"upgrade_type": "websocket", "enabled": False}]
    upgrading = [
        route["name"] for route in routes(config) if "upgrade_configs" in route.get("route", {})
    ]
    assert upgrading == ["websocket"]


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("POST", "/v1/auth/login", "login"),
        ("GET", "/v1/auth/login", "auth"),
        ("GET", "/v1/audio/1/analysis", "analysis"),
        ("GET", "/v1/audio/1/analysis/beats", "analysis"),
        ("GET", "/v1/audio/1/analysisx", "audio"),
        ("POST", "/v1/audio", "upload"),
        ("GET", "/v1/audio", "audio"),
        ("DELETE", "/v1/audio/1", "audio"),
        ("GET", "/v1/audiobook", None),
        ("PATCH", "/v1/uploads/1", "upload_part"),
        ("GET", "/connection/websocket", "websocket"),
        ("GET", "/v1/events", "events"),
        ("POST", "/v1/events/tickets", "event_tickets"),
    ],
)
def test_requests_find_their_route(method: str, path: str, expected: str | None) -> None:
    found = gateway.find_route(method, path)
    assert (found and found["name"]) == expected


def test_a_trusted_proxy_in_front_keeps_its_word_about_addresses(config: dict[str, Any]) -> None:
    (mutation,) = manager(config)["early_header_mutation_extensions"]
    removed = {m["remove"] for m in mutation["typed_config"]["mutations"]}
    hops = manager(config)["xff_num_trusted_hops"]
    assert ("x-forwarded-for" in removed) == (hops == 0)
    assert set(gateway.INTERNAL_HEADERS) <= removed


def test_every_own_answer_is_a_problem(config: dict[str, Any]) -> None:
    for mapper in manager(config)["local_reply_config"]["mappers"]:
        override = mapper["body_format_override"]
        assert override["content_type"] == "application/problem+json"
        assert override["json_format"]["status"] == mapper["status_code"]
        assert override["json_format"]["type"].startswith("https://tonearm.dev/problems/")


def test_the_committed_rendering_is_current() -> None:
    assert gateway.committed_is_current()


def test_a_stale_rendering_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "envoy.yaml"
    assert not gateway.committed_is_current(path)
    path.write_text(gateway.for_kubernetes() + "#\n", "utf-8")
    assert not gateway.committed_is_current(path)


def test_odd_paths_and_origins_survive_quoting() -> None:
    values = gateway.local_values(
        LocalSettings(_env_file=None, TONEARM_STATE_DIR=Path("/a b/'c\""))
    )
    values["cors_allowed_origins"] = ["https://x.example/'\"{}"]
    config = yaml.safe_load(gateway.render(values))
    log = manager(config)["access_log"][0]["typed_config"]["path"]
    assert log == "/a b/'c\"/logs/gateway-access.log"
    assert "https://x.example/'\"{}" in json.dumps(config).replace('\\"', '"')


@pytest.mark.parametrize(
    ("exporter", "tracer"),
    [("zipkin_json", "zipkin"), ("otlp", "opentelemetry"), ("none", "none")],
)
def test_the_tracer_follows_the_exporter_of_the_services(exporter: str, tracer: str) -> None:
    settings = LocalSettings(_env_file=None, otel_traces_exporter=exporter)
    assert gateway.local_values(settings)["tracing"]["kind"] == tracer
    yaml.safe_load(gateway.render(gateway.local_values(settings)))
