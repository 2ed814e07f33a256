"""`python -m tonearm_ingest serve | migrate | settings`."""

from __future__ import annotations

from tonearm_ingest.bootstrap import migrate, serve
from tonearm_ingest.settings import Settings
from tonearm_kit.main import main

if __name__ == "__main__":
    main("ingest", settings=Settings, serve=serve, migrate=migrate)
