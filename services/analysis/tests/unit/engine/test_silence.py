"""The engine tells nobody what it does."""

import subprocess
import sys
from pathlib import Path


def test_the_networks_leave_no_usage_report_behind(tmp_path: Path) -> None:
    code = "from tonearm_analysis.engine.models.store import open_network as o; o('beat_crnn_2')"
    env = {"HOME": str(tmp_path), "PATH": ""}
    subprocess.run([sys.executable, "-c", code], env=env, check=True, timeout=60)
    assert list(tmp_path.iterdir()) == []
