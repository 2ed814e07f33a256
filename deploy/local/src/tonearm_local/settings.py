"""Settings of the local stack: ports, places and what already runs elsewhere.

Every field is an environment variable of the same name in upper case (``GATEWAY_PORT``), or a
line of the repository's ``.env``; the environment wins.
"""

from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from tonearm_local.surroundings import ROOT, env_file

SERVICES = ("auth", "ingest", "analysis", "notify")
Port = int


class LocalSettings(BaseSettings):
    """Where the local stack listens and which of its parts are somebody else's."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, env_ignore_empty=True)

    state_dir: Path = Field(
        default=ROOT / ".local", validation_alias=AliasChoices("TONEARM_STATE_DIR")
    )
    gateway_host: str = "127.0.0.1"
    gateway_port: Port = Field(default=8080, ge=1, le=65535)
    gateway_admin_port: Port = Field(default=8081, ge=1, le=65535)
    auth_http_port: Port = Field(default=8101, ge=1, le=65535)
    auth_grpc_port: Port = Field(default=8111, ge=1, le=65535)
    ingest_http_port: Port = Field(default=8102, ge=1, le=65535)
    analysis_http_port: Port = Field(default=8103, ge=1, le=65535)
    notify_http_port: Port = Field(default=8104, ge=1, le=65535)
    notify_ws_port: Port = Field(default=8114, ge=1, le=65535)
    kafka_port: Port = Field(default=9092, ge=1, le=65535)
    kafka_controller_port: Port = Field(default=9093, ge=1, le=65535)
    postgres_port: Port = Field(default=5433, ge=1, le=65535)
    zipkin_port: Port = Field(default=9411, ge=1, le=65535)

    kafka_heap_mib: int = Field(default=512, ge=128)
    zipkin_heap_mib: int = Field(default=256, ge=64)
    postgres_fsync: bool = True

    kafka_bootstrap_servers: str | None = None
    auth_database_url: SecretStr | None = None
    ingest_database_url: SecretStr | None = None
    analysis_database_url: SecretStr | None = None
    notify_database_url: SecretStr | None = None
    object_store_url: str | None = None
    otel_traces_exporter: Literal["none", "otlp", "zipkin_json"] = "zipkin_json"
    otel_exporter_zipkin_endpoint: str | None = None
    otel_exporter_otlp_endpoint: str | None = None

    token_issuer: str | None = None
    token_audience: str = "tonearm"  # noqa: S105 - a name, no secret
    cors_allowed_origins: str = "http://localhost:5173,http://127.0.0.1:5173"
    gateway_trusted_hops: int = Field(default=0, ge=0)
    gateway_body_bytes_max: int = Field(default=1024 * 1024, ge=1024)
    gateway_upload_bytes_max: int = Field(default=2 * 1024**3 + 1024**2, ge=1024)
    log_level: str = "INFO"
    log_format: Literal["json", "console"] = "json"
    java_home: Path | None = None

    up_timeout_s: float = Field(
        default=180.0, gt=0, validation_alias=AliasChoices("TONEARM_UP_TIMEOUT_S")
    )

    die_with_pid: int | None = Field(
        default=None, validation_alias=AliasChoices("TONEARM_DIE_WITH_PID")
    )

    @property
    def local_kafka(self) -> str:
        """Address of the Kafka that this stack would start."""
        return f"127.0.0.1:{self.kafka_port}"

    @property
    def kafka(self) -> str:
        """Bootstrap servers that everybody uses."""
        return self.kafka_bootstrap_servers or self.local_kafka

    @property
    def kafka_is_local(self) -> bool:
        """False when KAFKA_BOOTSTRAP_SERVERS points elsewhere."""
        return self.kafka == self.local_kafka

    def database_url(self, service: str) -> str | None:
        """The foreign database given for *service*; None when the stack's own is meant."""
        given: SecretStr | None = getattr(self, f"{service}_database_url")
        if given is None:
            return None
        url = given.get_secret_value()
        parts = urlsplit(url)
        own = parts.hostname in {"127.0.0.1", "localhost"} and parts.port == self.postgres_port
        return None if own else url

    @property
    def postgres_is_local(self) -> bool:
        """True when at least one service uses the stack's own Postgres."""
        return any(self.database_url(service) is None for service in SERVICES)

    @property
    def zipkin_endpoint(self) -> str:
        """Where spans go, in Zipkin's JSON."""
        own = f"http://127.0.0.1:{self.zipkin_port}/api/v2/spans"
        return self.otel_exporter_zipkin_endpoint or own

    @property
    def zipkin_is_local(self) -> bool:
        """False when traces go elsewhere or nowhere."""
        parts = urlsplit(self.zipkin_endpoint)
        return (
            self.otel_traces_exporter == "zipkin_json"
            and parts.hostname in {"127.0.0.1", "localhost"}
            and parts.port == self.zipkin_port
        )

    @property
    def objects_url(self) -> str:
        """Object store of all services; a folder of the state directory by default."""
        return self.object_store_url or (self.state_dir / "objects").absolute().as_uri()

    @property
    def gateway_url(self) -> str:
        """What a client calls."""
        host = "127.0.0.1" if self.gateway_host in {"0.0.0.0", "::"} else self.gateway_host
        return f"http://{host}:{self.gateway_port}"

    @property
    def issuer(self) -> str:
        """The `iss` of access tokens: the gateway's address unless set."""
        return self.token_issuer or self.gateway_url

    def path(self, *parts: str) -> Path:
        """A path of this stack's state."""
        return self.state_dir.absolute().joinpath(*parts)

    def ports(self) -> dict[str, dict[str, int]]:
        """Ports by component, then by the setting that moves them."""
        ports: dict[str, dict[str, int]] = {
            "kafka": {
                "KAFKA_PORT": self.kafka_port,
                "KAFKA_CONTROLLER_PORT": self.kafka_controller_port,
            },
            "postgres": {"POSTGRES_PORT": self.postgres_port},
            "zipkin": {"ZIPKIN_PORT": self.zipkin_port},
            "gateway": {
                "GATEWAY_PORT": self.gateway_port,
                "GATEWAY_ADMIN_PORT": self.gateway_admin_port,
            },
        }
        for service in SERVICES:
            ports[service] = {f"{service.upper()}_HTTP_PORT": getattr(self, f"{service}_http_port")}
        ports["auth"]["AUTH_GRPC_PORT"] = self.auth_grpc_port
        ports["notify"]["NOTIFY_WS_PORT"] = self.notify_ws_port
        return ports


def load() -> LocalSettings:
    """Settings from the environment and the settings file. Raises pydantic's ValidationError."""
    return LocalSettings(_env_file=env_file())
