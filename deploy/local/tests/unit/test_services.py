"""What happens before a service starts."""

import os
from pathlib import Path
from typing import Any

import pytest

from tonearm_local import kafka, postgres, services
from tonearm_local.component import Command, Identity, StepFailed
from tonearm_local.settings import LocalSettings


class Ran:
    def __init__(self) -> None:
        self.words: list[list[str]] = []

    async def __call__(self, command: Command) -> None:
        self.words.append(list(command.argv[1:]))


def settings(tmp_path: Path, **fields: Any) -> LocalSettings:
    (tmp_path / "postgres").mkdir(exist_ok=True)
    return LocalSettings(_env_file=None, TONEARM_STATE_DIR=tmp_path, **fields)


async def test_a_schema_is_migrated_once_until_its_sql_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran, auth = Ran(), services.component(settings(tmp_path), "auth")
    await auth.prepare(ran)
    await auth.prepare(ran)
    assert ran.words == [["-m", "tonearm_auth", "migrate"]]
    monkeypatch.setattr(services, "_migrations", lambda _name: "other")
    await auth.prepare(ran)
    assert len(ran.words) == 2


async def test_a_foreign_database_is_always_asked(tmp_path: Path) -> None:
    url = "postgresql://u:p@db.example/t"
    ran, auth = Ran(), services.component(settings(tmp_path, auth_database_url=url), "auth")
    await auth.prepare(ran)
    await auth.prepare(ran)
    assert ran.words == [["-m", "tonearm_auth", "migrate"]] * 2
    assert auth.after == ()
    assert auth.command().env["AUTH_DATABASE_URL"] == url


async def test_topics_are_made_on_a_foreign_kafka_too(tmp_path: Path) -> None:
    elsewhere = settings(tmp_path, kafka_bootstrap_servers="kafka.example:9092")
    ran = Ran()
    await services.component(elsewhere, "ingest").prepare(ran)
    assert ["-m", "tonearm_kit.kafka.topics", "create"] in ran.words
    assert kafka.create_topics(elsewhere).env["KAFKA_BOOTSTRAP_SERVERS"] == "kafka.example:9092"


def test_postgres_runs_as_somebody_else_only_for_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert postgres.identity(tmp_path / "data") == Identity()


def test_root_lends_postgres_a_namespace_where_nobody_may_not_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    assert postgres.identity(closed / "data") == Identity(namespace=True)


async def test_a_failed_first_start_leaves_no_half_made_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    async def killed(command: Command) -> None:
        target = next(w for w in command.argv if w.startswith("--pgdata=")).partition("=")[2]
        Path(target).mkdir()
        raise StepFailed("killed")

    with pytest.raises(StepFailed):
        await postgres.component(settings(tmp_path)).prepare(killed)
    assert not (tmp_path / "postgres" / "data18").exists()
    assert not (tmp_path / "postgres" / "initial-password").exists()
