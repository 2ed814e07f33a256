"""Webhook secrets at rest."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from tonearm_notify.adapters.sealing import SecretBox, WrongSealingKey

OLD, NEW = (Fernet.generate_key().decode() for _ in range(2))
SECRET = "whsec_c2VjcmV0"


def test_what_is_stored_tells_nothing_and_opens_again() -> None:
    box = SecretBox([NEW])
    stored = box.seal(SECRET, webhook_id="w1")
    assert SECRET not in stored
    assert box.open(stored, webhook_id="w1") == SECRET


def test_a_sealed_secret_moved_to_another_webhook_does_not_open() -> None:
    box = SecretBox([NEW])
    assert box.open(box.seal(SECRET, webhook_id="w1"), webhook_id="w2") is None


def test_older_keys_still_open_and_the_first_one_seals() -> None:
    stored = SecretBox([OLD]).seal(SECRET, webhook_id="w1")
    both = SecretBox.from_text(f"{NEW}, {OLD}")
    assert both.open(stored, webhook_id="w1") == SECRET
    assert SecretBox([NEW]).open(stored, webhook_id="w1") is None
    assert SecretBox([NEW]).open(both.seal(SECRET, webhook_id="w1"), webhook_id="w1") == SECRET
    assert both.key_id == SecretBox([NEW]).key_id != SecretBox([OLD]).key_id


def test_secrets_of_the_time_before_are_read_as_they_are() -> None:
    assert SecretBox([NEW]).open(SECRET, webhook_id="w1") == SECRET


def test_the_key_file_is_made_once(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    assert SecretBox.from_file(path).key_id == SecretBox.from_file(path).key_id


@pytest.mark.parametrize(
    "text", ["", ",", "short", f"{NEW},short"], ids=["nothing", "comma", "short", "one-short"]
)
def test_other_texts_are_no_keys(text: str) -> None:
    with pytest.raises(WrongSealingKey):
        SecretBox.from_text(text)
