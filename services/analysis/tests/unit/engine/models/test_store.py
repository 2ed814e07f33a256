"""Shipped models are the ones that their cards describe."""

from __future__ import annotations

import json
from importlib.resources import files

import pytest

from tonearm_analysis.engine.models import (
    ModelCorruptedError,
    open_network,
    read_card,
    read_numbers,
    store,
)

FOLDER = files("tonearm_analysis.engine.models")
CARDS = sorted(p.name.removesuffix(".card.json") for p in FOLDER.iterdir() if "card" in p.name)


@pytest.mark.parametrize("name", CARDS)
def test_every_card_names_a_licence_a_credit_and_the_right_file(name: str) -> None:
    card = read_card(name)
    assert card["licence"]
    assert card["credit"]
    assert card["size_bytes"] == len(FOLDER.joinpath(card["file"]).read_bytes())
    if card["file"].endswith(".onnx"):
        assert open_network(name) is open_network(name)
    else:
        assert read_numbers(name)


def test_every_third_party_model_is_in_the_notice() -> None:
    notice = FOLDER.joinpath("NOTICE").read_text(encoding="utf-8")
    assert all(p.name in notice for p in FOLDER.iterdir() if p.name.endswith(".onnx"))


def test_a_changed_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    card = json.loads(FOLDER.joinpath("key_weights.card.json").read_text(encoding="utf-8"))
    monkeypatch.setattr(store, "read_card", lambda _name: card | {"sha256": "0" * 64})
    read_numbers.cache_clear()
    with pytest.raises(ModelCorruptedError, match="key_weights"):
        read_numbers("key_weights")
