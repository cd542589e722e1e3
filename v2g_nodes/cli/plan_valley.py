"""`v2g plan valley`: overnight charging of a fleet, by prices that all vehicles answer."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from v2g_nodes.cli.folders import prepare_folder
from v2g_nodes.cli.output import Json, check_writable, emit
from v2g_nodes.cli.progress import telling
from v2g_nodes.cli.valley_inputs import FLEETS, Inputs, ValleyOptions, read_inputs
from v2g_nodes.core.checks import check_range
from v2g_nodes.core.errors import InputError
from v2g_nodes.core.graph import TOPOLOGIES
from v2g_nodes.planning.valley.block import Block
from v2g_nodes.planning.valley.bounds import Coupling, coupling, iterations_bound
from v2g_nodes.planning.valley.plan import ValleyPlan
from v2g_nodes.planning.valley.plan import plan_valley as make_plan
from v2g_nodes.planning.valley.price_iteration import Rule, scale_of
from v2g_nodes.planning.valley.workers import DaskWorkers, ThreadWorkers

SCHEDULES = (".parquet", ".csv")


def plan_valley(
    vehicles: Annotated[int | None, typer.Option(help="Vehicles of a made fleet. [default: 1000]")] = None,
    slots: Annotated[
        int | None, typer.Option(help="Slots of the day that is planned. [default: 24; 96 with --sessions]")
    ] = None,
    fleet: Annotated[
        str, typer.Option(help=f"Made fleet: {', '.join(FLEETS)}. source: equal vehicles in one window, noon to noon.")
    ] = "random",
    seed: Annotated[int, typer.Option(help="Names the random fleet.")] = 0,
    discharging: Annotated[float, typer.Option(help="Share of the random fleet that may discharge too, 0 to 1.")] = 0.0,
    sessions: Annotated[
        str | None, typer.Option(metavar="CSV", help="A vehicle per charging session: arrival, departure, energy_kwh.")
    ] = None,
    power_kw: Annotated[float, typer.Option(help="Charger of each session.")] = 6.6,
    battery_kwh: Annotated[float, typer.Option(help="Battery of each session.")] = 100.0,
    discharge_kw: Annotated[float, typer.Option(help="Discharging power of each session; 0 = only charges.")] = 0.0,
    benefit: Annotated[
        float | None,
        typer.Option(help="δ, worth of energy in EUR/kWh². [default: each its own; sessions are due their energy]"),
    ] = None,
    load: Annotated[
        str | None, typer.Option(metavar="CSV", help="Base demand: time, site_load_kw. [default: the source's shape]")
    ] = None,
    load_column: Annotated[
        str | None, typer.Option(metavar="NAME", help="Column of a profile in any unit, scaled to --load-kw.")
    ] = None,
    load_kw: Annotated[
        float | None, typer.Option(help="Mean of the base demand. [default: as in the file; profiles 14.4 a vehicle]")
    ] = None,
    prices: Annotated[
        str | None, typer.Option(metavar="CSV", help="Day-ahead price: the marginal cost of the first kilowatt.")
    ] = None,
    price: Annotated[float, typer.Option(help="The same without a file, in EUR/kWh.")] = 0.06,
    slope: Annotated[
        float | None,
        typer.Option(help="Rise of the marginal cost in EUR/kWh per kW. [default: 0.0029 / vehicles, the source's]"),
    ] = None,
    day: Annotated[
        str | None, typer.Option(metavar="YYYY-MM-DD", help="Day of the sessions. [default: the first]")
    ] = None,
    price_day: Annotated[
        str | None, typer.Option(metavar="YYYY-MM-DD", help="Day of prices and load from files that hold many.")
    ] = None,
    start: Annotated[
        str | None, typer.Option(metavar="HH:MM", help="Local time of the first slot. [default: 12:00; sessions 00:00]")
    ] = None,
    eta: Annotated[
        float | None, typer.Option(help="η, gain of the price. [default: the fastest that surely converges]")
    ] = None,
    tolerance: Annotated[float, typer.Option(help="Ends when a step changes the price by less, relative.")] = 1e-3,
    iterations_max: Annotated[int, typer.Option(help="Ends then, converged or not.")] = 1000,
    threads: Annotated[int | None, typer.Option(help="Threads. [default: one per core]")] = None,
    scheduler: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Dask scheduler, tcp://HOST:PORT, for more than one machine.")
    ] = None,
    consensus: Annotated[
        str | None,
        typer.Option(metavar="TOPOLOGY", help=f"Also without a coordinator, on a graph: {', '.join(TOPOLOGIES)}."),
    ] = None,
    loss: Annotated[float, typer.Option(help="Share of the frames lost on that graph, 0 to 0.9.")] = 0.0,
    floor: Annotated[
        bool, typer.Option("--floor", help="Also time x*y+z in single precision over (vehicles, slots), same threads.")
    ] = False,
    schedule: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write the power of every vehicle and slot: .parquet or .csv.")
    ] = None,
    report: Annotated[
        str | None, typer.Option(metavar="DIR", help="Write report.html with the source's figures, and their numbers.")
    ] = None,
    json: Json = None,
) -> None:
    """Fill the valley of a day: vehicles answer a price per slot, the price follows what all together want.

    Each vehicle weighs price, demand charge, wear and the worth of energy over its own window; the price moves to the
    marginal cost of all, until it stays. That is the optimum of all together: with fleets that a solver can hold it is
    compared with a quadratic program, and with any fleet with a lower bound from duality (gap_certified).

    Power above 0 charges here. Costs in EUR: generation, demand charge and wear, and the lost worth of energy;
    baseline_cost is charging on arrival, price_only_cost charging in the cheapest slots. Gaps are relative to what the
    fleet costs, without the base demand.
    """
    options = ValleyOptions(
        vehicles, slots, fleet, seed, discharging, sessions, power_kw, battery_kwh, discharge_kw, benefit, load,
        load_column, load_kw, prices, price, slope, day, price_day, start,
    )  # fmt: skip
    check_range("--tolerance", tolerance, 1e-12, 1.0)
    check_range("--iterations-max", iterations_max, 1, 1_000_000)
    check_range("--loss", loss, 0.0, 0.9)
    check_range("--threads", 1 if threads is None else threads, 1, 1024)
    if eta is not None:
        check_range("--eta", eta, 1e-6, 10.0)
    if consensus is not None and consensus not in TOPOLOGIES:
        raise InputError(f"--consensus {consensus}: allowed {', '.join(TOPOLOGIES)}")
    if schedule is not None and Path(schedule).suffix not in SCHEDULES:
        raise InputError(f"--schedule {schedule}: allowed is a name that ends in {' or '.join(SCHEDULES)}")
    check_writable(json)
    check_writable(schedule, "--schedule")
    began = time.perf_counter()
    with telling("fleet") as tell:
        inputs = read_inputs(options, lambda: tell("fleet"))
        coupled = coupling(inputs.blocks, inputs.cost.slots, inputs.cost.slope)
        rule = Rule(coupled.eta_best if eta is None else eta, tolerance, iterations_max)
        exchange = _consensus(inputs, rule, consensus, loss) if consensus is not None else {}
        folder = prepare_folder(report, "--report") if report is not None else None
        blocks = [Block(one, inputs.cost.slot_h) for one in inputs.blocks]
        with DaskWorkers(blocks, scheduler) if scheduler is not None else ThreadWorkers(blocks, threads) as workers:
            steps: list[float] = [time.perf_counter()]

            def each(step: int, change: float) -> None:
                steps.append(time.perf_counter())
                tell(f"prices: step {step}, change {change:.1e}")

            plan = make_plan(inputs.cost, workers, rule, each)
            if schedule is not None:
                from v2g_nodes.cli.valley_schedule import write_schedule

                tell("schedules")
                write_schedule(schedule, workers, inputs, plan)
            seconds = time.perf_counter() - began
            figures = _figures(inputs, plan, rule, coupled, seconds, (steps[-1] - steps[0]) / plan.course.iterations,
                               workers.name)  # fmt: skip
            if consensus is not None:
                exchange["consensus_difference"] = _difference(exchange.pop("consensus_prices"), plan)
            figures.update(exchange)
            if floor:
                tell("floor")
                figures.update(_floor(inputs, getattr(workers, "threads", None), figures))
        if folder is not None:
            from v2g_nodes.cli.valley_report import write_report  # matplotlib takes a second to import

            tell("report")
            write_report(folder, inputs, plan, figures)
    emit(figures, json, title="overnight charging")
    if not plan.course.converged:
        raise typer.Exit(1)


def _figures(
    inputs: Inputs, plan: ValleyPlan, rule: Rule, coupled: Coupling, seconds: float, per_iteration: float, where: str
) -> dict[str, Any]:
    course, planned = plan.course, plan.planned
    total, base = inputs.cost.base_kw + planned.demand_kw, inputs.cost.base_kw
    uncoordinated = base + plan.arrival.demand_kw
    peak_memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0
    gap, reasons = _central(inputs, plan), _reasons(inputs, plan)
    return {
        "vehicles": inputs.vehicles, "slots": inputs.cost.slots, "eta": rule.eta, "iterations": course.iterations,
        "price_change": float(course.changes[-1]), "gap_to_centralized": gap, "peak_kw": float(total.max()),
        "valley_kw": float(total.min()), "delivered_kwh": planned.delivered_kwh, "seconds": seconds,
        "seconds_per_iteration": per_iteration, "peak_memory_mb": peak_memory_mb,
        "baseline_cost": plan.cost_eur(plan.arrival), "cost": plan.cost_eur(planned), "scheduler": where,
        "converged": course.converged, "gap_certified": plan.gap_certified,
        "price_only_cost": plan.cost_eur(plan.cheapest), "base_peak_kw": float(base.max()),
        "base_valley_kw": float(base.min()), "baseline_peak_kw": float(uncoordinated.max()),
        "price_only_peak_kw": float((base + plan.cheapest.demand_kw).max()), "coupling": coupled.source,
        "eta_guaranteed_by_source": coupled.eta_source, "eta_max": coupled.eta_max, **_bounds(plan, rule, coupled),
        "short_vehicles": len(reasons), "reasons": reasons, "notes": list(inputs.notes),
    }  # fmt: skip


def _bounds(plan: ValleyPlan, rule: Rule, coupled: Coupling) -> dict[str, int | None]:
    """K(eps): steps after which the price is nearer to the optimum than the tolerance, 1-norm, relative."""
    prices = plan.course.prices
    first, distance = prices[1] - prices[0], rule.tolerance * scale_of(prices[0])
    in_1, in_2 = float(abs(first).sum()), float((first**2).sum() ** 0.5)
    return {
        "iterations_bound_source": iterations_bound(distance, in_1, coupled.rate_source(rule.eta)),
        "iterations_bound": iterations_bound(distance / len(first) ** 0.5, in_2, coupled.rate(rule.eta)),
    }


def _central(inputs: Inputs, plan: ValleyPlan) -> float | None:
    from v2g_nodes.planning.valley.central import VARIABLES_MAX, solve_centrally, variables
    from v2g_nodes.planning.valley.fleet import join

    if sum(map(variables, inputs.blocks)) > VARIABLES_MAX:
        return None
    return plan.gap_to(solve_centrally(inputs.cost, join(inputs.blocks)).cost_eur)


def _reasons(inputs: Inputs, plan: ValleyPlan) -> dict[str, str]:
    from v2g_nodes.planning.valley.plan import schedule_of
    from v2g_nodes.planning.valley.stays import reasons

    if inputs.stays is None:
        return {}
    power = schedule_of(Block(inputs.stays.fleet, inputs.cost.slot_h), plan.course.price)
    return reasons(inputs.stays, power.sum(axis=1, dtype=float) * inputs.cost.slot_h, inputs.cost.slot_h)


def _consensus(inputs: Inputs, rule: Rule, topology: str, loss: float) -> dict[str, Any]:
    """The same by vehicles that talk to their neighbours only, over a network that may lose frames."""
    from v2g_nodes.core.averaging.plans import averaging_plan
    from v2g_nodes.core.graph import build_edges
    from v2g_nodes.planning.valley.consensus import price_agents
    from v2g_nodes.planning.valley.fleet import join
    from v2g_nodes.sim.network import LossyNetwork, play_epoch

    fleet = join(inputs.blocks)
    ids = tuple(range(1, len(fleet) + 1))
    averaging = averaging_plan("exact", ids, build_edges(topology, ids))
    agents = price_agents(fleet, inputs.cost, rule, averaging, resend_ns=2)
    rounds = play_epoch(agents, LossyNetwork(averaging.neighbours, loss=loss), rounds_max=10_000_000)
    ended = [agent.agreement for agent in agents.values()]
    return {"consensus_topology": topology, "consensus_loss": loss, "consensus_rounds": rounds,
            "consensus_iterations": max(one.course.iterations for one in ended if one is not None),
            "consensus_prices": [one.course.price for one in ended if one is not None]}  # fmt: skip


def _difference(prices: list[Any], plan: ValleyPlan) -> float:
    """Largest difference of a vehicle's price from the coordinator's, relative to the largest price."""
    largest = max(float(abs(plan.course.price).max()), 1e-9)
    return max(float(abs(price - plan.course.price).max()) for price in prices) / largest


def _floor(inputs: Inputs, threads: int | None, figures: Mapping[str, Any]) -> dict[str, Any]:
    """Seconds of x*y+z over as many numbers as the schedules have, in the same blocks and threads; best of three."""
    from concurrent.futures import ThreadPoolExecutor

    import numpy as np

    random = np.random.default_rng(0)
    cells = [[random.random((len(fleet), inputs.cost.slots), dtype=np.float32) for _ in range(3)]
             for fleet in inputs.blocks]  # fmt: skip
    times = []
    with ThreadPoolExecutor(threads or len(os.sched_getaffinity(0))) as pool:
        for _ in range(3):
            began = time.perf_counter()
            list(pool.map(lambda part: (part[0] * part[1] + part[2]).shape, cells))
            times.append(time.perf_counter() - began)
    return {"floor_seconds": min(times), "iteration_over_floor": figures["seconds_per_iteration"] / min(times)}
