# mypy: ignore-errors
"""One module of a dispatch instance as a disropt agent; benchmarks/disropt_peer.py starts one per module.

    mpirun -n N <environment>/bin/python benchmarks/disropt_agent.py instance.json out.json

Runs in an environment of its own (set-up: benchmarks/disropt_peer.py) and imports nothing of the project. The dispatch

    minimise sum_i f_i(p_i)  subject to  sum_i p_i = P,  p_i in its box

reaches the algorithms of disropt in the form each of them asks for:

- `dual_subgradient`, `primal_decomposition`: constraint-coupled. disropt couples by inequalities only, so the balance
  becomes s (P - sum p) <= 0; s = 1 if P lies above the sum of the modules' cheapest powers, else -1. Each rank takes s
  from the whole instance, which in the field would cost a sum over all modules: a present to disropt.
- `admm`: every rank holds all n powers, the balance and its own box, and they agree on them.
- `gradient_tracking`, `subgradient`: cost-coupled in the price: minimise sum_i f_i*(price) - price P/n. Its gradient is
  p_i(price) - P/n with the best response p_i, computed here by bisection because disropt has no such function.

`DualDecomposition` fits neither form: with all powers as unknowns f_i is not strictly convex, so its minimisers jump.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.metadata
import json
import math
import os
import sys
import time
import traceback
import warnings
from dataclasses import dataclass, fields
from pathlib import Path
from signal import SIGKILL
from types import TracebackType

os.environ.setdefault("OMP_NUM_THREADS", "1")  # one thread per rank; read when numpy is loaded
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import cvxpy
import numpy as np
from mpi4py import MPI

if not hasattr(np, "asscalar"):  # PrimalDecomposition calls it; numpy 1.23 took it away
    np.asscalar = lambda array: array.item()

from disropt.agents import Agent
from disropt.algorithms import (
    ADMM,
    DualSubgradientMethod,
    GradientTracking,
    PrimalDecomposition,
    SubgradientMethod,
)
from disropt.constraints import Constraint
from disropt.functions import Abs, AbstractFunction, Max, Power, Square, Variable
from disropt.problems import ConstraintCoupledProblem, Problem
from disropt.utils.graph_constructor import metropolis_hastings

# disropt tells cvxpy that all its variables are one by giving each the same id. cvxpy 1.1 agreed, 1.9 takes each for
# another in quadratic forms: ADMM's local problem fails there and disropt falls back on cvxopt without a word, at ten
# times the time. So one cvxpy variable per size stands behind them all; it halves the time of the other problems too.
_shared = functools.lru_cache(lambda size: cvxpy.Variable(size, var_id=0))
Variable._to_cvxpy = lambda self: _shared(self.input_shape[0])

PR_SET_PDEATHSIG = 1  # prctl(2)
BISECTIONS = 60  # of a bracket of some kW: to the last bit
EXCHANGES_PER_ROUND = {  # calls of neighbors_exchange in one iteration
    "dual_subgradient": 1,
    "primal_decomposition": 1,
    "admm": 3,
    "gradient_tracking": 2,
    "subgradient": 1,
}


@dataclass(frozen=True)
class Module:
    """Cost and box of one module, under the names of v2g_nodes/core/cost.py."""

    p_max_kw: float
    eta_max: float
    alpha: float
    beta: float
    loss_price_eur_per_kwh: float
    wear_gamma: float
    wear_delta: float
    soc_kappa: float
    thermal_psi: float
    thermal_theta_k_per_kw2: float
    thermal_threshold_c: float
    soc: float
    temperature_c: float
    low_kw: float
    high_kw: float

    @property
    def kink(self) -> float:
        return self.loss_price_eur_per_kwh * (1.0 - self.eta_max)

    @property
    def square(self) -> float:
        return self.loss_price_eur_per_kwh * self.beta / self.p_max_kw

    @property
    def cube(self) -> float:
        return self.loss_price_eur_per_kwh * self.alpha / self.p_max_kw**2

    @property
    def wear(self) -> float:
        return self.wear_gamma * (1.0 + self.soc_kappa * (self.soc - 0.5) ** 2)

    @property
    def excess_k(self) -> float:
        return self.temperature_c - self.thermal_threshold_c

    @property
    def cheapest_kw(self) -> float:
        return min(max(0.0, self.low_kw), self.high_kw)

    def marginal(self, a: float) -> float:
        """Marginal cost at a > 0 [EUR/kWh]."""
        over = max(self.excess_k + self.thermal_theta_k_per_kw2 * a * a, 0.0)
        value = self.kink + 2.0 * self.square * a + 3.0 * self.cube * a * a
        value += self.wear * self.wear_delta * a ** (self.wear_delta - 1.0)
        return value + 4.0 * self.thermal_psi * self.thermal_theta_k_per_kw2 * a * over

    def response_kw(self, price: float) -> float:
        """Best power at a price, in the box [kW]."""
        low, high = (self.low_kw, self.high_kw) if price >= 0.0 else (-self.high_kw, -self.low_kw)
        left, right, price_size = max(low, 0.0), max(high, 0.0), abs(price)
        if self.marginal(right) <= price_size:
            left = right
        for _ in range(BISECTIONS):
            middle = 0.5 * (left + right)
            if not left < middle < right:
                break
            left, right = (middle, right) if self.marginal(middle) < price_size else (left, middle)
        return min(max(math.copysign(left, price), self.low_kw), self.high_kw)

    def cost(self, power: AbstractFunction) -> AbstractFunction:
        """The cost in functions of disropt, of a scalar power; a term that is zero in the whole box is left out."""
        size = Abs(power)
        terms = self.kink * size + self.square * Square(power) + self.cube * Power(size, 3)
        terms += self.wear * Power(size, self.wear_delta)
        reach_kw = max(abs(self.low_kw), abs(self.high_kw))
        if self.excess_k + self.thermal_theta_k_per_kw2 * reach_kw**2 > 0.0:
            heat = self.thermal_theta_k_per_kw2 * Square(power) + self.excess_k
            # 0 |p| instead of 0: cvxpy has to see that the square is taken of something not negative
            terms += self.thermal_psi * Square(Max(heat, 0.0 * size))
        return terms

    def limits(self, power: AbstractFunction) -> list[Constraint]:
        return [power <= self.high_kw, power >= self.low_kw]


class DualCost(AbstractFunction):
    """The module's part of the dual problem, of the price: f*(price) - price P/n."""

    input_shape = (1, 1)
    output_shape = (1, 1)
    differentiable = True

    def __init__(self, module: Module, share_kw: float) -> None:
        self._module = module
        self._share_kw = share_kw
        super().__init__()

    def _alternative_jacobian(self, price: np.ndarray, **_: object) -> np.ndarray:
        return np.array([[self._module.response_kw(price.item()) - self._share_kw]])


