"""A key file is made once, by one, and for nobody else to read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tonearm_kit.keyfile import read_or_make


def never() -> str:
    raise AssertionError("made again")


def test_a_key_is_made_once_and_only_for_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "secrets" / "key"
    assert read_or_make(path, lambda: "abc") == "abc"
    assert read_or_make(path, never) == "abc"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [found.name for found in path.parent.iterdir()] == ["key"]


def test_who_comes_second_reads_what_the_first_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, link = tmp_path / "key", os.link

    def overtaken(made: Path, wanted: Path) -> None:
        wanted.write_text("of another process\n")
        link(made, wanted)

    monkeypatch.setattr(os, "link", overtaken)
    assert read_or_make(path, lambda: "mine") == "of another process"
    assert [found.name for found in tmp_path.iterdir()] == ["key"]
