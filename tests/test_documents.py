"""What the pages for people point to is there: files, folders and make's targets."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    page
    for pattern in ("*.md", "docs/**/*.md", "*/README.md", "*/*/README.md")
    for page in ROOT.glob(pattern)
    if not page.relative_to(ROOT).parts[0].startswith(".")
)
OPERATIONS = ROOT / "docs/operations.md"
_LINK = re.compile(r"\]\(([^)\s#]+)[^)]*\)")
_TARGET = re.compile(r"`make ([a-z-]+)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_of_a_page_lead_somewhere(page: Path) -> None:
    links = [link for link in _LINK.findall(page.read_text()) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_make_has_the_targets_that_a_page_names(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(_TARGET.findall(page.read_text())) <= targets


def test_the_first_page_is_among_them() -> None:
    assert ROOT / "README.md" in PAGES
    assert len(PAGES) > 20


def test_every_metric_that_operators_are_told_of_exists() -> None:
    made = {
        name.replace(".", "_")
        for source in (*ROOT.glob("libs/kit/src"), *ROOT.glob("services/*/src"))
        for file in source.rglob("*.py")
        for name in re.findall(r'"((?:tonearm|http|db|rpc|messaging)\.[a-z_.]+)"', file.read_text())
    }
    told = set(
        re.findall(
            r"\b((?:tonearm|http|db|rpc|messaging)_[a-z_]+?)(?:_(?:total|seconds|bucket))*[\[\]){( ]",
            "\n".join(re.findall(r"^\| `([^`]+)` \|", OPERATIONS.read_text(), re.MULTILINE)),
        )
    )
    assert len(told) > 5
    assert told - made == set()
