"""`python -m tonearm_analysis serve | migrate | settings`."""

from __future__ import annotations

from tonearm_analysis import bootstrap
from tonearm_analysis.settings import AnalysisSettings
from tonearm_kit.main import main

if __name__ == "__main__":
    main(
        "analysis",
        settings=AnalysisSettings,
        serve=bootstrap.serve_until,
        migrate=bootstrap.apply_migrations,
    )
