"""One master key, kept outside the database, and what is derived from it."""

from __future__ import annotations

import base64
import binascii
import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tonearm_auth.domain.errors import KeyEncryptionFailed
from tonearm_kit.logs import get_logger

_KEY_BYTES = 32
_NONCE_BYTES = 12

log = get_logger(__name__)


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
        """Return the vault of the key in a file, which is made (mode 0600) when missing.

        Of several processes that start at once, one makes the file and all read the same key.
        """
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            made = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
            made.touch(mode=0o600)
            made.write_text(base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode() + "\n")
            try:
                os.link(made, path)
                log.warning("made a new key encryption key", path=str(path))
            except FileExistsError:
                log.info("another process made the key encryption key", path=str(path))
            finally:
                made.unlink()
        return cls.from_text(path.read_text())

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
