"""The certified method: a plan that the AC power flow confirms, and a bound that no plan is below.

1. Prices (prices.py): tangents of the grid's cost and vehicles' best answers. Ends here where no cap or limit binds.
2. Else mixtures of answers for the best prices; then the mixed-integer program with all modes fixed on which the
   answers of the mixture agree, a small one.
3. Else, while no limit of the grid binds, a program per station at the prices of tangents (station_response.py).
4. Else the mixed-integer program over all cuts (master.py), begun with that plan, until the gap is closed.
5. Where its plan passes an upper voltage limit, the relaxation is loose: it has lost energy where there is none to
   lose. The same steps again within cuts that all plans keep which the AC power flow keeps (voltage_rise.py), then the
   program within tangents of voltages. These give plans alone; the bound stays that of the program without them.

Each step only adds cuts that are valid for good, so the best bound and the best plan are kept from step to step.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from v2g_nodes.core.errors import InfeasibleError
from v2g_nodes.core.types import FloatArray
from v2g_nodes.planning.network.best_response import has_levels
from v2g_nodes.planning.network.cuts import Cuts, no_cuts
from v2g_nodes.planning.network.grid_cost import Evaluation, GridCost
from v2g_nodes.planning.network.instance import Instance
from v2g_nodes.planning.network.master import VehicleProgram
from v2g_nodes.planning.network.plan import ROUNDED, Plan, cleaned
from v2g_nodes.planning.network.prices import Prices
from v2g_nodes.planning.network.station_response import StationResponse
from v2g_nodes.planning.network.voltage_rise import rise_cuts, tangents

TANGENTS_MAX = 6
TANGENT_SHARE, TANGENTS_CLOSED = 1e-3, 3  # a few answers more, for a gap this much smaller, cost next to nothing
MIXTURES_MAX, STALE_MAX = 80, 5
FIXED_ROUNDS_MAX = 4
MIXTURE_SHARE = 0.3  # of the allowed gap that better prices may still be worth
TANGENT_ROUNDS_MAX = 15
LEAST_SHARE = 0.01  # of what a program may leave: a step that brings less is the last
SHARE = 0.3  # of the allowed gap that one mixed-integer program may leave
LEAST_EUR = 1.0  # an objective nearer to 0 is not divided by


@dataclass(frozen=True)
class Step:
    """Where the method stood: what it did, best bound and plan so far [EUR], seconds since it began."""

    what: str
    bound_eur: float
    objective_eur: float
    seconds: float


@dataclass
class Certified:
    """Best plan and bound so far.

    Args:
        instance: to plan.
        gap_asked: where the method ends, relative to the objective.
        tell: told of each step.
        plan: the best that holds, None as long as there is none.
        bound_eur: no plan costs less that the AC power flow keeps within the limits.
        prices_eur_per_kwh: of the best bound, None where it came from the mixed-integer program.
        loose_slots: in which a program for bounds stood at powers that the AC power flow can't keep within its limits:
            the cone relaxation is loose there.
        relaxed_bound_eur: nothing costs less that the cone relaxation alone allows; None where that is `bound_eur`.
        steps: what happened.
    """

    instance: Instance
    gap_asked: float
    tell: Callable[[Step], None] = lambda _: None
    plan: Plan | None = None
    bound_eur: float = -np.inf
    prices_eur_per_kwh: FloatArray | None = None
    loose_slots: tuple[int, ...] = ()
    relaxed_bound_eur: float | None = None
    steps: list[Step] = field(default_factory=list)
    began: float = field(default_factory=time.perf_counter)

    @property
    def objective_eur(self) -> float:
        """Of the best plan, infinite without one [EUR]."""
        return np.inf if self.plan is None else self.plan.objective_eur

    @property
    def gap(self) -> float:
        """(25): how far plan and bound are apart, relative to the objective; infinite without a plan."""
        if self.plan is None:
            return np.inf
        return gap_of(self.objective_eur, self.bound_eur)

    @property
    def closed(self) -> bool:
        """Whether the gap is as small as asked for."""
        return self.gap <= self.gap_asked

    @property
    def seconds(self) -> float:
        """Since the method began."""
        return time.perf_counter() - self.began

    def take(self, what: str, plan: Plan | None, bound_eur: float, prices: FloatArray | None = None) -> None:
        """Keep what is better than what is there."""
        if bound_eur > self.bound_eur:
            self.bound_eur, self.prices_eur_per_kwh = bound_eur, prices
        if plan is not None and plan.holds and plan.objective_eur < self.objective_eur:
            self.plan = plan
        self.steps.append(Step(what, self.bound_eur, self.objective_eur, self.seconds))
        self.tell(self.steps[-1])


def gap_of(objective_eur: float, bound_eur: float) -> float:
    """Relative difference, at least 0."""
    return max(objective_eur - bound_eur, 0.0) / max(abs(objective_eur), LEAST_EUR)


def solve_certified(
    instance: Instance, gap: float = 1e-6, seconds_max: float = 600.0, tell: Callable[[Step], None] = lambda _: None
) -> Certified:
    """Plan a day.

    Args:
        instance: checked.
        gap: asked for, relative to the objective.
        seconds_max: ends then with what it has.
        tell: told of each step.

    Raises:
        InfeasibleError: no plan keeps all limits; it is proved, or none was found in time.
    """
    found, grid = Certified(instance, gap, tell), GridCost(instance)
    program = VehicleProgram(instance, seconds_max=seconds_max)
    _steps(found, grid, program, seconds_max, None)
    if found.loose_slots and not found.closed:
        _above(found, grid, program, seconds_max)
    if found.plan is None:
        raise InfeasibleError(f"{instance.name}: no plan within {seconds_max:g} s keeps all limits")
    return found


def _steps(found: Certified, grid: GridCost, program: VehicleProgram, seconds_max: float, rise: Cuts | None) -> None:
    """Steps 1 to 4; without knowing `rise_cuts`, they end where prices show that these are needed."""
    day = found.instance
    limits = no_cuts(len(day.stations)) if rise is None else rise
    if has_levels(day.vehicles, day.slot_h) and len(day.vehicles):
        _by_prices(found, grid, program, limits)
    else:
        program.add(no_cuts(len(day.stations)), limits)
        _add(program, grid.evaluate(np.zeros((len(day.stations), day.slots))))
    if rise is None and found.loose_slots:
        return
    if not found.closed and found.plan is not None:
        _by_stations(found, grid, program, seconds_max)
    if not found.closed:
        _by_program(found, grid, program, seconds_max)


def _above(found: Certified, grid: GridCost, program: VehicleProgram, seconds_max: float) -> None:
    """Step 5."""
    found.relaxed_bound_eur, loose = found.bound_eur, found.loose_slots
    rise = rise_cuts(found.instance)
    _steps(found, grid, program, seconds_max, rise)
    if found.loose_slots and not found.closed:
        _within_tangents(found, grid, program, seconds_max)
    found.loose_slots = tuple(sorted({*loose, *found.loose_slots}))


def _add(program: VehicleProgram, evaluation: Evaluation) -> None:
    program.add(evaluation.cost_cuts, evaluation.limit_cuts)


def _by_prices(found: Certified, grid: GridCost, program: VehicleProgram, rise: Cuts) -> None:
    """Steps 1 and 2; what the program needs of their cuts is added to it."""
    day = found.instance
    prices = Prices(day, grid, rise)
    at = prices.evaluate(np.zeros((len(day.stations), day.slots)))
    for count in range(TANGENTS_MAX):
        offer = prices.tangent(at)
        at = prices.evaluate(day.station_kw(offer.power_kw))
        plan, before = Plan(day, offer.power_kw, at), found.gap
        found.take("prices", plan, offer.bound_eur, offer.price_eur_per_kwh)
        better = plan.holds and found.gap < before
        if found.gap <= TANGENT_SHARE * found.gap_asked or (found.closed and not (better and count < TANGENTS_CLOSED)):
            return
        if not better:
            break
    modes, at = _by_mixtures(found, prices)
    program.add(at.cost_cuts, prices.limit_cuts)
    if found.plan is not None:
        _add(program, found.plan.evaluation)
    if modes is not None and not found.closed and not found.loose_slots:
        _by_fixed_modes(found, grid, program, modes)


def _by_mixtures(found: Certified, prices: Prices) -> tuple[FloatArray | None, Evaluation]:
    """Better prices until mixture and bound meet; the modes the last mixture agrees on, and the grid under it."""
    day = found.instance
    cap_kw = day.stations.cap_kw[:, None] + ROUNDED
    stale = 0
    for _ in range(MIXTURES_MAX):
        before = found.bound_eur
        offer, station_kw, modes = prices.combine()
        at = prices.evaluate(station_kw)
        answered, plan = day.station_kw(offer.power_kw), None
        if (answered <= cap_kw).all():
            plan = Plan(day, offer.power_kw, prices.evaluate(answered))
        found.take("mixture", plan, offer.bound_eur, offer.price_eur_per_kwh)
        value = float(at.cost_eur.sum()) + day.vehicle_cost_eur(station_kw)
        carried = at.within | ~np.isin(np.arange(day.slots), at.limit_cuts.slot)  # no cut says more
        mixed = bool(carried.all() and (station_kw <= cap_kw).all())
        stale = 0 if found.bound_eur > before + LEAST_SHARE * _left(found) else stale + 1
        if stale >= STALE_MAX and prices.grid.too_high(at):
            break  # no price keeps what is too high
        if found.closed or (mixed and gap_of(value, found.bound_eur) <= MIXTURE_SHARE * found.gap_asked):
            break
    found.loose_slots = tuple(prices.grid.too_high(at))
    return modes, at


def _by_fixed_modes(found: Certified, grid: GridCost, program: VehicleProgram, modes: FloatArray) -> None:
    fixed = np.where(np.isnan(modes), np.nan, np.array([modes == 1.0, modes == -1.0]))[:, program.vehicle, program.slot]
    for _ in range(FIXED_ROUNDS_MAX):
        solved = program.solve(fixed=fixed, gap_eur=_left(found))
        if not solved.found:
            return
        plan = _plan(grid, solved.power_kw)
        _add(program, plan.evaluation)
        before = found.objective_eur
        found.take("fixed modes", plan, -np.inf)
        if found.closed or (plan.holds and gap_of(plan.objective_eur, solved.objective) <= found.gap_asked):
            return
        if not plan.objective_eur < before and plan.holds:
            return


def _by_stations(found: Certified, grid: GridCost, program: VehicleProgram, seconds_max: float) -> None:
    """Step 3: tangents as in step 1, answered by whole stations; of no use where limits of the grid bind."""
    day, at = found.instance, None if found.plan is None else found.plan.evaluation
    responses = [StationResponse(day, station) for station in range(len(day.stations))]
    for _ in range(TANGENTS_MAX):
        if at is None or found.plan is None or len(at.cost_cuts) < day.slots or program.limited:
            return
        price = at.price_eur_per_kwh + day.price_eur_per_kwh
        power, bound = np.zeros(found.plan.power_kw.shape), float(at.cost_cuts.constant.sum())
        for station, response in enumerate(responses):
            left = max(seconds_max - found.seconds, 1.0)
            start = found.plan.power_kw[response.mine]
            low, own = response.answer(price[station], _left(found) / len(responses), left, start)
            bound += low
            power[response.mine] = start if own is None else own
        before, plan = found.gap, _plan(grid, power)
        at = plan.evaluation
        _add(program, at)
        found.take("stations", plan, bound)
        if found.closed or not found.gap < before:
            return


def _by_program(found: Certified, grid: GridCost, program: VehicleProgram, seconds_max: float) -> None:
    """Step 4."""
    last: FloatArray = np.zeros(0)
    while found.seconds < seconds_max:
        program.seconds_max = max(seconds_max - found.seconds, 1.0)
        start = None if found.plan is None else found.plan.power_kw
        solved = program.solve(gap_eur=_left(found), start_kw=start)
        if solved.infeasible:
            raise InfeasibleError(f"{found.instance.name}: no plan keeps all limits")
        if not solved.found:
            return
        plan, bound, objective = _plan(grid, solved.power_kw), found.bound_eur, found.objective_eur
        _add(program, plan.evaluation)
        found.loose_slots = tuple(map(int, np.flatnonzero(~plan.evaluation.within)))
        found.take("program", plan, solved.bound)
        if found.closed:
            return
        moved = LEAST_SHARE * _left(found)
        better = found.bound_eur > bound + moved or found.objective_eur < objective - moved
        if not better and (plan.holds or np.array_equal(plan.power_kw, last) or not len(plan.evaluation.limit_cuts)):
            return  # only tolerances are left, or a relaxation that is loose
        last = plan.power_kw


def _within_tangents(found: Certified, grid: GridCost, program: VehicleProgram, seconds_max: float) -> None:
    """Each tangent is taken again where the last plan stands, so that plan stays and the next costs less."""
    day = found.instance
    at = grid.evaluate(np.zeros((len(day.stations), day.slots)))
    if found.plan is not None:
        at = found.plan.evaluation
    held: dict[int, set[int]] = {}
    for _ in range(TANGENT_ROUNDS_MAX):
        program.seconds_max = max(seconds_max - found.seconds, 1.0)
        start = None if found.plan is None else found.plan.power_kw
        kept = tangents(day, at.flow, at.station_kw, held)
        solved = program.solve(gap_eur=_left(found), start_kw=start, plans_only=kept)
        if not solved.found or found.seconds > seconds_max:
            return
        plan, objective = _plan(grid, solved.power_kw), found.objective_eur
        _add(program, plan.evaluation)
        found.take("tangents", plan, -np.inf)
        moved = MIXTURE_SHARE * _left(found)
        if found.closed or (plan.holds and not found.objective_eur < objective - moved):
            break
        at = plan.evaluation
        for slot, bus in grid.too_high(at).items():
            held.setdefault(slot, set()).add(bus)


def _plan(grid: GridCost, power_kw: FloatArray) -> Plan:
    power = cleaned(grid.instance, power_kw)
    return Plan(grid.instance, power, grid.evaluate(grid.instance.station_kw(power)))


def _left(found: Certified) -> float:
    """Gap that a program may leave [EUR]."""
    size = found.objective_eur if found.plan is not None else found.bound_eur
    return SHARE * found.gap_asked * max(abs(size) if np.isfinite(size) else 0.0, LEAST_EUR)
