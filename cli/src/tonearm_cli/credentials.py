"""Where log-ins are kept: one file per person, readable by nobody else."""

from __future__ import annotations

import base64
import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from tonearm_cli.errors import CliError

FILE_NAME = "credentials.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """One log-in at one server. `expires_at_s` is when the access token ends, Unix time."""

    access_token: str
    refresh_token: str
    expires_at_s: float
    email: str

    @property
    def account_id(self) -> str:
        """The account that the access token names."""
        return str(claims_of(self.access_token).get("sub", ""))

    def is_fresh(self, *, margin_s: float = 30.0) -> bool:
        """Tell whether the access token lives for at least `margin_s` more seconds."""
        return time.time() + margin_s < self.expires_at_s

    @classmethod
    def of_token(cls, token: str) -> Self:
        """Return credentials that are nothing but an access token, as given by environment."""
        expires = claims_of(token).get("exp")
        return cls(
            access_token=token,
            refresh_token="",
            expires_at_s=float(expires) if isinstance(expires, int | float) else time.time() + 1e9,
            email="",
        )


def claims_of(token: str) -> dict[str, Any]:
    """Return what a token says of itself, unverified; {} for anything that is not a JWT.

    For display and channel names only: every decision is the server's.
    """
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        decoded = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError:
        return {}
    return decoded if isinstance(decoded, dict) else {}


class CredentialsFile:
    """Log-ins by server in `<folder>/credentials.json`, mode 0600, replaced in one step."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME

    def find(self, server: str) -> Credentials | None:
        """Return the log-in at `server`, if any. Raises `CliError` for a file that is broken."""
        entry = self._read().get(server)
        try:
            return None if entry is None else Credentials(**entry)
        except TypeError:
            return None

    def save(self, server: str, credentials: Credentials) -> None:
        """Keep the log-in at `server`."""
        entries = self._read()
        entries[server] = asdict(credentials)
        self._write(entries)

    def forget(self, server: str) -> None:
        """Drop the log-in at `server`."""
        entries = self._read()
        if entries.pop(server, None) is not None:
            self._write(entries)

    def _read(self) -> dict[str, Any]:
        try:
            document = json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise CliError(
                f"Cannot read {self._path}: {error}", hint="Delete it and log in again."
            ) from None
        servers = document.get("servers") if isinstance(document, dict) else None
        return servers if isinstance(servers, dict) else {}

    def _write(self, entries: dict[str, Any]) -> None:
        text = json.dumps({"servers": entries}, indent=2, sort_keys=True) + "\n"
        temporary = self._path.with_suffix(f".{os.getpid()}.tmp")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
            temporary.replace(self._path)
        except OSError as error:
            raise CliError(
                f"Cannot write {self._path}: {error.strerror}",
                hint="Set TONEARM_CONFIG_DIR to a folder of yours.",
            ) from None
