"""Two hosts on one network, as people run them: they agree, go on apart when it is cut, and lose packets."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from v2g_nodes.cli.host_network import why_not

LONG_S = 300.0  # a test that waits this long has failed


@pytest.mark.skipif(bool(why_not()), reason=why_not())
@pytest.mark.usefixtures("ros_domain_id")
def test_two_hosts_agree_part_merge_and_lose_packets(tmp_path: Path) -> None:
    file = tmp_path / "hosts.json"
    words = ["--modules", "2", "--cuts", "1", "--cut", "5", "--loss", "0.2", "--duration", "6"]
    command = [sys.executable, "-m", "v2g_nodes.cli.main", "bench", "hosts", *words, "--json", str(file)]
    run = subprocess.run(command, timeout=LONG_S, capture_output=True, text=True, check=False)
    assert file.exists(), run.stderr
    figures = json.loads(file.read_text())
    said = f"{figures} {run.stderr}"
    for key in ("", "lossy_"):
        assert figures[f"{key}epochs"] > 0, said
        assert figures[f"{key}lambda_spread_max"] == 0.0, f"prices cross the network bit for bit: {said}"
        assert figures[f"{key}gap_max"] < 1e-3, said
        assert figures[f"{key}balance_error_kw_max"] < 1e-3 * 13.2, said
    assert figures["cuts_right"] == 1, said
    assert figures["merge_s_max"] > 0.0, said  # how long it takes is not judged here: others may be at work
    assert figures["sum_above_target_kw_max"] < 1e-3 * 13.2, said
    assert run.returncode == 0, said
