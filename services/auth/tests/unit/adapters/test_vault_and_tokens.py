"""Sealed keys, signed tokens, refresh tokens, addresses."""

from __future__ import annotations

import base64
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import jwt
import pytest

from tonearm_auth.adapters.emails import normalise_email
from tonearm_auth.adapters.tokens import Es256Keys, HmacRefreshTokens, KeyRing
from tonearm_auth.adapters.vault import Vault, WrongMasterKey
from tonearm_auth.domain.account import Account
from tonearm_auth.domain.errors import EmailInvalid, KeyEncryptionFailed
from tonearm_kit.clock import SystemClock
from tonearm_kit.errors import Unavailable
from tonearm_kit.testing.clock import START, CountingIds
from tonearm_kit.tokens import TokenExpired, TokenInvalid, TokenVerifier

NOW = SystemClock().now()
DAY_S = 24 * 3600
VAULT = Vault(b"m" * 32)
ANNA = replace(
    Account.register("a1", email="a@x.org", password_hash="", full_name=None, now=START),
    plan="premium",
    is_beta=True,
)


def ring(vault: Vault = VAULT, *, lifetime_s: int = DAY_S) -> KeyRing:
    return KeyRing(
        vault=vault, issuer="iss", audience="aud", lifetime_s=lifetime_s, new_id=CountingIds()
    )


def test_what_is_sealed_opens_under_its_name_and_key_only() -> None:
    sealed = VAULT.seal(b"secret", name="k1")
    assert VAULT.open(sealed, name="k1") == b"secret"
    assert b"secret" not in sealed
    assert VAULT.seal(b"secret", name="k1") != sealed
    for vault, text, name in [
        (VAULT, sealed, "k2"),
        (Vault(b"n" * 32), sealed, "k1"),
        (VAULT, sealed[:-1] + bytes([sealed[-1] ^ 1]), "k1"),
        (VAULT, b"", "k1"),
    ]:
        with pytest.raises(KeyEncryptionFailed):
            vault.open(text, name=name)


@pytest.mark.parametrize(
    "text", ["", "short", "AAAA", "!" * 44, base64.b64encode(b"x" * 31).decode()]
)
def test_a_master_key_has_32_bytes(text: str) -> None:
    with pytest.raises(WrongMasterKey):
        Vault.from_text(text)


def test_a_missing_key_file_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "secrets" / "key"
    with ThreadPoolExecutor(8) as pool:
        vaults = list(pool.map(lambda _: Vault.from_file(path), range(8)))
    assert len({vault.derive("x") for vault in vaults}) == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["key"]


def test_purposes_do_not_share_keys() -> None:
    assert VAULT.derive("a") != VAULT.derive("b")


async def test_a_signed_token_is_what_services_accept() -> None:
    keys = ring()
    keys.load([Es256Keys(VAULT).make(active_from=NOW, now=NOW)])
    verifier = TokenVerifier(keys, issuer="iss", audience="aud")
    principal = await verifier.verify(keys.sign(ANNA, session_id="s1", now=NOW))
    assert (principal.account_id, principal.session_id) == ("a1", "s1")
    assert (principal.plan, principal.is_beta, principal.is_superuser) == ("premium", True, False)


async def test_tokens_of_another_time_issuer_or_audience_are_refused() -> None:
    keys = ring()
    keys.load([Es256Keys(VAULT).make(active_from=NOW - timedelta(days=9), now=NOW)])
    old = keys.sign(ANNA, session_id="s1", now=NOW - timedelta(seconds=DAY_S + 50))
    early = keys.sign(ANNA, session_id="s1", now=NOW + timedelta(hours=1))
    good = keys.sign(ANNA, session_id="s1", now=NOW)
    verifier = TokenVerifier(keys, issuer="iss", audience="aud")
    with pytest.raises(TokenExpired):
        await verifier.verify(old)
    with pytest.raises(TokenInvalid):
        await verifier.verify(early)
    with pytest.raises(TokenInvalid):
        await TokenVerifier(keys, issuer="other", audience="aud").verify(good)
    with pytest.raises(TokenInvalid):
        await TokenVerifier(keys, issuer="iss", audience="other").verify(good)


async def test_a_roll_over_keeps_old_tokens_valid_and_signs_with_the_new_key() -> None:
    keys, maker = ring(), Es256Keys(VAULT)
    first = maker.make(active_from=NOW - timedelta(days=1), now=NOW)
    second = maker.make(active_from=NOW + timedelta(seconds=100), now=NOW)
    keys.load([first, second])
    assert [each["kid"] for each in keys.published()] == [first.times.kid, second.times.kid]
    before = keys.sign(ANNA, session_id="s", now=NOW)
    after = keys.sign(ANNA, session_id="s", now=NOW + timedelta(seconds=100))
    assert jwt.get_unverified_header(before)["kid"] == first.times.kid
    assert jwt.get_unverified_header(after)["kid"] == second.times.kid
    await TokenVerifier(keys, issuer="iss", audience="aud").verify(before)
    keys.load([second])
    with pytest.raises(TokenInvalid):
        await TokenVerifier(keys, issuer="iss", audience="aud").verify(before)


def test_without_a_key_in_use_nothing_is_signed() -> None:
    keys = ring()
    with pytest.raises(Unavailable):
        keys.sign(ANNA, session_id="s", now=NOW)
    keys.load([Es256Keys(VAULT).make(active_from=NOW + timedelta(seconds=1), now=NOW)])
    with pytest.raises(Unavailable):
        keys.sign(ANNA, session_id="s", now=NOW)


def test_a_stored_key_holds_nothing_private_in_the_clear() -> None:
    key = Es256Keys(VAULT).make(active_from=NOW, now=NOW)
    assert set(key.public_jwk) == {"kty", "crv", "x", "y", "kid", "use", "alg"}
    with pytest.raises(KeyEncryptionFailed):
        ring(Vault(b"n" * 32)).load([key])


def test_refresh_tokens_are_long_and_their_children_need_the_secret() -> None:
    tokens, others = HmacRefreshTokens(b"s" * 32), HmacRefreshTokens(b"t" * 32)
    first = tokens.first()
    assert len(first) >= 43
    assert first != tokens.first()
    assert tokens.child(first) == tokens.child(first) != others.child(first)
    assert tokens.child(tokens.child(first)) not in (first, tokens.child(first))
    assert len(tokens.hash(first)) == 32


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("Anna@Example.ORG", "anna@example.org"),
        (" anna@example.org ", "anna@example.org"),
        ("anna+tag@example.org", "anna+tag@example.org"),
        ("anna@bücher.example", "anna@bücher.example"),
        ("anna@xn--bcher-kva.example", "anna@bücher.example"),
    ],
)
def test_an_address_has_one_spelling(text: str, normal: str) -> None:
    assert normalise_email(text) == normal


@pytest.mark.parametrize(
    "text", ["a@b", "a@@b.org", "a b@c.org", "a@[1.2.3.4]", "a\n@b.org", "\x00@b.org"]
)
def test_what_is_no_address_has_none(text: str) -> None:
    with pytest.raises(EmailInvalid):
        normalise_email(text)
