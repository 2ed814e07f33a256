from __future__ import annotations

import base64
import json
import time
from pathlib import Path

import pytest

from tonearm_cli.credentials import Credentials, CredentialsFile, claims_of
from tonearm_cli.errors import CliError


def token_of(**claims: object) -> str:
    middle = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{middle}.sig"


def credentials(**changed: object) -> Credentials:
    values: dict[str, object] = {
        "access_token": token_of(sub="anna"),
        "refresh_token": "r",
        "expires_at_s": time.time() + 600,
        "email": "anna@example.org",
    }
    return Credentials(**{**values, **changed})  # type: ignore[arg-type]


def test_log_ins_are_kept_by_server_and_for_nobody_else(tmp_path: Path) -> None:
    kept = CredentialsFile(tmp_path / "deep" / "config")
    one, two = credentials(), credentials(email="b@example.org")
    kept.save("http://one", one)
    kept.save("http://two", two)
    assert (kept.find("http://one"), kept.find("http://two")) == (one, two)
    (file,) = (tmp_path / "deep" / "config").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    kept.forget("http://one")
    kept.forget("http://one")
    assert kept.find("http://one") is None
    assert kept.find("http://two") == two


@pytest.mark.parametrize("text", ["", "{"])
def test_a_broken_file_is_said(tmp_path: Path, text: str) -> None:
    (tmp_path / "credentials.json").write_text(text)
    with pytest.raises(CliError) as caught:
        CredentialsFile(tmp_path).find("http://one")
    assert "log in again" in caught.value.hint


@pytest.mark.parametrize("text", ["[]", '{"servers": 3}', '{"servers": {"http://one": {"a": 1}}}'])
def test_a_file_of_another_time_is_read_over(tmp_path: Path, text: str) -> None:
    (tmp_path / "credentials.json").write_text(text)
    assert CredentialsFile(tmp_path).find("http://one") is None


def test_fresh_means_with_time_to_spare() -> None:
    assert credentials().is_fresh()
    assert not credentials(expires_at_s=time.time() + 10).is_fresh()


def test_the_account_is_read_from_the_token() -> None:
    assert credentials().account_id == "anna"
    assert Credentials.of_token(token_of(sub="x", exp=5)).expires_at_s == 5
    assert Credentials.of_token("opaque").is_fresh()


@pytest.mark.parametrize("token", ["", "a.b", "a.b.c", "a.!!.c", "e30.W10.x"])
def test_what_is_no_token_claims_nothing(token: str) -> None:
    assert claims_of(token) == {}
