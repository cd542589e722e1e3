"""The price without a coordinator: every vehicle has its own, and neighbours average theirs.

Each vehicle n answers its price and estimates the next one as if all did what it does,
p_n + eta * (c'(d + N u*_n(p_n)) - p_n). As c' is affine, the average of these estimates is the price that the central
rule would have set (EQUATIONS 001.2). The averaging is that of the station's dispatch: the same agent, frames and
plans, two slots at a time.
"""

from __future__ import annotations

import zlib
from collections.abc import Generator, Mapping
from dataclasses import dataclass

import numpy as np

from v2g_nodes.core.averaging.average import AveragingPlan
from v2g_nodes.core.dispatch.collective import LARGEST_VALUE, Collective, plausible_frame
from v2g_nodes.core.dispatch.lockstep import RoundsAgent, Words
from v2g_nodes.core.dispatch.price_grid import WarmStart
from v2g_nodes.core.errors import InputError
from v2g_nodes.core.types import FloatArray, Frame
from v2g_nodes.planning.valley.block import Block
from v2g_nodes.planning.valley.fleet import Fleet
from v2g_nodes.planning.valley.grid_cost import GridCost
from v2g_nodes.planning.valley.price_iteration import Course, Rule, scale_of
from v2g_nodes.planning.valley.ramps import Ramps

VEHICLES_MAX = 64  # what exact sums hold, see core/dispatch/collective.py


@dataclass(frozen=True)
class Agreed:
    """What a vehicle knows at the end.

    Args:
        course: of its own price; `demands_kw` is its own power alone.
        rounds: broadcasts it made.
    """

    course: Course
    rounds: int


class PriceAgent(RoundsAgent[Agreed]):
    """One vehicle's side of the exchange; frames as in dispatch, see core/dispatch/agent.py.

    Args:
        member: own id.
        vehicle: a fleet of this vehicle alone.
        count: vehicles that take part.
        cost: of the grid, known to all.
        rule: of the steps, the same at all.
        plan: how the group averages.
        resend_ns: pause before a waiting member repeats its frame [ns].
    """

    def __init__(
        self, member: int, vehicle: Fleet, count: int, cost: GridCost, rule: Rule, plan: AveragingPlan, resend_ns: int
    ) -> None:
        self._block, self._count, self._cost, self._rule = Block(vehicle, cost.slot_h), count, cost, rule
        links = plan.neighbours[member]
        self._collective = Collective(plan, member, links)
        super().__init__(member, links, zlib.crc32(f"valley {count} {cost.slots}".encode()), resend_ns)

    def _rounds(self, warm: WarmStart | None) -> Generator[tuple[Words, int], list[Words], Course]:
        """The recursion. All end in the same step: they compare the largest change of all, known one step later."""
        cost, rule = self._cost, self._rule
        prices: list[FloatArray] = [cost.marginal(np.zeros(cost.slots))]
        powers: list[FloatArray] = []
        scale, change, largest = scale_of(prices[0]), 0.0, np.inf
        while len(powers) < rule.iterations_max:
            price = prices[-1]
            self._block = self._block.answer(Ramps(price))
            power = self._block.demand_kw
            if power is None:
                raise RuntimeError("a block that has answered has a demand")
            estimate = price + rule.eta * (cost.marginal(self._count * power) - price)
            averaged = np.empty(cost.slots + cost.slots % 2)
            for slot in range(0, cost.slots, 2):
                pair = (float(estimate[slot]), float(estimate[min(slot + 1, cost.slots - 1)]))
                averaged[slot : slot + 2], heard = yield from self._collective.means(pair, change)
                largest = heard if powers else np.inf  # of the step before
            if largest <= rule.tolerance:
                break
            powers.append(power)
            prices.append(averaged[: cost.slots])
            change = float(np.abs(prices[-1] - price).sum()) / scale
        return Course(np.array(prices), np.array(powers), bool(largest <= rule.tolerance))

    def _concluded(self, result: Course) -> Agreed:
        return Agreed(result, self._exchange.round + 1)

    def _plausible(self, frame: Frame) -> bool:
        return plausible_frame(frame)


def price_agents(
    fleet: Fleet, cost: GridCost, rule: Rule, plan: AveragingPlan, resend_ns: int = 1
) -> Mapping[int, PriceAgent]:
    """An agent for every vehicle, ids from 1.

    Args:
        fleet: as many vehicles as the plan has members.
        cost: of the grid.
        rule: of the steps.
        plan: how they average.
        resend_ns: pause before a waiting member repeats its frame [ns].

    Raises:
        InputError: more vehicles than exact sums hold, or prices that they can't hold.
    """
    if len(fleet) > VEHICLES_MAX:
        raise InputError(f"consensus of {len(fleet)} vehicles, allowed up to {VEHICLES_MAX}")
    most = np.abs(cost.marginal(np.zeros(cost.slots))).max() + cost.slope * len(fleet) * float(
        np.maximum(fleet.power_kw, fleet.discharge_kw).max())
    if most >= LARGEST_VALUE:
        raise InputError(f"estimates of the price reach {most:g} EUR/kWh, allowed below {LARGEST_VALUE:g} EUR/kWh")
    return {k + 1: PriceAgent(k + 1, fleet.take(slice(k, k + 1)), len(fleet), cost, rule, plan, resend_ns)
            for k in range(len(fleet))}  # fmt: skip
