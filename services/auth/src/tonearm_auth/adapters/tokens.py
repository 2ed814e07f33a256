"""Signing keys at work, access tokens, refresh tokens."""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)
from jwt import PyJWK
from jwt.algorithms import ECAlgorithm
from pydantic import JsonValue

from tonearm_auth.adapters.vault import Vault
from tonearm_auth.domain.account import Account
from tonearm_auth.domain.signing import KeyTimes, current_kid
from tonearm_auth.usecases.ports import StoredKey
from tonearm_kit.errors import Unavailable
from tonearm_kit.ids import NewId, new_token
from tonearm_kit.tokens import ALGORITHM, TOKEN_TYPE


class Es256Keys:
    """`KeyMaker` for P-256 keys; `kid` is the RFC 7638 thumbprint of the public half."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def make(self, *, active_from: datetime, now: datetime) -> StoredKey:
        """Return a new key with its private half sealed."""
        private = generate_private_key(SECP256R1())
        public: dict[str, JsonValue] = json.loads(ECAlgorithm.to_jwk(private.public_key()))
        public = {name: public[name] for name in ("crv", "kty", "x", "y")}
        text = json.dumps(public, separators=(",", ":"), sort_keys=True).encode()
        kid = urlsafe_b64encode(hashlib.sha256(text).digest()).rstrip(b"=").decode()
        der = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        return StoredKey(
            times=KeyTimes(kid=kid, active_from=active_from),
            public_jwk={**public, "kid": kid, "use": "sig", "alg": ALGORITHM},
            sealed_private_key=self._vault.seal(der, name=kid),
            created_at=now,
        )


@dataclass(frozen=True, slots=True)
class _Loaded:
    times: KeyTimes
    private: EllipticCurvePrivateKey
    public: PyJWK


class KeyRing:
    """The opened keys of this process: signs access tokens, and finds keys to check them.

    `load` is called at the start and periodically; a key is published long before it signs, so
    a ring that is a little old still signs with the right one.
    """

    def __init__(
        self, *, vault: Vault, issuer: str, audience: str, lifetime_s: int, new_id: NewId
    ) -> None:
        self._vault, self._issuer, self._audience = vault, issuer, audience
        self._lifetime_s, self._new_id = lifetime_s, new_id
        self._keys: dict[str, _Loaded] = {}
        self._published: tuple[Mapping[str, JsonValue], ...] = ()

    @property
    def lifetime_s(self) -> int:
        """Seconds that a token opens doors."""
        return self._lifetime_s

    def load(self, keys: Sequence[StoredKey]) -> None:
        """Hold exactly these keys. Raise `KeyEncryptionFailed` when one cannot be opened."""
        self._keys = {
            key.times.kid: self._keys.get(key.times.kid) or self._open(key) for key in keys
        }
        self._published = tuple(key.public_jwk for key in keys)

    def published(self) -> Sequence[Mapping[str, JsonValue]]:
        """Return the public keys that verifiers need, as JWKs."""
        return self._published

    async def find(self, key_id: str) -> PyJWK | None:
        """Return the public key, or None; makes the ring a source of a token verifier."""
        loaded = self._keys.get(key_id)
        return None if loaded is None else loaded.public

    def sign(self, account: Account, *, session_id: str, now: datetime) -> str:
        """Return an access token. Raise `Unavailable` when no key has begun to sign."""
        kid = current_kid([key.times for key in self._keys.values()], now=now)
        if kid is None:
            raise Unavailable("No signing key is in use yet.")
        claims = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": account.id,
            "sid": session_id,
            "jti": self._new_id(),
            "iat": now,
            "nbf": now,
            "exp": now + timedelta(seconds=self._lifetime_s),
            "plan": account.plan,
            "beta": account.is_beta,
            "admin": account.is_superuser,
        }
        return jwt.encode(
            claims,
            self._keys[kid].private,
            algorithm=ALGORITHM,
            headers={"kid": kid, "typ": TOKEN_TYPE},
        )

    def _open(self, key: StoredKey) -> _Loaded:
        der = self._vault.open(key.sealed_private_key, name=key.times.kid)
        return _Loaded(
            times=key.times,
            private=cast("EllipticCurvePrivateKey", load_der_private_key(der, password=None)),
            public=PyJWK(dict(key.public_jwk), algorithm=ALGORITHM),
        )


class HmacRefreshTokens:
    """`RefreshTokens` whose child is an HMAC of its parent.

    Only hashes are stored, yet a repeated refresh can be answered with the same child: whoever
    holds the parent and the server's secret can make it, and nobody else.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def first(self) -> str:
        """Return a new token with 256 random bits."""
        return new_token(32)

    def child(self, parent: str) -> str:
        """Return the one token that may follow `parent`."""
        digest = hmac.digest(self._secret, parent.encode(), "sha256")
        return urlsafe_b64encode(digest).rstrip(b"=").decode()

    def hash(self, token: str) -> bytes:
        """Return the SHA-256 of a token; its 256 bits need no slower hash."""
        return hashlib.sha256(token.encode()).digest()
