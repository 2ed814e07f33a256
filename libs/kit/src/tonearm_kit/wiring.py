"""What every bootstrap opens in the same way, from the settings that every service has."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from tonearm_kit.db import Database
from tonearm_kit.settings import BaseServiceSettings
from tonearm_kit.tokens import TokenVerifier


def open_database(
    settings: BaseServiceSettings, *, service: str
) -> AbstractAsyncContextManager[Database]:
    """Open the service's own schema, waiting for Postgres as long as the settings say."""
    return Database.open(
        settings.database_url,
        schema=settings.database_schema,
        size_max=settings.database_pool_size_max,
        statement_timeout_s=settings.database_statement_timeout_s,
        lock_timeout_s=settings.database_lock_timeout_s,
        idle_in_transaction_timeout_s=settings.database_idle_in_transaction_timeout_s,
        wait_s=settings.database_wait_s,
        application_name=f"tonearm-{service}",
    )


def token_verifier(settings: BaseServiceSettings) -> TokenVerifier:
    """Return a verifier of auth's access tokens by its published keys."""
    return TokenVerifier(
        settings.jwks_url,
        issuer=settings.token_issuer,
        audience=settings.token_audience,
        leeway_s=settings.token_leeway_s,
    )
