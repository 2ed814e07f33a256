"""One master key, kept outside the database, and what is derived from it."""

from __future__ import annotations

import base64
import binascii
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tonearm_auth.domain.errors import KeyEncryptionFailed
from tonearm_kit.keyfile import read_or_make

_KEY_BYTES = 32
_NONCE_BYTES = 12


class WrongMasterKey(ValueError):
    """The master key must be 32 bytes in base64."""


class Vault:
    """Seals secrets that live in the database, and derives keys for other uses."""

    def __init__(self, master: bytes) -> None:
        if len(master) != _KEY_BYTES:
            raise WrongMasterKey(WrongMasterKey.__doc__)
        self._master = master
        self._box = AESGCM(self.derive("signing-keys"))

    @classmethod
    def from_text(cls, text: str) -> Vault:
        """Return the vault of a master key in base64. Raise `WrongMasterKey`."""
        try:
            return cls(base64.b64decode(text.strip(), validate=True))
        except binascii.Error as error:
            raise WrongMasterKey(WrongMasterKey.__doc__) from error

    @classmethod
    def from_file(cls, path: Path) -> Vault:
        """Return the vault of the key in a file, which is made (mode 0600) when missing."""
        return cls.from_text(
            read_or_make(path, lambda: base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode())
        )

    def derive(self, purpose: str) -> bytes:
        """Return 32 bytes for one purpose; knowing them tells nothing of the master key."""
        kdf = HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=purpose.encode())
        return kdf.derive(self._master)

    def seal(self, secret: bytes, *, name: str) -> bytes:
        """Return the secret encrypted and bound to its name."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._box.encrypt(nonce, secret, name.encode())

    def open(self, sealed: bytes, *, name: str) -> bytes:
        """Return the secret. Raise `KeyEncryptionFailed` for another key, name or content."""
        try:
            nonce, text = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
            return self._box.decrypt(nonce, text, name.encode())
        except (InvalidTag, ValueError) as error:
            raise KeyEncryptionFailed from error
