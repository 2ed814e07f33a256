"""Settings: one frozen class per service, read once from the environment, in `__main__`.

A service subclasses `BaseServiceSettings`, sets `env_prefix`, and gives every field a
description that names its unit, a bound and a default. Settings that all services share have
no prefix: they carry an explicit alias.
"""

from __future__ import annotations

import re
import sys
from typing import Annotated, Any, Literal, TypeVar, cast

from pydantic import Field, JsonValue, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

S = TypeVar("S", bound=BaseSettings)

Port = Annotated[int, Field(ge=0, le=65535)]

_URL_PASSWORD = re.compile(r"(?<=://)([^:/@\s]*):([^@/\s]+)@")
EXIT_WRONG_SETTING = 2


class TelemetrySettings(BaseSettings):
    """What every process needs to log and trace; the base of service settings."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", populate_by_name=True, env_ignore_empty=True
    )

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", validation_alias="LOG_LEVEL", description="Least severe log line that is written."
    )
    log_format: Literal["json", "console"] = Field(
        "json", validation_alias="LOG_FORMAT", description="One JSON object a line, or for people."
    )
    otel_traces_exporter: str = Field(
        "none",
        validation_alias="OTEL_TRACES_EXPORTER",
        pattern=r"^[a-z0-9_]+$",
        description="Where spans go: none, otlp, zipkin_json, or another installed exporter.",
    )
    otel_metrics_exporter: str = Field(
        "none",
        validation_alias="OTEL_METRICS_EXPORTER",
        pattern=r"^[a-z0-9_]+$",
        description="Where metrics are pushed, beside being readable at /metrics: none or otlp.",
    )


class BaseServiceSettings(TelemetrySettings):
    """What every service needs. Subclasses set `env_prefix` and may change defaults."""

    http_host: str = Field("127.0.0.1", description="Address that the HTTP server binds.")
    http_port: Port = Field(8100, description="TCP port of the HTTP server; 0 picks a free one.")
    http_body_size_bytes_max: int = Field(
        1024 * 1024,
        ge=1024,
        le=64 * 1024 * 1024,
        description="Largest request body, in bytes, where a route sets no limit of its own.",
    )
    database_url: SecretStr = Field(
        description="Postgres of this service, as a URL with its own role.",
        examples=["postgresql://role:password@127.0.0.1:5433/tonearm"],
    )
    database_schema: str = Field(
        "public",
        pattern=r"^[a-z_][a-z0-9_]{0,62}$",
        description="Schema that holds this service's tables; it is put on the search path.",
    )
    database_pool_size_max: int = Field(
        8, ge=1, le=100, description="Most connections to Postgres that one process holds."
    )
    database_statement_timeout_s: float = Field(
        30.0, gt=0, le=3600, description="Longest that one SQL statement may run, in seconds."
    )
    database_lock_timeout_s: float = Field(
        5.0, gt=0, le=600, description="Longest wait for a row or table lock, in seconds."
    )
    database_idle_in_transaction_timeout_s: float = Field(
        20.0,
        gt=0,
        le=600,
        description="Longest that a transaction may send nothing, in seconds; then Postgres rolls "
        "it back. So long a process that froze in one can hold up others.",
    )
    database_wait_s: float = Field(
        60.0, ge=0, le=3600, description="Longest wait for Postgres at the start, in seconds."
    )
    kafka_bootstrap_servers: str = Field(
        "127.0.0.1:9092",
        validation_alias="KAFKA_BOOTSTRAP_SERVERS",
        description="Kafka brokers, host:port separated by commas.",
    )
    jwks_url: str = Field(
        "http://127.0.0.1:8101/.well-known/jwks.json",
        validation_alias="JWKS_URL",
        description="Where the public keys of access tokens are published.",
    )
    token_issuer: str = Field(
        "http://127.0.0.1:8080",
        validation_alias="TOKEN_ISSUER",
        description="Value that `iss` of an access token must have.",
    )
    token_audience: str = Field(
        "tonearm",
        validation_alias="TOKEN_AUDIENCE",
        description="Value that `aud` of an access token must have.",
    )
    token_leeway_s: float = Field(
        5.0,
        ge=0,
        le=60,
        validation_alias="TOKEN_LEEWAY_S",
        description="Clock difference between services that token times may have, in seconds.",
    )
    shutdown_grace_s: float = Field(
        20.0,
        gt=0,
        le=600,
        validation_alias="SHUTDOWN_GRACE_S",
        description="Time from SIGTERM until running work is cancelled, in seconds.",
    )


def env_name(cls: type[BaseSettings], field: str) -> str:
    """Return the environment variable that sets `field` of `cls`."""
    info = cls.model_fields.get(field)
    if info is not None and isinstance(info.validation_alias, str):
        return info.validation_alias.upper()
    if info is None:
        return field.upper()
    return (cls.model_config.get("env_prefix", "") + field).upper()


def load(cls: type[S], **overrides: Any) -> S:
    """Read the settings of `cls` from the environment.

    A missing or wrong value ends the process with status 2 and one line per variable on
    standard error; the value itself is never shown, it may be a secret.
    """
    try:
        return cls(**overrides)
    except ValidationError as error:
        for problem in error.errors(include_input=False, include_url=False):
            field = str(problem["loc"][0]) if problem["loc"] else "(settings)"
            reason = "is not set" if problem["type"] == "missing" else problem["msg"]
            sys.stderr.write(f"{env_name(cls, field)}: {reason}\n")
    except SettingsError as error:
        sys.stderr.write(f"settings: {error}\n")
    raise SystemExit(EXIT_WRONG_SETTING)


def mask_url(text: str) -> str:
    """Hide the password in every `scheme://user:password@host` of `text`."""
    return _URL_PASSWORD.sub(r"\1:***@", text)


def redacted(settings: BaseSettings) -> dict[str, JsonValue]:
    """Return the settings as JSON by variable name, secrets and URL passwords masked."""
    shown: dict[str, JsonValue] = {}
    for field in type(settings).model_fields:
        value = getattr(settings, field)
        name = env_name(type(settings), field)
        if isinstance(value, SecretStr):
            shown[name] = "***" if value.get_secret_value() else ""
        elif isinstance(value, str):
            shown[name] = mask_url(value)
        else:
            shown[name] = cast(
                "JsonValue", settings.model_dump(mode="json", include={field})[field]
            )
    return shown
