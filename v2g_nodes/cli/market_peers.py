"""SCIP beside `v2g plan market`: the source's model, each run in a process of its own."""

from __future__ import annotations

import time
from importlib.util import find_spec
from typing import Any

import numpy as np

from v2g_nodes.core.errors import InputError
from v2g_nodes.planning.market.misocp import solve_misocp
from v2g_nodes.planning.market.platform import Platform
from v2g_nodes.planning.network.peers import within

PEERS = {"scip": False, "scip_valid_inequalities": True}  # with the source's valid inequalities
GRACE_S = 10.0  # for building the model and for stopping, then the process is ended
SOLVED = ("optimal", "gaplimit")  # SCIP's words


def check_peer() -> None:
    """Refuse where the peer is not installed.

    Raises:
        InputError: it is not.
    """
    if find_spec("pyscipopt") is None:
        raise InputError("--peer: pyscipopt is not installed, allowed where it is")


def run_peer(platform: Platform, peer: str, gap: float, limit_s: float) -> dict[str, Any]:
    """Figures of one run; a time-out counts as the limit.

    Args:
        platform: the problem.
        peer: of PEERS.
        gap: at which it stops, relative.
        limit_s: [s].
    """
    began = time.perf_counter()
    found = within(limit_s + GRACE_S, solve_misocp, platform, gap, limit_s, PEERS[peer])
    if found is None:
        return {"profit_per_ev_month": None, "profit_bound": None, "gap": None, "solved": False, "seconds": limit_s,
                "valid_inequalities": None, "status": f"ended after {time.perf_counter() - began:.0f} s"}  # fmt: skip
    monthly, solved = platform.monthly, found.status in SOLVED
    return {
        "profit_per_ev_month": _finite(monthly * found.profit), "profit_bound": _finite(monthly * found.bound),
        "gap": _finite((found.bound - found.profit) / max(abs(found.profit), 1e-12)), "solved": solved,
        "seconds": found.seconds if solved else limit_s, "status": found.status,
        "valid_inequalities": found.inequalities,
    }  # fmt: skip


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) and abs(value) < 1e19 else None
