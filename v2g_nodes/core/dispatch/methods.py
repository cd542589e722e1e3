"""The algorithms by name, and the average each of them uses unless told otherwise."""

from __future__ import annotations

from dataclasses import replace

from v2g_nodes.core.averaging.plans import averaging_plan
from v2g_nodes.core.dispatch.admm import AdmmAgent
from v2g_nodes.core.dispatch.agent import Group, LocalProblem
from v2g_nodes.core.dispatch.iterative import IterativeAgent
from v2g_nodes.core.dispatch.lockstep import LockstepAgent
from v2g_nodes.core.dispatch.newton import NewtonAgent
from v2g_nodes.core.dispatch.price_grid import WarmStart
from v2g_nodes.core.dispatch.price_tracking import PriceTrackingAgent
from v2g_nodes.core.dispatch.primal_dual import PrimalDualAgent
from v2g_nodes.core.dispatch.supply_curve import SupplyCurveAgent
from v2g_nodes.core.errors import InputError
from v2g_nodes.core.graph import Edges
from v2g_nodes.core.privacy.masks import MaskOf

METHODS = ("supply_curve", "newton", "admm", "primal_dual", "price_tracking")
FIXED_POINT = ("exact", "tree")  # averages of which every member has the same bits
AVERAGE_TOLERANCE = 1e-4  # what averages that only converge may leave of the members' first disagreement
STEPS_MAX = 100  # price tracking averages exactly where Metropolis weights take more rounds for one average
_ON_ANY_PLAN: dict[str, type[IterativeAgent]] = {
    "newton": NewtonAgent,
    "admm": AdmmAgent,
    "primal_dual": PrimalDualAgent,
}


def averagings(method: str) -> tuple[str, ...]:
    """Averages on which an algorithm runs (core/averaging/plans.py); the supply curve brings its own exact sum."""
    if method == "supply_curve":
        return ("exact",)
    return FIXED_POINT if method == "newton" else (*FIXED_POINT, "metropolis", "chebyshev", "finite_time")


def default_averaging(method: str, members: tuple[int, ...], edges: Edges) -> str:
    """The average that suits an algorithm on a graph: steps of price tracking where these mix fast, else exact."""
    if method != "price_tracking":
        return "exact"
    rounds = averaging_plan("metropolis", members, edges, AVERAGE_TOLERANCE).rounds
    return "metropolis" if rounds <= STEPS_MAX else "exact"


def build_agent(
    method: str,
    problem: LocalProblem,
    group: Group,
    warm: WarmStart | None,
    resend_ns: int,
    cold: bool = False,
    averaging: str | None = None,
    masks: MaskOf | None = None,
) -> LockstepAgent:
    """One module's side of one epoch.

    Args:
        method: one of METHODS.
        problem: own part of the allocation.
        group: who takes part.
        warm: the curve that the last agreed epoch left; the others start from the price in `problem`.
        resend_ns: pause before a waiting member repeats its frame [ns].
        cold: begin without memory all the same.
        averaging: one of `averagings(method)`; None = default_averaging.
        masks: hide the own curve from the other members; None = show it.

    Raises:
        InputError: unknown method, an average that it can't use, or masks for a method without.
    """
    averaging = averaging or default_averaging(method, group.members, group.edges)
    if method not in METHODS:
        raise InputError(f"algorithm is {method!r}, allowed {', '.join(METHODS)}")
    if averaging not in averagings(method):
        raise InputError(f"averaging of {method} is {averaging!r}, allowed {', '.join(averagings(method))}")
    if method == "supply_curve":
        return SupplyCurveAgent(problem, group, warm, resend_ns, cold, masks)
    if masks is not None:
        raise InputError(f"masks with {method}, allowed with supply_curve")
    if cold:
        problem = replace(problem, start_eur_per_kwh=None)
    if method == "price_tracking" and averaging == "metropolis":
        return PriceTrackingAgent(problem, group, None, resend_ns)
    plan = averaging_plan(averaging, group.members, group.edges, AVERAGE_TOLERANCE)
    if method == "price_tracking":
        return PriceTrackingAgent(problem, group, plan, resend_ns)
    return _ON_ANY_PLAN[method](problem, group, plan, resend_ns)


def gap_limit(method: str) -> float:
    """Gap below which an algorithm has converged: 0.1 %, 1 % for those that are stopped on their way."""
    return 1e-2 if method in ("admm", "primal_dual") else 1e-3
