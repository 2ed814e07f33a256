"""Random passwords of the stack's own Postgres, kept in files that only their owner reads."""

import secrets
from pathlib import Path

from tonearm_local.settings import LocalSettings

DATABASE = "tonearm"


def password(settings: LocalSettings, role: str) -> str:
    """The password of *role*; made on first use, stored with mode 0600."""
    folder = settings.path("secrets")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / f"postgres-{role}"
    _create_once(path, secrets.token_urlsafe(24))
    return path.read_text("ascii").strip()


def _create_once(path: Path, value: str) -> None:
    if path.exists():
        return
    scratch = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    scratch.touch(mode=0o600)
    scratch.write_text(value + "\n", "ascii")
    try:
        path.hardlink_to(scratch)  # unlike rename it never overwrites another process's password
    except FileExistsError:
        return
    finally:
        scratch.unlink()


def database_url(settings: LocalSettings, *, role: str, database: str = DATABASE) -> str:
    """URL of *database* for *role* on the stack's own Postgres."""
    return f"postgresql://{role}:{password(settings, role)}@127.0.0.1:{settings.postgres_port}/{database}"
