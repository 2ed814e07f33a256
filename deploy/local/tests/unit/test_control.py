"""What an operator is told."""

import json
import os
import socket
from pathlib import Path

import pytest

from tonearm_local import artifacts, control, envoy, logs, state
from tonearm_local.control import StackError
from tonearm_local.progress import Printer
from tonearm_local.settings import LocalSettings


@pytest.fixture
def settings(tmp_path: Path) -> LocalSettings:
    return LocalSettings(_env_file=None, TONEARM_STATE_DIR=tmp_path)


def test_a_port_clash_is_one_line_with_port_setting_and_holder(
    settings: LocalSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifacts, "fetch", lambda *_: None)
    monkeypatch.setattr(envoy, "installed", lambda: True)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        clashing = settings.model_copy(update={"kafka_port": port})
        with pytest.raises(StackError) as raised:
            control.up(clashing, Printer(), infra_only=True, without=())
    words = str(raised.value)
    assert "\n" not in words
    assert str(port) in words
    assert "KAFKA_PORT" in words
    assert str(os.getpid()) in words


def test_two_settings_with_one_port_are_refused(settings: LocalSettings) -> None:
    twice = settings.model_copy(update={"kafka_port": 29999, "zipkin_port": 29999})
    with pytest.raises(StackError, match="KAFKA_PORT"):
        control.up(twice, Printer(), infra_only=True, without=())


def test_down_without_a_stack_is_fine(
    settings: LocalSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    control.down(settings, Printer())
    assert "down" in capsys.readouterr().out


def test_status_of_a_stack_that_does_not_run(settings: LocalSettings) -> None:
    told = json.loads(control.as_json(settings))
    assert told == {"running": False, "ready": False, "supervisor_pid": None, "components": {}}


def test_a_state_directory_has_one_supervisor(settings: LocalSettings) -> None:
    with state.lock(settings), pytest.raises(state.AlreadyRunning), state.lock(settings):
        raise AssertionError("locked twice")


def test_the_tail_of_a_log(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_text("".join(f"{n}\n" for n in range(100)), "utf-8")
    assert logs.tail(path, 2) == ["98", "99"]
    assert logs.tail(tmp_path / "none.log", 2) == []


def test_an_unknown_log_names_those_that_there_are(settings: LocalSettings) -> None:
    settings.path("logs").mkdir()
    settings.path("logs", "kafka.log").touch()
    with pytest.raises(logs.NoLog, match="kafka"):
        logs.show(settings, "kafak", follow=False, n_lines=1)


def test_all_logs_are_told_apart(
    settings: LocalSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.path("logs").mkdir()
    for name in ("kafka", "auth"):
        settings.path("logs", f"{name}.log").write_text("hello\n", "utf-8")
    logs.show(settings, "", follow=False, n_lines=5)
    assert capsys.readouterr().out == "auth  | hello\nkafka | hello\n"
