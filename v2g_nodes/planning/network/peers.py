"""The same problem as one mixed-integer cone program, solved by SCIP: through cvxpy, as the source does, or directly.

Both are measured beside the certified method. The time is the solver's own, without that of building the model.
"""

from __future__ import annotations

from v2g_nodes.core.errors import InputError
from v2g_nodes.planning.network.instance import Instance
from v2g_nodes.planning.network.peer_problem import PeerResult

PEERS = ("scip-cvxpy", "scip")


def solve_peer(instance: Instance, peer: str, seconds_max: float = 600.0) -> PeerResult:
    """Solve an instance by a peer.

    Args:
        instance: the same that we solve.
        peer: one of PEERS.
        seconds_max: time limit of the solver.

    Raises:
        InputError: unknown peer, or its packages are not installed.
    """
    if peer not in PEERS:
        raise InputError(f"peer {peer!r}, allowed {', '.join(PEERS)}")
    try:
        from v2g_nodes.planning.network.peer_cvxpy import by_cvxpy
        from v2g_nodes.planning.network.peer_scip import by_scip

        return (by_cvxpy if peer == "scip-cvxpy" else by_scip)(instance, seconds_max)
    except ImportError as error:
        raise InputError(f"peer {peer}: {error}, allowed with cvxpy and pyscipopt installed") from error
