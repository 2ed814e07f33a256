"""What each child is told, and what tests and developers need to reach the stack."""

from tonearm_local import passwords
from tonearm_local.settings import SERVICES, LocalSettings
from tonearm_local.surroundings import dotenv, inherited


def shared(settings: LocalSettings) -> dict[str, str]:
    """Settings that all services read under the same name."""
    values = {
        "KAFKA_BOOTSTRAP_SERVERS": settings.kafka,
        "OBJECT_STORE_URL": settings.objects_url,
        "AUTH_GRPC_TARGET": f"127.0.0.1:{settings.auth_grpc_port}",
        "JWKS_URL": f"http://127.0.0.1:{settings.auth_http_port}/.well-known/jwks.json",
        "TOKEN_ISSUER": settings.issuer,
        "TOKEN_AUDIENCE": settings.token_audience,
        "OTEL_TRACES_EXPORTER": settings.otel_traces_exporter,
        "LOG_FORMAT": settings.log_format,
        "LOG_LEVEL": settings.log_level,
        "CORS_ALLOWED_ORIGINS": settings.cors_allowed_origins,
    }
    if settings.otel_traces_exporter == "zipkin_json":
        values["OTEL_EXPORTER_ZIPKIN_ENDPOINT"] = settings.zipkin_endpoint
    return values


def service(settings: LocalSettings, name: str) -> dict[str, str]:
    """Everything that service *name* is told, its database password included."""
    prefix = name.upper()
    own = {
        f"{prefix}_DATABASE_URL": settings.database_url(name)
        or passwords.database_url(settings, role=f"{name}_svc"),
        f"{prefix}_DATABASE_SCHEMA": name,
        f"{prefix}_HTTP_HOST": "127.0.0.1",
        f"{prefix}_HTTP_PORT": str(getattr(settings, f"{name}_http_port")),
    }
    if name == "auth":
        own["AUTH_GRPC_HOST"] = "127.0.0.1"
        own["AUTH_GRPC_PORT"] = str(settings.auth_grpc_port)
        own["AUTH_KEY_ENCRYPTION_KEY_FILE"] = str(settings.path("secrets") / "auth_key_encryption")
    if name == "notify":
        own["NOTIFY_WS_HOST"] = "127.0.0.1"
        own["NOTIFY_WS_PORT"] = str(settings.notify_ws_port)
        own["NOTIFY_WEBHOOK_SECRET_KEYS_FILE"] = str(
            settings.path("secrets") / "notify_webhook_keys"
        )
    return shared(settings) | own


def child(extra: dict[str, str]) -> dict[str, str]:
    """A child's whole environment: *extra* wins over the inherited, that over .env."""
    return dotenv() | inherited() | extra | {"PYTHONUNBUFFERED": "1"}


def administration(settings: LocalSettings) -> dict[str, str]:
    """What tests and developers use to reach the stack from outside."""
    values = {
        "TONEARM_GATEWAY_URL": settings.gateway_url,
        "TONEARM_GATEWAY_ADMIN_URL": f"http://127.0.0.1:{settings.gateway_admin_port}",
        "TONEARM_STATE_DIR": str(settings.path()),
        "KAFKA_BOOTSTRAP_SERVERS": settings.kafka,
        "OBJECT_STORE_URL": settings.objects_url,
        "TONEARM_ZIPKIN_URL": settings.zipkin_endpoint.removesuffix("/api/v2/spans"),
    }
    if settings.postgres_is_local:
        admin = passwords.database_url(settings, role="postgres", database="postgres")
        values["TONEARM_TEST_DATABASE_URL"] = admin
    for name in SERVICES:
        values[f"TONEARM_{name.upper()}_URL"] = (
            f"http://127.0.0.1:{getattr(settings, f'{name}_http_port')}"
        )
    return values
