from __future__ import annotations

import pytest

from tonearm_ingest.usecases.ports import Begin

from ..conformance_library import LibraryConformance
from ..conformance_resumables import ResumablesConformance
from ..fakes import FakeLibrary


class TestFakeLibrary(LibraryConformance, ResumablesConformance):
    @pytest.fixture
    def begin(self) -> Begin:
        return FakeLibrary().begin
