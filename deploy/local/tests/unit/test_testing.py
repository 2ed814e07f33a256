"""The stack for tests: a clean place, ports of its own."""

from pathlib import Path

import pytest

from tonearm_local import testing
from tonearm_local.probes import port_is_free


def test_the_last_runs_state_goes_and_its_class_archives_stay(tmp_path: Path) -> None:
    for name in ("kafka/data/topic-0/0.log", "kafka/Kafka.jsa", "postgres/data18/PG_VERSION"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "logs").mkdir()
    testing._clear(tmp_path)
    assert [path.name for path in tmp_path.rglob("*")] == ["kafka", "Kafka.jsa"]


def test_clearing_what_never_was_is_fine(tmp_path: Path) -> None:
    testing._clear(tmp_path / "none")


def test_ports_are_different_free_and_out_of_the_way_of_outgoing_connections() -> None:
    ports = testing.free_ports(20)
    assert len(set(ports)) == 20
    assert all(port_is_free("127.0.0.1", port) and port < 32768 for port in ports)


def test_nothing_of_a_developers_own_stack_leaks_into_the_tests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "kafka.example:9092")
    monkeypatch.setenv("AUTH_DATABASE_URL", "postgresql://u:p@db.example/t")
    env = testing._environment(tmp_path)
    assert env["TONEARM_STATE_DIR"] == str(tmp_path)
    assert not {"KAFKA_BOOTSTRAP_SERVERS", "AUTH_DATABASE_URL", "OBJECT_STORE_URL"} & set(env)
