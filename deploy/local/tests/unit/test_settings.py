"""Ports, places, and which parts run elsewhere."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tonearm_local import environment, passwords, stack, surroundings
from tonearm_local.settings import SERVICES, LocalSettings, load


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TONEARM_STATE_DIR", str(tmp_path / "state"))


def names(**fields: Any) -> list[str]:
    return [c.name for c in stack.components(LocalSettings(_env_file=None, **fields))]


def test_by_default_everything_runs_here() -> None:
    assert names() == ["kafka", "postgres", "zipkin", "gateway", *SERVICES]


@pytest.mark.parametrize(
    ("fields", "left_out"),
    [
        ({"kafka_bootstrap_servers": "kafka.example:9092"}, "kafka"),
        ({"otel_traces_exporter": "otlp"}, "zipkin"),
        ({"otel_traces_exporter": "none"}, "zipkin"),
        ({"otel_exporter_zipkin_endpoint": "http://z.example:9411/api/v2/spans"}, "zipkin"),
        ({f"{s}_database_url": "postgresql://u:p@db.example/t" for s in SERVICES}, "postgres"),
    ],
)
def test_what_is_pointed_elsewhere_is_not_started(fields: dict[str, str], left_out: str) -> None:
    assert left_out not in names(**fields)


def test_one_service_with_its_own_database_leaves_postgres_to_the_others() -> None:
    assert "postgres" in names(auth_database_url="postgresql://u:p@db.example/t")


def test_the_stacks_own_addresses_do_not_count_as_elsewhere() -> None:
    own = {f"{s}_database_url": f"postgresql://{s}:p@127.0.0.1:5433/tonearm" for s in SERVICES}
    assert names(kafka_bootstrap_servers="127.0.0.1:9092", **own) == names()


def test_components_can_be_left_out() -> None:
    settings = LocalSettings(_env_file=None)
    assert [c.name for c in stack.components(settings, infra_only=True)] == list(
        stack.INFRASTRUCTURE
    )
    assert "ingest" not in [c.name for c in stack.components(settings, without=["ingest"])]


def test_every_port_has_a_setting_and_no_two_share_one() -> None:
    ports = LocalSettings(_env_file=None).ports()
    settings = [name for own in ports.values() for name in own]
    numbers = [port for own in ports.values() for port in own.values()]
    assert len(set(numbers)) == len(numbers)
    assert all(name.lower() in LocalSettings.model_fields for name in settings)


def test_a_port_out_of_range_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_PORT", "70000")
    with pytest.raises(ValidationError):
        load()


def test_the_environment_wins_over_the_settings_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "settings"
    file.write_text("# ports\nKAFKA_PORT=1111\nZIPKIN_PORT='2222'\n\n", "utf-8")
    monkeypatch.setenv("TONEARM_ENV_FILE", str(file))
    monkeypatch.setenv("KAFKA_PORT", "3333")
    assert (load().kafka_port, load().zipkin_port) == (3333, 2222)
    assert surroundings.dotenv() == {"KAFKA_PORT": "1111", "ZIPKIN_PORT": "2222"}


def test_a_service_is_told_its_own_database_and_nobody_elses() -> None:
    settings = load()
    told = environment.service(settings, "ingest")
    assert told["INGEST_DATABASE_URL"].startswith("postgresql://ingest_svc:")
    assert told["INGEST_DATABASE_SCHEMA"] == "ingest"
    assert not any(name.startswith(("AUTH_DATABASE", "NOTIFY_DATABASE")) for name in told)


def test_passwords_are_made_once_and_kept_from_others() -> None:
    settings = load()
    first = passwords.password(settings, "auth_svc")
    assert passwords.password(settings, "auth_svc") == first
    assert passwords.password(settings, "notify_svc") != first
    kept = settings.path("secrets", "postgres-auth_svc")
    assert kept.stat().st_mode & 0o777 == 0o600


def test_objects_lie_in_the_state_directory_unless_told(tmp_path: Path) -> None:
    spaced = LocalSettings(_env_file=None, TONEARM_STATE_DIR=tmp_path / "a b")
    assert spaced.objects_url.endswith("/a%20b/objects")
    assert LocalSettings(_env_file=None, object_store_url="s3://b/p").objects_url == "s3://b/p"
