"""`v2g test`: everything that has to hold before a change is good."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from v2g_nodes.core.errors import InputError

# Tests with nodes, processes or networks of their own depend on time, so they have the machine for themselves.
LIVE = ("test/nodes", "test/system", "test/test_host_network.py", "test/test_canbus_multicast.py")
ROOT = Path(__file__).resolve().parents[2]

HELP = """Usage: v2g test [PYTEST ARGS]

Without arguments: ruff, mypy and all tests, first those without nodes on all cores, then those with nodes and processes
one after another; every part runs, whatever the others say.
With arguments: pytest alone with these, run from the root of the repository (v2g test -k droop -x)."""


def test(arguments: list[str]) -> int:
    """Run the checks.

    Args:
        arguments: passed to pytest; empty for everything.

    Returns:
        0 when all that ran passed.

    Raises:
        InputError: not run from a source checkout.
    """
    if arguments in (["--help"], ["-h"]):
        print(HELP)
        return 0
    if not (ROOT / "test").is_dir():
        raise InputError(f"no tests in {ROOT}: `v2g test` needs a checkout of the repository, not an installed package")
    if arguments:
        return _run("pytest", *arguments)
    results = {
        "ruff": _run("ruff", "check", "."),
        "mypy": _run("mypy"),
        "pytest": _run("pytest", "test", "-n", "auto", "--dist", "loadfile", *(f"--ignore={path}" for path in LIVE)),
        "pytest of nodes and processes": _run("pytest", *LIVE),
    }
    print("v2g test:", ", ".join(f"{tool} {'ok' if code == 0 else 'FAILED'}" for tool, code in results.items()))
    return int(any(results.values()))


def _run(tool: str, *arguments: str) -> int:
    print(f"-- {tool}", flush=True)
    return subprocess.run([sys.executable, "-m", tool, *arguments], cwd=ROOT, check=False).returncode
