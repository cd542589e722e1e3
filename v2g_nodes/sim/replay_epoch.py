"""One agreement made again: the members' frozen inputs on a network without faults.

What an epoch comes to follows from the frozen inputs and the membership, whatever was lost, late or repeated on the
way, so the network it is played on does not matter.
"""

from __future__ import annotations

from collections.abc import Mapping

from v2g_nodes.core.dispatch.agent import LocalProblem
from v2g_nodes.core.dispatch.lockstep import LockstepAgent
from v2g_nodes.core.dispatch.methods import build_agent
from v2g_nodes.core.graph import adjacency
from v2g_nodes.core.optimizer_types import Begun
from v2g_nodes.core.types import Agreement
from v2g_nodes.sim.network import LossyNetwork, play_epoch

ROUNDS_MAX = 20_000  # the slowest algorithm ends after some thousand rounds on the longest line of 64


def replay_epoch(algorithm: str, price_span_eur_per_kwh: float, begun: Mapping[int, Begun]) -> dict[int, Agreement]:
    """What each member agrees to.

    Args:
        algorithm: of core/dispatch/methods.py.
        price_span_eur_per_kwh: cold price range is plus and minus this [EUR/kWh].
        begun: inputs of every member of one group, by module id.

    Returns:
        By module id, ascending.

    Raises:
        InputError: unknown algorithm.
        RuntimeError: these inputs lead to no agreement.
    """
    group = next(iter(begun.values())).group
    agents = {k: _agent(algorithm, price_span_eur_per_kwh, k, begun[k]) for k in sorted(begun)}
    play_epoch(agents, LossyNetwork(adjacency(group.members, group.edges)), ROUNDS_MAX)
    return {k: agent.agreement for k, agent in agents.items() if agent.agreement is not None}


def _agent(algorithm: str, span: float, module_id: int, begun: Begun) -> LockstepAgent:
    problem = LocalProblem(
        module_id, begun.snapshot.box, begun.snapshot.supply, begun.epoch, begun.island_target_kw, span,
        begun.start_eur_per_kwh,
    )
    return build_agent(algorithm, problem, begun.group, begun.warm, 1, begun.cold)
