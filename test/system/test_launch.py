"""The launch tests, where ROS 2 comes with `launch` and the package is installed."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from ament_index_python.packages import PackageNotFoundError, get_package_prefix

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "test" / "launch" / "launch_station.py"
LONG_S = 400.0


def what_is_missing() -> str:
    """Why the launch tests can't run here."""
    for package in ("launch", "launch_ros", "launch_testing"):
        if importlib.util.find_spec(package) is None:
            return f"{package} is not installed: it comes with a ROS 2 distribution"
    try:
        prefix = Path(get_package_prefix("v2g_nodes"))
    except PackageNotFoundError:
        return "v2g_nodes is not installed: colcon build, or pip install ."
    return "" if (prefix / "lib/v2g_nodes/host").is_file() else f"{prefix} has no nodes: colcon build, or pip install ."


@pytest.mark.slow
@pytest.mark.usefixtures("ros_domain_id")
def test_the_launch_files_under_the_real_launch() -> None:
    if missing := what_is_missing():
        pytest.skip(missing)
    command = [sys.executable, "-m", "launch_testing.launch_test", str(TESTS)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=LONG_S, check=False)
    assert run.returncode == 0, (run.stdout + run.stderr)[-8000:]
