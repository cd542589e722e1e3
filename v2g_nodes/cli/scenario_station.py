"""The stations of the scenarios, made of the same modules and parameters as the live one."""

from __future__ import annotations

from collections.abc import Iterator

from v2g_nodes.bringup_inputs import Inputs, Overrides
from v2g_nodes.bringup_parameters import (
    cost_parameters,
    droop_settings,
    headroom_kw,
    module_parameters,
    price_span_eur_per_kwh,
    run_parameters,
)
from v2g_nodes.core.droop import fall_s
from v2g_nodes.core.droop_settings import build_law
from v2g_nodes.core.epoch_start import OfferRule
from v2g_nodes.core.limits import ModuleRating
from v2g_nodes.core.release import HOLD_OVER_SILENCE
from v2g_nodes.sim.ek3_module import build_plant
from v2g_nodes.sim.scenario_file import Scenario
from v2g_nodes.sim.scenario_graph import CLUSTER_MODULES, CLUSTERS, station_graph
from v2g_nodes.sim.scenario_module import ModuleParts
from v2g_nodes.sim.scenario_run import StationParts
from v2g_nodes.sim.time_axis import parse_clock
from v2g_nodes.station import Module, Station, default_station, module_type

SEEDS_APART = 1000  # between the seeds of two clusters of a station


def clusters(scenario: Scenario) -> list[Station]:
    """The station as default stations, one for each cluster: modules that differ as the scenario constants say.

    P_max 3.0 to 3.3 kW, efficiency 95 to 97 %, charge 20 to 80 %, ambient 25 to 40 deg C and wear 0.003 to 0.06
    EUR/h/kW^1.5, each drawn from as many strata as there are modules (station.py).
    """
    modules = CLUSTER_MODULES[scenario.station]
    return [default_station(modules, seed=(scenario.seed + SEEDS_APART * k) % 2**31)
            for k in range(CLUSTERS[scenario.station])]


def build_parts(scenario: Scenario, algorithm: str) -> StationParts:
    """The station, ready to be simulated.

    Args:
        scenario: names station, seed and times.
        algorithm: how the modules agree.
    """
    stations = clusters(scenario)
    ids, edges = station_graph(scenario.station)
    parts = [part for station in stations for part in _modules(station, scenario)]
    dispatch = stations[0].dispatch
    return StationParts(
        modules=dict(zip(ids, parts, strict=True)),
        edges=edges,
        price_span_eur_per_kwh=max(price_span_eur_per_kwh(station) for station in stations),
        algorithm=algorithm,
        island_rule=stations[0].island_rule,
        cold_every=dispatch.cold_every,
        resend_s=dispatch.resend_ms / 1000.0,
        silence_s=dispatch.silence_ms / 1000.0,
    )


def _modules(station: Station, scenario: Scenario) -> Iterator[ModuleParts]:
    # A module's share of the droop gain is its rating over 0.2 Hz, whatever the station around it.
    kinds = [module_type(station, module) for module in station.modules]
    rise_s = max(fall_s(kind.p_max_kw, kind.ramp_kw_per_s) for kind in kinds)
    for module, kind in zip(station.modules, kinds, strict=True):
        rating = ModuleRating(kind.p_max_kw, kind.ramp_kw_per_s, kind.soc_min, kind.soc_max, kind.efficiency)
        yield ModuleParts(
            offer=OfferRule(rating, cost_parameters(station, module), headroom_kw(station, module), scenario.epoch_s),
            plant=build_plant(_hardware(station, module, scenario)),
            law=build_law(droop_settings(station, [module])),
            signal_hold_s=max(station.timeouts.signal_hold_s, 2 * scenario.tick_s),
            optimizer_silent_s=station.timeouts.optimizer_silent_s,
            hold_s=HOLD_OVER_SILENCE * station.dispatch.silence_ms / 1000.0,
            rise_s=rise_s,
        )


def _hardware(station: Station, module: Module, scenario: Scenario) -> dict[str, object]:
    overrides, inputs = Overrides(), Inputs(parse_clock(scenario.start))
    return {**run_parameters(station, overrides, inputs), **module_parameters(station, module, overrides, inputs)}
