"""Stations that agree on slot prices with their neighbours alone, and so plan as one planner would.

Every station knows the grid, its loads and where the stations are, but only its own vehicles. It answers the prices at
its bus with its vehicles, within its own cap, and estimates the prices at all stations as if all deviated as it does:

    estimate_j = lambda(0) + N H_j s_j,

H_j the sensitivities of locational prices to station j's power (loads without stations). The average of the estimates
is lambda(0) + H s, the prices of all together (DERIVED as in planning/valley/consensus.py); nothing but these prices is
exchanged, two numbers at a time, by the averaging layer of the station's dispatch. Prices move there by full steps,
later by smaller ones, 1/(k - FULL) after FULL of them, so that vehicles between two equal ways don't flip for ever.

Limits of the grid that bind have prices that no single station knows: such a plan is refused.
"""

from __future__ import annotations

import zlib
from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from v2g_nodes.core.averaging.average import AveragingPlan
from v2g_nodes.core.dispatch.collective import LARGEST_VALUE, Collective, plausible_frame
from v2g_nodes.core.dispatch.lockstep import RoundsAgent, Words
from v2g_nodes.core.dispatch.price_grid import WarmStart
from v2g_nodes.core.errors import InfeasibleError, InputError
from v2g_nodes.core.types import FloatArray, Frame
from v2g_nodes.planning.network.grid_cost import GridCost
from v2g_nodes.planning.network.instance import Instance
from v2g_nodes.planning.network.plan import Plan, cleaned, make_plan
from v2g_nodes.planning.network.station_response import StationResponse

ITERATIONS_MAX = 30
FULL = 3  # steps of full length
TOLERANCE = 1e-7  # of a price, relative to the largest: nobody's answer changes by less
STEP_KW = 10.0  # of the difference that sensitivities are taken over
SECONDS_MAX = 60.0  # of a station's program
STATIONS_MAX = 64  # what exact sums hold, see core/dispatch/collective.py
UNITS = 1e3  # prices are averaged per MWh, so that the exact sums resolve them better


@dataclass(frozen=True)
class Local:
    """What a station ends with.

    Args:
        power_kw: of its own vehicles, shape (own vehicles, slots).
        prices_eur_per_kwh: at all stations, locational part, shape (stations, slots).
        iterations: answers it gave.
        rounds: broadcasts it made.
    """

    power_kw: FloatArray
    prices_eur_per_kwh: FloatArray
    iterations: int
    rounds: int


class StationAgent(RoundsAgent[Local]):
    """One station's side; frames as in dispatch, see core/dispatch/agent.py.

    Args:
        station: its position in the instance.
        instance: grid, loads, prices and buses of all stations; only own vehicles are read.
        plan: how the group averages; members are positions + 1.
        resend_ns: pause before a waiting member repeats its frame [ns].
    """

    def __init__(self, station: int, instance: Instance, plan: AveragingPlan, resend_ns: int) -> None:
        member, links = station + 1, plan.neighbours[station + 1]
        self._station, self._instance = station, instance
        self.response = StationResponse(instance, station)
        self._collective = Collective(plan, member, links)
        super().__init__(member, links, zlib.crc32(f"network {len(links)} {instance.slots}".encode()), resend_ns)

    def _rounds(self, warm: WarmStart | None) -> Generator[tuple[Words, int], list[Words], Local]:
        """The recursion. All end in the same step: they compare the largest change of all, known one step later."""
        count = len(self._instance.stations)
        base, slopes = sensitivities(self._instance, self._station)
        prices, change, iteration = base, 0.0, 0
        scale = max(float(np.abs(base).max()), 1e-9)
        while True:
            iteration += 1
            power = self._answer(prices[self._station])
            estimate = base + count * slopes * self.response.own.station_kw(power)
            averaged, largest = yield from self._averaged(estimate, change)
            if iteration > 1 and (largest <= TOLERANCE or iteration == ITERATIONS_MAX):
                return Local(power, prices, iteration, 0)
            step = 1.0 if iteration <= FULL else 1.0 / (iteration - FULL + 1)
            updated = prices + step * (averaged - prices)
            change = float(np.abs(updated - prices).max()) / scale
            prices = updated

    def _answer(self, locational: FloatArray) -> FloatArray:
        """Own vehicles at prices, shape (slots,) [EUR/kWh]: by themselves, or together under the own cap."""
        price = locational + self._instance.price_eur_per_kwh
        _, power = self.response.answer(price, 0.0, SECONDS_MAX)
        if power is None:
            bus = self._instance.grid.buses[self.response.own.stations.bus[0]]
            raise InfeasibleError(f"station at bus {bus}: its cap leaves no plan for its vehicles")
        return cleaned(self.response.own, power)

    def _averaged(
        self, values: FloatArray, change: float
    ) -> Generator[tuple[Words, int], list[Words], tuple[FloatArray, float]]:
        flat = UNITS * values.ravel()
        padded = np.append(flat, np.zeros(len(flat) % 2))
        result, largest = np.empty(len(padded)), 0.0
        for k in range(0, len(padded), 2):
            pair = (float(padded[k]), float(padded[k + 1]))
            result[k : k + 2], largest = yield from self._collective.means(pair, change)
        return result[: len(flat)].reshape(values.shape) / UNITS, largest

    def _concluded(self, result: Local) -> Local:
        return replace(result, rounds=self._exchange.round + 1)

    def _plausible(self, frame: Frame) -> bool:
        return plausible_frame(frame)


