"""Every number that a client can meet is explained."""

from __future__ import annotations

import re
from pathlib import Path

from tonearm_notify.domain import codes

PAGE = Path(__file__).parents[5] / "docs" / "push.md"
_KINDS = (codes.Error, codes.Unsubscribe, codes.Disconnect)


def test_the_push_page_explains_every_code_and_no_other() -> None:
    sent = {code.code for code in vars(codes).values() if isinstance(code, _KINDS)}
    rows = re.findall(r"^\| (\d+) \| \S", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert {int(row) for row in rows} == sent | {1009}
