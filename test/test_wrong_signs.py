"""The wrong signs and fixed points of the formulation and its companions do not pass, in its recursions or in ours.

EQUATIONS 000.4, items 4 and 6. The acceptance is the one that the right algorithms pass in test_dispatch_methods.py.
"""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from v2g_nodes.cli.dispatch_trial import Instance, build_agents, random_instance
from v2g_nodes.core.averaging.linear import LinearPlan
from v2g_nodes.core.averaging.plans import averaging_plan
from v2g_nodes.core.dispatch import admm, iterative, newton, price_tracking, primal_dual, supply_curve
from v2g_nodes.core.dispatch.admm import AdmmAgent
from v2g_nodes.core.dispatch.agent import LocalProblem
from v2g_nodes.core.dispatch.lockstep import LockstepAgent
from v2g_nodes.core.dispatch.methods import METHODS
from v2g_nodes.core.dispatch.reference import equal_split
from v2g_nodes.core.graph import adjacency, metropolis_weights
from v2g_nodes.core.supply import BoxedCost, Supply
from v2g_nodes.core.types import Box, FloatArray
from v2g_nodes.sim.network import LossyNetwork, play_epoch

ROUNDS_MAX = 800  # the right ones need 200 on the stations below
N, TARGET_KW, REACH_KW = 10, 20.0, 3.1