@dataclass(frozen=True)
class Rule:
    """What to run, as in the instance file.

    Args:
        algorithm: a key of EXCHANGES_PER_ROUND.
        step: step at round 0, or the penalty of ADMM; a pure number, scaled by `Dispatch.unit`.
        decay: the step falls as 1 / (1 + round)^decay; 0 keeps it.
        iterations: rounds to run.
    """

    algorithm: str
    step: float
    decay: float
    iterations: int


class Dispatch:
    """The instance as this rank sees it."""

    def __init__(self, instance: dict, rank: int) -> None:
        modules = [Module(**module) for module in instance["modules"]]
        self.count, self.module = len(modules), modules[rank]
        self.target_kw = float(instance["target_kw"])
        self.span = float(instance["span_eur_per_kwh"])
        self.direction = 1.0 if self.target_kw >= sum(m.cheapest_kw for m in modules) else -1.0
        #: EUR/kWh per kW; steps and penalties are multiples of it, so that one rule serves all stations
        self.unit = self.span / (sum(m.p_max_kw for m in modules) / self.count)
        links = np.zeros((self.count, self.count))
        for a, b in instance["edges"]:
            links[a, b] = links[b, a] = 1.0
        self._neighbours = np.flatnonzero(links[rank]).tolist()
        self._weights = metropolis_hastings(links)[rank].tolist()

    def play(self, rule: Rule) -> tuple[dict[str, np.ndarray], float]:
        """Run one rule.

        Returns:
            Own power after each round by reading [kW], shape (iterations,); and the time of all rounds [s].
        """
        agent = Agent(in_neighbors=list(self._neighbours), in_weights=self._weights)
        return getattr(self, f"_{rule.algorithm}")(agent, rule)

    def _step(self, rule: Rule) -> object:
        step = rule.step * self.unit
        return (lambda k: step / (1.0 + k) ** rule.decay) if rule.decay else step

    def _constraint_coupled(self, power: AbstractFunction, *others: Constraint) -> ConstraintCoupledProblem:
        slack = np.array([[-self.direction]]) @ power + self.direction * self.target_kw / self.count
        return ConstraintCoupledProblem(self.module.cost(power), [*self.module.limits(power), *others], slack)

    def _dual_subgradient(self, agent: Agent, rule: Rule) -> tuple[dict[str, np.ndarray], float]:
        agent.set_problem(self._constraint_coupled(Variable(1)))
        algorithm = DualSubgradientMethod(agent, np.zeros((1, 1)), enable_log=True)
        (multipliers, average), seconds = timed(algorithm, iterations=rule.iterations, stepsize=self._step(rule))
        return {"running average": average.ravel(), "last": self._responses(self.direction * multipliers)}, seconds

    def _primal_decomposition(self, agent: Agent, rule: Rule) -> tuple[dict[str, np.ndarray], float]:
        pair = Variable(2)  # PrimalDecomposition can't extend a scalar, so the power gets a companion that stays zero
        power, zero = (np.array([[1.0], [0.0]]) @ pair, np.array([[0.0], [1.0]]) @ pair)
        agent.set_problem(self._constraint_coupled(power, zero == 0))
        algorithm = PrimalDecomposition(agent, np.zeros((1, 1)), enable_log=True)
        # steps are in kW per EUR/kWh here; the exact penalty has to exceed every marginal cost, which the span does
        step = rule.step / self.unit
        stepsize = (lambda k: step / (1.0 + k) ** rule.decay) if rule.decay else step
        result, seconds = timed(algorithm, iterations=rule.iterations, stepsize=stepsize, M=self.span)
        return {"last": result[0][:, 0, 0]}, seconds

    def _admm(self, agent: Agent, rule: Rule) -> tuple[dict[str, np.ndarray], float]:
        powers = Variable(self.count)
        unit_vector = np.zeros((self.count, 1))
        unit_vector[agent.id] = 1.0
        power = unit_vector @ powers
        balance = np.ones((self.count, 1)) @ powers == self.target_kw
        agent.set_problem(Problem(self.module.cost(power), [*self.module.limits(power), balance]))
        zeros = {k: np.zeros((self.count, 1)) for k in (*agent.in_neighbors, agent.id)}
        start = np.full((self.count, 1), self.target_kw / self.count)
        algorithm = ADMM(agent, zeros, start, enable_log=True)
        result, seconds = timed(algorithm, iterations=rule.iterations, penalty=rule.step * self.unit)
        return {"last": result[0][:, agent.id, 0]}, seconds

    def _gradient_tracking(self, agent: Agent, rule: Rule) -> tuple[dict[str, np.ndarray], float]:
        return self._on_price(GradientTracking, agent, rule)

    def _subgradient(self, agent: Agent, rule: Rule) -> tuple[dict[str, np.ndarray], float]:
        return self._on_price(SubgradientMethod, agent, rule)

    def _on_price(self, method: type, agent: Agent, rule: Rule) -> tuple[dict[str, np.ndarray], float]:
        agent.set_problem(Problem(DualCost(self.module, self.target_kw / self.count), force_general_problem=True))
        algorithm = method(agent, np.zeros((1, 1)), enable_log=True)
        prices, seconds = timed(algorithm, iterations=rule.iterations, stepsize=self._step(rule))
        return {"last": self._responses(prices)}, seconds

    def _responses(self, prices: np.ndarray) -> np.ndarray:
        return np.array([self.module.response_kw(price) for price in prices.ravel().tolist()])


