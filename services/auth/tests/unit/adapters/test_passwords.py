"""Argon2id as configured, off the event loop, bounded."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from argon2 import Type, extract_parameters

from tonearm_auth.adapters.passwords import Argon2Cost, Argon2Passwords, common_passwords
from tonearm_auth.domain.errors import HashingBusy

CHEAP = Argon2Cost(memory_kib=8192, passes=1)


@pytest.fixture
def passwords() -> Iterator[Argon2Passwords]:
    with Argon2Passwords(CHEAP, threads=2, waiting_max=2) as made:
        yield made


async def test_a_hash_is_argon2id_with_a_salt_of_its_own(passwords: Argon2Passwords) -> None:
    one, two = [await passwords.hash("correct horse") for _ in range(2)]
    assert one != two
    told = extract_parameters(one)
    assert (told.type, told.memory_cost, told.time_cost) == (Type.ID, 8192, 1)
    assert told.salt_len >= 16
    assert told.hash_len >= 32


def test_the_default_is_the_recommended_minimum() -> None:
    cost = Argon2Cost()
    assert (cost.memory_kib, cost.passes, cost.lanes) == (19456, 2, 1)


@pytest.mark.parametrize(
    ("given", "is_right"),
    [
        ("correct horse", True),
        ("Correct horse", False),
        ("correct horse ", False),
        ("correct hors", False),
        ("", False),
        ("x" * 100_000, False),
    ],
)
async def test_only_the_very_same_password_matches(
    passwords: Argon2Passwords, given: str, is_right: bool
) -> None:
    hashed = await passwords.hash("correct horse")
    assert await passwords.verify(given, hashed=hashed) is is_right


async def test_nothing_is_cut_off_long_passwords(passwords: Argon2Passwords) -> None:
    hashed = await passwords.hash("🎵" * 256)
    assert await passwords.verify("🎵" * 256, hashed=hashed)
    assert not await passwords.verify("🎵" * 255 + "🎶", hashed=hashed)


async def test_nobody_costs_what_a_wrong_password_costs(passwords: Argon2Passwords) -> None:
    hashed = await passwords.hash("correct horse")
    assert not await passwords.verify("nobody has this password", hashed=None)
    stand_in = extract_parameters(passwords.stand_in)
    assert stand_in == extract_parameters(hashed)


async def test_a_broken_hash_matches_nothing(passwords: Argon2Passwords) -> None:
    assert not await passwords.verify("x", hashed="$argon2id$broken")
    assert not await passwords.verify("x", hashed="")


async def test_weaker_parameters_are_noticed(passwords: Argon2Passwords) -> None:
    hashed = await passwords.hash("correct horse")
    assert not passwords.needs_rehash(hashed)
    with Argon2Passwords(
        Argon2Cost(memory_kib=8192, passes=2), threads=1, waiting_max=0
    ) as stronger:
        assert stronger.needs_rehash(hashed)
        assert await stronger.verify("correct horse", hashed=hashed)


async def test_too_many_at_once_are_turned_away_and_the_loop_goes_on(
    passwords: Argon2Passwords,
) -> None:
    turns = 0

    async def tick() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        ticking = group.create_task(tick())
        outcomes = await asyncio.gather(
            *(passwords.hash("correct horse") for _ in range(10)), return_exceptions=True
        )
        ticking.cancel()
    assert sum(isinstance(each, str) for each in outcomes) == 4
    assert sum(isinstance(each, HashingBusy) for each in outcomes) == 6
    assert turns > 10
    assert await passwords.hash("correct horse")


def test_the_common_ones_are_known() -> None:
    common = common_passwords(length_min=8)
    assert {"password", "12345678", "password1", "qwertyuiop", "iloveyou"} <= common
    assert len(common) >= 3000
    assert all(word == word.lower() and len(word) >= 8 for word in common)