def sensitivities(instance: Instance, station: int) -> tuple[FloatArray, FloatArray]:
    """Locational prices at all stations without any power of theirs, and their slopes in one station's power.

    Returns:
        Prices [EUR/kWh] and slopes [EUR/kWh per kW], shape (stations, slots) each.

    Raises:
        InfeasibleError: the grid can't carry its load without stations.
    """
    grid, nothing = GridCost(instance), np.zeros((len(instance.stations), instance.slots))
    at = grid.evaluate(nothing)
    if not at.within.all():
        raise InfeasibleError(f"{instance.name}: the grid's limits bind without vehicles, allowed is a central plan")
    moved = nothing.copy()
    moved[station] = STEP_KW
    found = [grid.evaluate(sign * moved).price_eur_per_kwh for sign in (1.0, -1.0)]
    return at.price_eur_per_kwh, (found[0] - found[1]) / (2.0 * STEP_KW)


def station_agents(instance: Instance, plan: AveragingPlan, resend_ns: int = 1) -> Mapping[int, StationAgent]:
    """An agent for every station, ids from 1.

    Args:
        instance: checked; every vehicle can reach its goal.
        plan: how they average; as many members as stations.
        resend_ns: pause before a waiting member repeats its frame [ns].

    Raises:
        InputError: more stations than exact sums hold, or prices that they can't hold.
    """
    count = len(instance.stations)
    if count > STATIONS_MAX:
        raise InputError(f"{count} stations exchange prices, allowed up to {STATIONS_MAX}")
    generators = instance.grid.generators
    most = 3.0 * float(
        np.abs(generators.c1 + 2.0 * generators.c2 * generators.p_max_mw).max()
    )  # losses treble no price
    if most >= LARGEST_VALUE:
        raise InputError(f"prices reach {most:g} EUR/MWh, allowed below {LARGEST_VALUE:g} EUR/MWh")
    return {k + 1: StationAgent(k, instance, plan, resend_ns) for k in range(count)}


def joint_plan(instance: Instance, agents: Mapping[int, StationAgent]) -> Plan:
    """The plan that the stations' answers make together.

    Raises:
        InfeasibleError: it passes a limit of the grid.
    """
    power = np.zeros((len(instance.vehicles), instance.slots))
    for agent in agents.values():
        if agent.agreement is not None:
            power[agent.response.mine] = agent.agreement.power_kw
    plan = make_plan(GridCost(instance), power)
    if not plan.holds:
        raise InfeasibleError(f"{instance.name}: limits of the grid bind, allowed is a central plan")
    return plan
