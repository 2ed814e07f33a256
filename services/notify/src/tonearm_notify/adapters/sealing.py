"""Webhook secrets at rest: sealed with keys that are not in the database."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from tonearm_kit.keyfile import read_or_make
from tonearm_notify.domain.webhooks import SECRET_PREFIX


class WrongSealingKey(ValueError):
    """Sealing keys are 32 bytes in URL-safe base64 each, separated by commas."""


class SecretBox:
    """Seals with the first key and opens with any: that is how keys are replaced.

    A sealed secret is bound to its webhook; moved to another row it does not open.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        try:
            self._box = MultiFernet([Fernet(key) for key in keys])
        except ValueError as error:
            raise WrongSealingKey(WrongSealingKey.__doc__) from error
        self.key_id = hashlib.sha256(keys[0].encode()).hexdigest()[:8]
        """Tells keys apart; stored beside what the first key sealed."""

    @classmethod
    def from_text(cls, text: str) -> SecretBox:
        """Return the box of keys separated by commas. Raise `WrongSealingKey`."""
        return cls([key.strip() for key in text.split(",") if key.strip()])

    @classmethod
    def from_file(cls, path: Path) -> SecretBox:
        """Return the box of the keys in a file, which is made (mode 0600) when missing."""
        return cls.from_text(read_or_make(path, lambda: Fernet.generate_key().decode()))

    def seal(self, secret: str, *, webhook_id: str) -> str:
        """Return the secret as it is stored."""
        return self._box.encrypt(f"{webhook_id} {secret}".encode()).decode()

    def open(self, stored: str, *, webhook_id: str) -> str | None:
        """Return a stored secret; None where no key opens it, or it is another webhook's.

        One that was stored before secrets were sealed is returned as it is.
        """
        if stored.startswith(SECRET_PREFIX):
            return stored
        try:
            owner, _, secret = self._box.decrypt(stored).decode().partition(" ")
        except InvalidToken:
            return None
        return secret if owner == webhook_id else None
