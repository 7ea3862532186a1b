"""torch is loaded where an engine runs and nowhere else: it costs 150 MB a process."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "module",
    ["deployments.api", "deployments.start", "deployments.host", "cli.platform", "cli.main"],
)
def test_who_deploys_or_asks_does_not_load_torch(module: str) -> None:
    check = f"import sys, {module}; sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
