from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import SettingsConfigDict

from tonearm_kit import settings_doc
from tonearm_kit.settings import BaseServiceSettings, env_name, load, mask_url, redacted


class DeckSettings(BaseServiceSettings):
    model_config = SettingsConfigDict(env_prefix="DECK_")

    speed_rpm: float = Field(33.3, ge=16, le=78, description="Speed, in turns per minute.")
    pickup_url: str = Field("http://u:hidden@h/x", description="Where the pickup is.")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("KAFKA_BOOTSTRAP_SERVERS", "LOG_LEVEL", "LOG_FORMAT", "OTEL_TRACES_EXPORTER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DECK_DATABASE_URL", "postgresql://deck:hidden@db/tonearm")
    return monkeypatch


def test_own_settings_have_the_prefix_and_shared_ones_have_none(
    environment: pytest.MonkeyPatch,
) -> None:
    environment.setenv("DECK_SPEED_RPM", "45")
    environment.setenv("KAFKA_BOOTSTRAP_SERVERS", "kafka:9092")
    settings = load(DeckSettings)
    assert (settings.speed_rpm, settings.kafka_bootstrap_servers) == (45.0, "kafka:9092")
    assert env_name(DeckSettings, "http_port") == "DECK_HTTP_PORT"
    assert env_name(DeckSettings, "jwks_url") == "JWKS_URL"


@pytest.mark.parametrize(
    ("variable", "value"),
    [("DECK_SPEED_RPM", "1000"), ("DECK_HTTP_PORT", "http"), ("LOG_LEVEL", "LOUD")],
)
def test_a_wrong_value_ends_the_process_with_one_line_that_names_the_variable(
    environment: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variable: str,
    value: str,
) -> None:
    environment.setenv(variable, value)
    with pytest.raises(SystemExit) as caught:
        load(DeckSettings)
    assert caught.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(f"{variable}: ")


def test_a_missing_value_is_named(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environment.delenv("DECK_DATABASE_URL")
    with pytest.raises(SystemExit):
        load(DeckSettings)
    assert capsys.readouterr().err == "DECK_DATABASE_URL: is not set\n"


def test_a_wrong_value_is_not_shown(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environment.setenv("DECK_HTTP_PORT", "s3cret")
    with pytest.raises(SystemExit):
        load(DeckSettings)
    assert "s3cret" not in capsys.readouterr().err.replace("DECK_HTTP_PORT", "")


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        setattr(load(DeckSettings), "speed_rpm", 45.0)  # noqa: B010 - what the types forbid


def test_printing_hides_secrets_and_passwords() -> None:
    shown = redacted(load(DeckSettings))
    assert "hidden" not in str(shown)
    assert shown["DECK_DATABASE_URL"] == "***"
    assert shown["DECK_PICKUP_URL"] == "http://u:***@h/x"
    assert shown["DECK_SPEED_RPM"] == 33.3


def test_a_url_without_a_password_is_left_alone() -> None:
    assert mask_url("http://host:8080/a@b") == "http://host:8080/a@b"
    assert mask_url("a://u:p@h b://v:q@i") == "a://u:***@h b://v:***@i"


def test_the_example_names_every_setting_with_unit_bounds_and_default() -> None:
    text = settings_doc.render([DeckSettings])
    assert "# Speed, in turns per minute. At least 16, at most 78.\n# DECK_SPEED_RPM=33.3" in text
    assert "\nDECK_DATABASE_URL=postgresql://" in text
    for field in DeckSettings.model_fields:
        assert f"{env_name(DeckSettings, field)}=" in text


class OtherSettings(BaseServiceSettings):
    model_config = SettingsConfigDict(env_prefix="OTHER_")


def test_what_services_share_stands_once() -> None:
    text = settings_doc.render([DeckSettings, OtherSettings])
    assert text.count("KAFKA_BOOTSTRAP_SERVERS=") == 1
    assert text.count("DECK_HTTP_PORT=") == text.count("OTHER_HTTP_PORT=") == 1
    assert text.index("KAFKA_BOOTSTRAP_SERVERS") < text.index("# Deck\n") < text.index("# Other\n")


def test_a_stale_example_fails_the_check(tmp_path: Path) -> None:
    path = tmp_path / ".env.example"
    path.write_text(settings_doc.render([BaseServiceSettings]), encoding="utf-8")
    name = "tonearm_kit.settings:BaseServiceSettings"
    settings_doc.main(["--check", str(path), name])
    path.write_text("old", encoding="utf-8")
    with pytest.raises(SystemExit, match="differs"):
        settings_doc.main(["--check", str(path), name])


def test_a_secret_is_a_secret() -> None:
    assert isinstance(load(DeckSettings).database_url, SecretStr)
