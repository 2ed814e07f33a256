"""MurmurHash3, 32 bits, x86 variant, seed 0: the hash behind flagd's roll-out buckets."""

from __future__ import annotations

_MASK = 0xFFFFFFFF
_C1, _C2 = 0xCC9E2D51, 0x1B873593


def murmur3_32(key: bytes) -> int:
    """Return the unsigned hash of `key`."""
    whole = len(key) & ~3
    hashed = 0
    for start in range(0, whole, 4):
        hashed ^= _scrambled(int.from_bytes(key[start : start + 4], "little"))
        hashed = (_rotated(hashed, by=13) * 5 + 0xE6546B64) & _MASK
    if whole < len(key):
        hashed ^= _scrambled(int.from_bytes(key[whole:], "little"))
    return _avalanched(hashed ^ len(key))


def _rotated(word: int, *, by: int) -> int:
    return ((word << by) | (word >> (32 - by))) & _MASK


def _scrambled(word: int) -> int:
    return (_rotated((word * _C1) & _MASK, by=15) * _C2) & _MASK


def _avalanched(word: int) -> int:
    word = ((word ^ (word >> 16)) * 0x85EBCA6B) & _MASK
    word = ((word ^ (word >> 13)) * 0xC2B2AE35) & _MASK
    return word ^ (word >> 16)
