"""Plays a scenario: agreements by the real agents, and between them droop, gate and hardware of every module."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from operator import itemgetter

import numpy as np

from v2g_nodes.core.graph import Edges
from v2g_nodes.core.limits import EnergyRoom, energy_room
from v2g_nodes.core.target import target_kw
from v2g_nodes.core.types import EpochId
from v2g_nodes.sim.scenario_exchange import ExchangeSettings, StationEpoch, StationExchange
from v2g_nodes.sim.scenario_figures import ScenarioResult
from v2g_nodes.sim.scenario_file import Failure, Scenario
from v2g_nodes.sim.scenario_market import best_earning_eur
from v2g_nodes.sim.scenario_module import ModuleParts, ScenarioModule
from v2g_nodes.sim.scenario_signals import HOUR_S, frequency_hz, hourly_prices, scenario_plan
from v2g_nodes.sim.scenario_tally import Moment, Tally
from v2g_nodes.sim.time_axis import DAY_S, parse_clock

LOSSES = 4  # stream of random numbers of the network

Progress = Callable[[int], None]
News = Callable[[], None]


@dataclass(frozen=True)
class StationParts:
    """A station ready to be simulated; its modules are used up by one run.

    Args:
        modules: by id.
        edges: links.
        price_span_eur_per_kwh: cold price range is plus and minus this.
        algorithm: one of core/dispatch/methods.py METHODS.
        island_rule: majority | nameplate_share.
        cold_every: every so many epochs one begins cold.
        resend_s: a waiting module repeats its frame after it [s].
        silence_s: a silent neighbour counts as gone after it [s].
    """

    modules: Mapping[int, ModuleParts]
    edges: Edges
    price_span_eur_per_kwh: float
    algorithm: str
    island_rule: str
    cold_every: int
    resend_s: float
    silence_s: float

    @property
    def rating_kw(self) -> dict[int, float]:
        """Rating of each module [kW]."""
        return {k: parts.offer.rating.p_max_kw for k, parts in self.modules.items()}


class ScenarioRun:
    """One run of a scenario.

    Args:
        scenario: what is played.
        parts: the station.
    """

    def __init__(self, scenario: Scenario, parts: StationParts) -> None:
        self._scenario = scenario
        self._parts = parts
        self._modules = {k: ScenarioModule(part, scenario.tick_s) for k, part in parts.modules.items()}
        self._rating_kw = math.fsum(parts.rating_kw.values())
        self._ticks = round(scenario.epoch_s / scenario.tick_s)
        self._start_s = parse_clock(scenario.start)
        self._frequency = frequency_hz(
            scenario.frequency, scenario.epochs * self._ticks, scenario.tick_s, scenario.seed
        )
        self._prices = hourly_prices(scenario.price, scenario.seed)
        self._plan = scenario_plan(scenario, self._rating_kw)
        self._failures = sorted(scenario.faults.failures, key=lambda failure: failure.at_s)
        self._failed = 0
        self._hours = int(scenario.epochs * scenario.epoch_s / HOUR_S)
        self._tally = Tally(self._rating_kw, self._frequency.size, scenario.tick_s)
        self._in_force: tuple[float, float] = (0.0, 0.0)  # target and price agreed last [kW, EUR/kWh]
        self._exchange = StationExchange(ExchangeSettings(
            edges=parts.edges,
            rating_kw=parts.rating_kw,
            price_span_eur_per_kwh=parts.price_span_eur_per_kwh,
            algorithm=parts.algorithm,
            island_rule=parts.island_rule,
            cold_every=parts.cold_every,
            epoch_s=scenario.epoch_s,
            resend_rounds=max(1, round(parts.resend_s / scenario.round_s)),
            silence_rounds=max(1, round(parts.silence_s / scenario.round_s)),
            loss=scenario.faults.loss,
            seed=int(np.random.default_rng([scenario.seed, LOSSES]).integers(2**31)),
        ))  # fmt: skip

    @property
    def modules(self) -> Mapping[int, ScenarioModule]:
        """Modules by id, as they are now."""
        return self._modules

    def play(self, progress: Progress = lambda _: None) -> ScenarioResult:
        """Play it to its end.

        Args:
            progress: called after each epoch with the number of epochs played.
        """
        began_s = time.perf_counter()
        stored_kwh, room = self._stored_kwh(), self._room()
        for number in range(self._scenario.epochs):
            self._epoch(number)
            progress(number + 1)
        wall_s = time.perf_counter() - began_s
        figures = self._tally.figures() | self._counts()
        figures["stored_kwh"] = self._stored_kwh() - stored_kwh
        if self._scenario.target.rule == "price_threshold" and self._hours >= 24:  # less is no day of trading
            figures |= self._earnings(figures, room)
        figures["speed_over_real_time"] = self._scenario.epochs * self._scenario.epoch_s / wall_s
        return ScenarioResult(
            self._scenario, len(self._modules), self._rating_kw, self._parts.algorithm, figures, self._tally.series()
        )

    def _epoch(self, number: int) -> None:
        """An agreement and the ticks until the next one. It comes into force when its rounds are through."""
        scenario = self._scenario
        begin_s = number * scenario.epoch_s
        failures = self._due(begin_s)
        base_kw, capacity_kw = self._plan.at((self._start_s + begin_s) % DAY_S)
        epoch = EpochId(round(10 * begin_s), self._plan.version, 1)
        supplies = {k: module.freeze() for k, module in self._modules.items() if module.alive}
        falls = {failure.module: failure.round for failure in failures}
        agreed = self._exchange.agree(epoch, target_kw(base_kw, capacity_kw, 0.0), supplies, falls)
        for module in falls:
            self._modules[module].alive = False
        self._failed += len(falls)
        waiting = self._news(agreed, begin_s, falls)
        for k in range(number * self._ticks, (number + 1) * self._ticks):
            now_s = k * scenario.tick_s
            while waiting and waiting[0][0] <= now_s:
                waiting.pop(0)[1]()
            self._tick(k, now_s)
        for _, happens in waiting:  # within the last tick
            happens()
        wear_eur = sum(module.wear_eur_per_h() for module in self._modules.values()) * scenario.epoch_s / HOUR_S
        reagreed_s = (agreed.elapsed_rounds - min(falls.values())) * scenario.round_s if falls else math.nan
        self._tally.epoch(agreed, agreed.elapsed_rounds * scenario.round_s, reagreed_s, wear_eur)

    def _due(self, begin_s: float) -> list[Failure]:
        due = self._failures[self._failed :]
        return [failure for failure in due if failure.at_s <= begin_s]

    def _news(self, agreed: StationEpoch, begin_s: float, falls: Mapping[int, int]) -> list[tuple[float, News]]:
        """What the modules learn in an epoch, and when: that others are missed, and what was agreed."""
        round_s = self._scenario.round_s
        agreed_s = begin_s + agreed.elapsed_rounds * round_s
        missed = [(begin_s + fall * round_s + self._parts.silence_s, self._regroup) for fall in falls.values()]
        return [(moment_s, partial(happens, agreed, moment_s))
                for moment_s, happens in (*sorted(missed, key=itemgetter(0)), (agreed_s, self._put_in_force))]

    def _regroup(self, agreed: StationEpoch, now_s: float) -> None:
        for island in agreed.islands:
            for k in island.agreements:
                self._modules[k].group_changed(island.owned, now_s)

    def _put_in_force(self, agreed: StationEpoch, now_s: float) -> None:
        owner = next(iter(agreed.islands[0].agreements.values()))
        for k, agreement in agreed.agreements.items():
            self._modules[k].agree(agreement.power_kw, owner.target_kw, now_s)
        self._in_force = math.fsum(island.clipped_kw for island in agreed.islands), owner.lambda_eur_per_kwh

    def _tick(self, k: int, now_s: float) -> None:
        frequency = float(self._frequency[k])
        measured = ideal = base = soc = 0.0
        for module in self._modules.values():
            seen = module.tick(now_s, self._scenario.tick_s, frequency)
            measured += seen.power_kw
            soc += seen.soc
            ideal += module.law.contribution_kw(frequency)
            base += module.base_kw
        price = float(self._prices[int((self._start_s + now_s) % DAY_S // HOUR_S)])
        target, price_lambda = self._in_force
        self._tally.tick(Moment(
            now_s, frequency, target, ideal, base, measured, price, price_lambda, soc / len(self._modules)
        ))  # fmt: skip

    def _counts(self) -> dict[str, float]:
        """What the modules counted."""
        modules = self._modules.values()
        return {
            "constraint_violations": float(
                sum(module.seen.constraint_violations for module in modules) + self._tally.outside
            ),
            "gate_clips": float(sum(module.control.gate_clips for module in modules)),
            "forced_steps": float(sum(module.control.forced_steps for module in modules)),
            "failures": float(self._failed),
        }

    def _stored_kwh(self) -> float:
        """Energy in the batteries [kWh]."""
        return math.fsum(module.seen.soc * module.seen.vehicle.capacity_kwh for module in self._modules.values())

    def _room(self) -> EnergyRoom:
        """Energy that all batteries can give and take [kWh]."""
        rooms = [energy_room(m.offer.rating, m.seen.soc, m.seen.vehicle) for m in self._modules.values()]
        return EnergyRoom(math.fsum(r.discharge_kwh for r in rooms), math.fsum(r.charge_kwh for r in rooms))

    def _earnings(self, figures: Mapping[str, float], room: EnergyRoom) -> dict[str, float]:
        """What trading brought: sold less bought, energy left over or missing at the mean price of the day.

        Against nothing done at all, which earns nothing, and the best possible with the power that the plan may use.
        """
        first = int(self._start_s // HOUR_S)
        prices = [float(self._prices[(first + hour) % 24]) for hour in range(self._hours)]
        power_kw = self._scenario.target.base_fraction * self._rating_kw
        efficiency = max(module.offer.rating.efficiency for module in self._modules.values())
        earned = figures["stored_kwh"] * float(np.mean(prices)) - figures["cost_eur"]
        best = best_earning_eur(prices, power_kw, room, efficiency)
        return {
            "earned_eur": earned,
            "profit_eur": earned - figures["wear_eur"],
            "best_eur": best,
            "earned_of_best": earned / best if best > 0.0 else math.nan,
        }
