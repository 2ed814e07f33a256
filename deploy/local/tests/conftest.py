"""Tests of the stack itself must not see the stack that they run on."""

import pytest

from tonearm_local.settings import LocalSettings


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take every setting of a stack out of the environment."""
    for name, info in LocalSettings.model_fields.items():
        alias = info.validation_alias
        monkeypatch.delenv(alias if isinstance(alias, str) else name.upper(), raising=False)
    monkeypatch.setenv("TONEARM_ENV_FILE", "")