def timed(algorithm: object, **arguments: object) -> tuple[object, float]:
    """Run an algorithm from a common start to a common end of all ranks; its result and the time between [s]."""
    MPI.COMM_WORLD.Barrier()
    start = time.perf_counter()
    result = algorithm.run(**arguments)
    MPI.COMM_WORLD.Barrier()
    return result, time.perf_counter() - start


def abort(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """End every rank if one fails; disropt would let the others wait for its messages forever."""
    traceback.print_exception(kind, error, trace)
    sys.stderr.flush()
    MPI.COMM_WORLD.Abort(1)


def main() -> None:
    sys.excepthook = abort
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, SIGKILL)  # mpirun may be killed; no rank outlives it
    warnings.simplefilter("ignore")  # of old calls inside disropt, and of inaccurate local solutions
    instance_file, out_file = map(Path, sys.argv[1:])
    instance = json.loads(instance_file.read_text(encoding="utf-8"))
    world = MPI.COMM_WORLD
    if world.Get_size() != len(instance["modules"]):
        raise ValueError(f"{world.Get_size()} ranks, allowed {len(instance['modules'])}, one per module")
    dispatch = Dispatch(instance, world.Get_rank())
    packages = ("disropt", "numpy", "mpi4py", "cvxpy")
    report = {"versions": {p: importlib.metadata.version(p) for p in packages}, "runs": []}
    for number, entry in enumerate(instance["runs"]):
        rule = Rule(**{field.name: entry[field.name] for field in fields(Rule)})
        own, seconds = dispatch.play(rule)
        everyone = world.gather({name: powers.tolist() for name, powers in own.items()})
        if everyone is None:
            continue
        report["runs"].append({
            "run": number,
            "exchanges_per_round": EXCHANGES_PER_ROUND[rule.algorithm],
            "ms_per_round": 1e3 * seconds / rule.iterations,
            "powers_kw": {name: list(zip(*(rank[name] for rank in everyone), strict=True)) for name in everyone[0]},
        })
        written = out_file.with_suffix(".part")  # after each run, whole or not at all: a later one may fail
        written.write_text(json.dumps(report), encoding="utf-8")
        written.replace(out_file)


if __name__ == "__main__":
    main()
