from __future__ import annotations

import pytest

from tonearm_ingest.usecases.ports import Begin

from ..conformance_library import LibraryConformance
from ..fakes import FakeLibrary


class TestFakeLibrary(LibraryConformance):
    @pytest.fixture
    def begin(self) -> Begin:
        return FakeLibrary().begin