def sibling(name: str) -> ModuleType:
    """Another test file; the tests in it are not collected again."""
    spec = importlib.util.spec_from_file_location(f"sibling_{name}", Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


methods = sibling("test_dispatch_methods")
check: Callable[[Instance, Mapping[int, LockstepAgent], str, str], list[str]] = methods.check
check_powers: Callable[[Instance, list[float], str], list[str]] = methods.check_powers


def station(target_kw: float = TARGET_KW, topology: str = "ring") -> Instance:
    """Ten unlike modules, free in their boxes, of whom 20 kW are asked, as in the formulation's example."""
    found = random_instance(topology, N, 61, 0)
    return replace(found, boxes=(BOX,) * N, target_kw=target_kw)


BOX = Box(-REACH_KW, REACH_KW)
RHO = 0.02  # EUR/h/kW^2, inside the range of 000.5


def supplies(instance: Instance) -> list[BoxedCost]:
    return [BoxedCost(cost, box) for cost, box in zip(instance.costs, instance.boxes, strict=True)]


def weights(instance: Instance) -> FloatArray:
    """Lazy Metropolis weights: all eigenvalues positive, so that W p = (T / n) 1 has one solution and it is stable."""
    found: FloatArray = (np.eye(N) + metropolis_weights(adjacency(instance.group.members, instance.group.edges))) / 2
    return found


# ---- what is right passes, and what is wrong does not


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("target_kw", [TARGET_KW, -TARGET_KW])
def test_the_right_algorithms_pass(method: str, target_kw: float) -> None:
    instance = station(target_kw)
    agents = build_agents(instance, method, "exact")
    play_epoch(agents, LossyNetwork(adjacency(instance.group.members, instance.group.edges)))
    assert not check(instance, agents, method, "exact")


@pytest.mark.parametrize("method", METHODS)
def test_an_equal_split_does_not_pass(method: str) -> None:
    instance = station()
    assert any(fault.startswith("gap") for fault in check_powers(instance, [TARGET_KW / N] * N, method))
    powers = list(equal_split(instance.boxes, TARGET_KW))
    assert powers == pytest.approx([TARGET_KW / N] * N)


@pytest.mark.parametrize("method", METHODS)
def test_the_optimum_of_the_opposite_target_does_not_pass(method: str) -> None:
    """Charging 20 kW as cheaply as possible has no gap, yet is not what was asked for."""
    wrong = [-power for power in optimum(station())]
    assert not check_powers(station(-TARGET_KW), wrong, method)
    assert any(fault.startswith("balance") for fault in check_powers(station(), wrong, method))


def optimum(instance: Instance) -> list[float]:
    agents = build_agents(instance, "newton")
    play_epoch(agents, LossyNetwork(adjacency(instance.group.members, instance.group.edges)))
    return [agent.agreement.power_kw for agent in agents.values() if agent.agreement]


# ---- 000.4 item 4: primal-dual as the formulation has it


def primal_dual_of_the_source(instance: Instance, sign: float, averaged: bool) -> FloatArray:
    """p_i <- best response to lambda_i; lambda_i <- lambda_i + sign rho (sum_j W_ij p_j - T / n).

    Args:
        instance: the station.
        sign: +1 as in the source, -1 the right way round.
        averaged: average the prices, which the source does not.
    """
    w = weights(instance)
    price: FloatArray = np.zeros(N)
    p: FloatArray = np.zeros(N)
    for _ in range(4000):
        p = np.array([s.proximal(x + RHO * kw, RHO) for s, x, kw in zip(supplies(instance), price, p, strict=True)])
        price = (w @ price if averaged else price) + sign * 0.2 * RHO * (w @ p - instance.target_kw / N)
    return p


def test_the_sources_price_step_runs_away_to_the_wrong_side() -> None:
    instance = station()
    for averaged in (False, True):
        powers = primal_dual_of_the_source(instance, 1.0, averaged)
        assert powers.sum() == pytest.approx(-N * REACH_KW)  # -31 kW, when +20 kW were asked
        assert check_powers(instance, powers.tolist(), "primal_dual")


def test_with_the_right_sign_it_still_ends_at_the_equal_split() -> None:
    instance = station()
    powers = primal_dual_of_the_source(instance, -1.0, averaged=False)
    np.testing.assert_allclose(weights(instance) @ powers, TARGET_KW / N, atol=5e-3)
    np.testing.assert_allclose(powers, TARGET_KW / N, atol=0.05)
    faults = check_powers(instance, powers.tolist(), "primal_dual")
    assert any(fault.startswith("gap") for fault in faults)


# ---- 000.4 item 6: the companion's ADMM


def admm_of_the_companion(instance: Instance, linear: float, shift: float) -> FloatArray:
    """Consensus ADMM in the companion's form, with exact averages.

        p_i <- argmin f_i - linear lambda_i p + rho/2 (p - z_i)^2;  s_i = p_i + shift lambda_i / rho
        z_i <- s_i - mean(s) + T / n;  lambda_i <- lambda_i + rho (p_i - z_i)

    Args:
        instance: the station.
        linear: +1 as in the companion, -1 right.
        shift: sign of the multiplier in s; +1 as in the companion and right.
    """
    share = instance.target_kw / N
    z: FloatArray = np.full(N, share)
    price: FloatArray = np.zeros(N)
    p = z
    for _ in range(3000):
        p = np.array(
            [s.proximal(linear * x + RHO * at, RHO) for s, x, at in zip(supplies(instance), price, z, strict=True)]
        )
        s = p + shift * price / RHO
        z = s - s.mean() + share
        price = price + RHO * (p - z)
    return p


def test_the_companions_admm_saturates_at_the_wrong_side() -> None:
    """Positive feedback: whoever is off the share is driven further off, here by the box of one kind."""
    instance = station()
    powers = admm_of_the_companion(instance, 1.0, 1.0)
    assert powers.sum() == pytest.approx(-N * REACH_KW)
    assert check_powers(instance, powers.tolist(), "admm")


def test_the_same_recursion_with_the_right_sign_passes() -> None:
    instance = station()
    powers = admm_of_the_companion(instance, -1.0, 1.0)
    assert not check_powers(instance, powers.tolist(), "admm")


# ---- signs flipped in our own algorithms

FLIPS: list[tuple[ModuleType, str, str]] = [
    (admm, "supply.proximal(rho * z - y, rho)", "supply.proximal(rho * z + y, rho)"),
    (admm, "a = p + y / rho", "a = p - y / rho"),
    (admm, "a - mean_a + share_kw", "a + mean_a - share_kw"),
    (admm, "a - mean_a + share_kw", "a - mean_a - share_kw"),
    (admm, "y = rho * (mean_a - share_kw)", "y = rho * (share_kw - mean_a)"),
    (admm, "y = rho * (mean_a - share_kw)", "y = 0.0"),
    (admm, "Result(-y, p, clipped_kw)", "Result(y, p, clipped_kw)"),
    (primal_dual, "rho * (share_kw - (2.0 * p - before))", "rho * ((2.0 * p - before) - share_kw)"),
    (primal_dual, "rho * (share_kw - (2.0 * p - before))", "rho * (share_kw + (2.0 * p - before))"),
    (primal_dual, "supply.proximal(price + rho * p, rho)", "supply.proximal(-price + rho * p, rho)"),
    (primal_dual, "supply.proximal(price + rho * p, rho)", "supply.proximal(price - rho * p, rho)"),
    (primal_dual, "Result(price, p, clipped_kw)", "Result(-price, p, clipped_kw)"),
    (price_tracking, "price + self._beta * missing_kw, missing_kw)", "price - self._beta * missing_kw, missing_kw)"),
    (price_tracking, "mixed_kw + before - p", "mixed_kw - before + p"),
    (price_tracking, "missing_kw = share_kw - p", "missing_kw = p - share_kw"),
    (price_tracking, "supply.proximal(mixed_price + rho * p, rho)", "supply.proximal(rho * p - mixed_price, rho)"),
    (price_tracking, "Result(agreed_price, p, clipped_kw)", "Result(-agreed_price, p, clipped_kw)"),
    (newton, "price = price + step if", "price = price - step if"),
    (newton, "slope = target_kw - self._members * mean_p", "slope = target_kw + self._members * mean_p"),
    (newton, "if missing_kw >= 0.0:", "if missing_kw < 0.0:"),
    (newton, "(1 - share) * left + share * right", "(1 - share) * left - share * right"),
    (newton, "(1 - share) * p_left + share * p_right", "share * p_left + (1 - share) * p_right"),
    (newton, "share = (target_kw - s_left)", "share = (target_kw + s_left)"),
    (supply_curve, "base_kw + unit_kw * ((1 - share) * units[k]", "base_kw - unit_kw * ((1 - share) * units[k]"),
    (supply_curve, "(1 - share) * units[k] + share * units[k + 1]", "share * units[k] + (1 - share) * units[k + 1]"),
    (supply_curve, "price = (1 - share) * known[k]", "price = (share - 1) * known[k]"),
    (iterative, "= self._members * low, self._members * high", "= -self._members * high, -self._members * low"),
]  # fmt: skip
EFFICIENT_ONLY = "price = price - step if"  # costs iterations only, as the bracket holds all the same


def flipped(module: ModuleType, right: str, wrong: str) -> dict[str, Any]:
    """The module's names after its source was run with a piece replaced."""
    source = inspect.getsource(module)
    assert source.count(right) == 1, f"{module.__name__} has {right!r} {source.count(right)} times"
    names: dict[str, Any] = {"__name__": f"{module.__name__}_flipped"}
    twin = ModuleType(names["__name__"])
    sys.modules[names["__name__"]] = twin
    exec(compile(source.replace(right, wrong), f"{module.__file__} flipped", "exec"), twin.__dict__)
    return twin.__dict__


ITERATIVE = ("newton", "admm", "primal_dual", "price_tracking")
PARTS: dict[ModuleType, dict[str, tuple[str, ...]]] = {
    newton: {"NewtonAgent": ("_rounds",)},
    admm: {"AdmmAgent": ("_rounds",)},
    primal_dual: {"PrimalDualAgent": ("_rounds",)},
    price_tracking: {"PriceTrackingAgent": ("_rounds",)},
    supply_curve: {"SupplyCurveAgent": ("_rounds",)},
    iterative: {"IterativeAgent": ("_opening",)},
}


def verdict(instance: Instance, agents: Mapping[int, LockstepAgent], method: str, averaging: str) -> list[str]:
    """Faults of a play; that it never ends, or ends in an arithmetic error, is one."""
    network = LossyNetwork(adjacency(instance.group.members, instance.group.edges))
    try:
        play_epoch(agents, network, ROUNDS_MAX)
    except (RuntimeError, ArithmeticError) as error:
        return [str(error)]
    return check(instance, agents, method, averaging)


def stations() -> list[Instance]:
    """Targets on either side, a small one, one whose equal share does not fit a box, and one out of reach."""
    boxes = (Box(-0.3, 0.1), *(BOX,) * (N - 1))
    unlike = replace(station(0.8 * TARGET_KW, "bus"), boxes=boxes)
    beyond = replace(unlike, target_kw=(N - 1) * REACH_KW + 1.0)
    return [*(station(target_kw, "bus") for target_kw in (TARGET_KW, -TARGET_KW, 1.7)), unlike, beyond]


def judged(method: str, build: Callable[[Instance], dict[int, LockstepAgent]]) -> list[str]:
    """Faults on the first of the stations that shows any; none if all pass."""
    for instance in stations():
        faults = verdict(instance, build(instance), method, "exact")
        if faults:
            return faults
    return []


@pytest.mark.parametrize(
    ("module", "right", "wrong"), FLIPS, ids=[f"{m.__name__.split('.')[-1]}: {wrong}" for m, _, wrong in FLIPS]
)
def test_a_flipped_sign_does_not_pass(
    module: ModuleType, right: str, wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = flipped(module, right, wrong)
    for class_name, parts in PARTS[module].items():
        for part in parts:
            monkeypatch.setattr(getattr(module, class_name), part, getattr(names[class_name], part))
    for method in ITERATIVE if module is iterative else [module.__name__.split(".")[-1]]:
        faults = judged(method, partial(build_agents, method=method, averaging="exact"))
        assert bool(faults) == (wrong != EFFICIENT_ONLY)


@pytest.mark.parametrize("method", METHODS)
def test_unflipped_algorithms_pass_the_same_judgement(method: str) -> None:
    assert judged(method, partial(build_agents, method=method, averaging="exact")) == []


class Mirrored:
    """Answers of a module that takes charging for discharging."""

    def __init__(self, supply: Supply) -> None:
        self._supply = supply

    def response(self, prices: FloatArray) -> FloatArray:
        return -self._supply.response(prices)

    def slope(self, price: float) -> float:
        return -self._supply.slope(price)

    def proximal(self, price: float, weight: float) -> float:
        return -self._supply.proximal(price, weight)


class Backwards(Mirrored):
    """Answers that fall with the price."""

    def response(self, prices: FloatArray) -> FloatArray:
        return self._supply.response(-prices)

    def slope(self, price: float) -> float:
        return self._supply.slope(-price)

    def proximal(self, price: float, weight: float) -> float:
        return self._supply.proximal(-price, weight)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("wrong", [Mirrored, Backwards])
def test_modules_that_answer_the_wrong_way_do_not_pass(method: str, wrong: type[Mirrored]) -> None:
    """Boxes and costs are even here, so nothing but the sign of the answer is wrong."""

    def build(instance: Instance) -> dict[int, LockstepAgent]:
        agents = build_agents(instance, method, "exact")
        for agent in agents.values():
            agent._problem = replace(agent._problem, supply=wrong(agent._problem.supply))
            agent._begin(None)
        return agents

    assert judged(method, build)


# ---- averages of powers instead of prices (000.4 items 4 and 7)


def test_averaging_the_powers_does_not_pass() -> None:
    """One common power for all is the equal split, whatever the costs."""
    instance = station()
    w = weights(instance)
    powers = np.array(optimum(instance))
    for _ in range(1000):
        powers = w @ powers
    np.testing.assert_allclose(powers, TARGET_KW / N, atol=1e-6)
    for method in METHODS:
        assert any(fault.startswith("gap") for fault in check_powers(instance, powers.tolist(), method))


def test_an_average_that_forgets_a_neighbour_does_not_pass() -> None:
    """The weights must keep the sum."""
    instance = station(topology="ring")
    group = instance.group
    plan = averaging_plan("metropolis", group.members, group.edges)
    assert isinstance(plan, LinearPlan)
    lopsided = replace(plan, weights={**plan.weights, 1: (plan.weights[1][0], 0.0)})
    agents: dict[int, LockstepAgent] = {}
    for k, supply in zip(group.members, supplies(instance), strict=True):
        problem = LocalProblem(k, supply.box, supply, instance.epoch, TARGET_KW, instance.span_eur_per_kwh)
        agents[k] = AdmmAgent(problem, group, lopsided, 1)
    assert verdict(instance, agents, "admm", "metropolis")
