"""Node parameters from the station file: flat, as ROS parameters are, so that a node needs nothing else.

Scalars, or arrays of one type that are never empty (ROS can't tell the type of an empty one: the key is left
out). An unknown number is NaN, an unused text empty.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence

import numpy as np

from v2g_nodes.audit import audit_path
from v2g_nodes.bringup_inputs import Inputs, Overrides
from v2g_nodes.core.cost import CostParameters, LocalCost
from v2g_nodes.core.derating import EK3_DERATING
from v2g_nodes.core.droop import fall_s, module_gain_kw_per_hz
from v2g_nodes.core.droop_settings import DroopSettings, build_law
from v2g_nodes.core.errors import InputError
from v2g_nodes.core.graph import adjacency
from v2g_nodes.core.limits import droop_headroom_kw
from v2g_nodes.sim.sessions import Session
from v2g_nodes.sim.time_axis import parse_clock
from v2g_nodes.station import Module, Station, is_on_bus, module_type, station_edges

Parameter = bool | int | float | str | list[int] | list[float] | list[str]
Parameters = Mapping[str, Parameter]

DROOP_SPAN_HZ = 0.2  # Hz, deviation that takes the whole rating (K = sum of ratings / 0.2 Hz)
ISLAND_OVER_RATING = 20.0  # chosen: rating of the island over the station's where the file names none
SOURCE_ID_MAX = 255  # of a grid signal, one byte on the bus
SPAN_MARGIN = 1.05  # cold price range over the largest marginal cost
TEMPERATURES_C = tuple(range(-40, 131, 5))  # deg C, beyond 130 a module may no longer discharge


def cost_parameters(station: Station, module: Module) -> CostParameters:
    """The module's cost, as its optimizer and the reference use it."""
    kind = module_type(station, module)
    return CostParameters(
        p_max_kw=kind.p_max_kw, eta_max=kind.efficiency, alpha=kind.loss_alpha, beta=kind.loss_beta,
        loss_price_eur_per_kwh=kind.loss_price_eur_per_kwh, wear_gamma=kind.wear_gamma, wear_delta=kind.wear_delta,
        soc_kappa=kind.soc_kappa, thermal_psi=kind.thermal_psi,
        thermal_theta_k_per_kw2=kind.thermal_theta_k_per_kw2, thermal_threshold_c=kind.thermal_threshold_c)


def price_span_eur_per_kwh(station: Station) -> float:
    """Largest marginal cost any module can have, with margin: cold price range is +- this [EUR/kWh].

    Worst state of charge (full or empty) and, over all temperatures, the power that derating leaves.
    """
    worst = 0.0
    for module in station.modules:
        parameters = cost_parameters(station, module)
        for temperature_c in TEMPERATURES_C:
            left = max(EK3_DERATING.fractions(float(temperature_c), None))
            cost = LocalCost(parameters, 1.0, float(temperature_c))
            worst = max(worst, float(cost.marginal(np.array(parameters.p_max_kw * left))))
    return SPAN_MARGIN * worst


def rating_kw(station: Station) -> float:
    """Sum of the modules' ratings [kW]."""
    return sum(module_type(station, module).p_max_kw for module in station.modules)


def droop_gain_kw_per_hz(station: Station, module: Module) -> float:
    """The module's part of the station's droop gain, by rating [kW/Hz]."""
    total_kw = rating_kw(station)
    gain = station.droop.gain_kw_per_hz
    station_gain = total_kw / DROOP_SPAN_HZ if gain is None else gain
    return module_gain_kw_per_hz(station_gain, module_type(station, module).p_max_kw, total_kw)


def droop_settings(station: Station, modules: Sequence[Module]) -> DroopSettings:
    """Law of one module, or of several taken together."""
    droop, kinds = station.droop, [module_type(station, module) for module in modules]
    return DroopSettings(
        gain_kw_per_hz=sum(droop_gain_kw_per_hz(station, module) for module in modules),
        nominal_hz=float(station.nominal_hz), deadband_hz=droop.deadband_hz,
        ramp_kw_per_s=sum(kind.ramp_kw_per_s for kind in kinds), signal_hold_s=station.timeouts.signal_hold_s,
        law=droop.law, p_max_kw=sum(kind.p_max_kw for kind in kinds), category=droop.category, changes=droop.settings)


def law_parameters(station: Station) -> Parameters:
    """The law beside gain and deadband."""
    droop = station.droop
    return {"law": droop.law, "law_category": droop.category, "law_settings": json.dumps(dict(droop.settings))}


def headroom_kw(station: Station, module: Module) -> float:
    """Power that the optimizer keeps free on each side for droop [kW]."""
    reserve_hz = station.droop.reserve_hz
    if station.droop.law == "plain":
        return droop_headroom_kw(droop_gain_kw_per_hz(station, module), reserve_hz)
    law, nominal_hz = build_law(droop_settings(station, [module])), float(station.nominal_hz)
    return max(abs(law.contribution_kw(nominal_hz + side * reserve_hz)) for side in (-1.0, 1.0))


def run_audit_file(station: Station) -> str:
    """The station's audit log on this host; empty = none."""
    hardware = any(module.backend == "can" for module in station.modules) and not station.can.stand_ins
    path = audit_path(station.audit_file, station.name, hardware, os.environ)
    return "" if path is None else str(path)


def run_parameters(station: Station, overrides: Overrides, inputs: Inputs) -> Parameters:
    """What every node gets: the clock, and where what operators do is noted."""
    return {"audit_file": run_audit_file(station),
            "real_time": station.droop.real_time,
            "use_sim_time": overrides.use_sim_time or overrides.speed != 1.0, "speed": float(overrides.speed),
            "start_time_of_day_s": float(inputs.start_s), "nominal_hz": float(station.nominal_hz)}


def graph_parameters(station: Station) -> Parameters:
    """Who is in the station and who hears whom. `edges_flat` is a1, b1, a2, b2, ...; absent for one module."""
    modules = sorted(station.modules, key=lambda module: module.id)
    flat = [end for edge in station_edges(station) for end in edge]
    parameters: dict[str, Parameter] = {
        "module_ids": [module.id for module in modules],
        "ratings_kw": [module_type(station, module).p_max_kw for module in modules]}
    if flat:
        parameters["edges_flat"] = flat
    return parameters


def limit_parameters(station: Station, module: Module) -> Parameters:
    """What bounds a module, as its controller believes it (core/limits.py ModuleRating)."""
    kind = module_type(station, module)
    return {"module_id": module.id, "p_max_kw": kind.p_max_kw, "ramp_kw_per_s": kind.ramp_kw_per_s,
            "soc_min": kind.soc_min, "soc_max": kind.soc_max, "efficiency": kind.efficiency,
            "signal_hold_s": station.timeouts.signal_hold_s}


def can_parameters(station: Station, overrides: Overrides) -> Parameters:
    """The bus, under the names of canbus/settings.py CanSettings."""
    can = station.can
    return {"can_interface": can.interface, "can_channel": can.channel, "can_backup_channel": can.backup_channel or "",
            "can_port": can.port, "can_bitrate": can.bitrate, "can_data_bitrate": can.data_bitrate,
            "can_options": json.dumps(can.options), "can_key_file": can.key_file or "",
            "can_dry_run": overrides.dry_run}


def module_parameters(station: Station, module: Module, overrides: Overrides, inputs: Inputs) -> Parameters:
    """Hardware or its simulation, and the last gate."""
    kind, vehicle = module_type(station, module), module.vehicle
    from_file = vehicle if not inputs.sessions else None  # a sessions file says who is plugged in
    parameters: dict[str, Parameter] = {
        **limit_parameters(station, module),
        "backend": module.backend,
        "armed": not on_hardware(station, module),
        "rate_hz": station.droop.rate_hz,
        "droop_silent_s": station.timeouts.droop_silent_s,
        "max_kw": kind.p_max_kw if overrides.max_kw is None else min(float(overrides.max_kw), kind.p_max_kw),
        "state_file": f"{overrides.state_dir}/ek3_{module.id:02d}.json" if overrides.state_dir else "",
        "ambient_c": module.ambient_c,
        "temperature_c": module.ambient_c if module.temperature_c is None else module.temperature_c,
        "soc": module.soc,
        "command_timeout_s": kind.command_timeout_s,
        "actuator_lag_s": kind.actuator_lag_s,
        "thermal_resistance_k_per_w": kind.thermal_resistance_k_per_w,
        "thermal_devices": kind.thermal_devices,
        "thermal_tau_s": kind.thermal_tau_s,
        "vehicle_plugged": from_file is not None,
        "vehicle_session_id": (from_file.session_id or f"ek3_{module.id:02d}-1") if from_file else "",
        "vehicle_capacity_kwh": vehicle.capacity_kwh if vehicle else 60.0,
        "vehicle_departure_s": _departure(from_file.departure, inputs.start_s) if from_file else math.nan,
        "vehicle_energy_due_kwh": from_file.energy_due_kwh if from_file else 0.0,
    }
    if module.backend == "can":
        parameters.update({**can_parameters(station, overrides), "can_setpoint_hz": station.can.setpoint_hz})
    parameters.update(session_parameters(inputs.sessions.get(module.id, ())))
    return parameters


def session_parameters(sessions: Sequence[Session]) -> Parameters:
    """Charging sessions, as arrays side by side; nothing without any."""
    if not sessions:
        return {}
    return {"session_ids": [session.session_id for session in sessions],
            "session_arrival_s": [session.arrival_s for session in sessions],
            "session_departure_s": [session.departure_s for session in sessions],
            "session_energy_kwh": [session.energy_kwh for session in sessions]}


def _departure(clock: str | None, start_s: float) -> float:
    """Time of day [s] at which the clock shows it for the first time after the start; above 86400 the day after."""
    if clock is None:
        return math.nan
    seconds = parse_clock(clock)
    return seconds if seconds > start_s else seconds + 86400.0


def on_hardware(station: Station, module: Module) -> bool:
    """Whether a module is neither simulated nor played by a stand-in."""
    return module.backend == "can" and not station.can.stand_ins


def droop_parameters(station: Station, module: Module) -> Parameters:
    """Answer to frequency."""
    return {**limit_parameters(station, module), **law_parameters(station),
            "nominal_v": station.grid.nominal_v, "cpu": -1 if station.droop.cpu is None else station.droop.cpu,
            "gain_kw_per_hz": droop_gain_kw_per_hz(station, module),
            "deadband_hz": station.droop.deadband_hz,
            "rate_hz": station.droop.rate_hz,
            "in_service": not on_hardware(station, module),
            "optimizer_silent_s": station.timeouts.optimizer_silent_s}


def exchange_parameters(station: Station) -> Parameters:
    """What all optimizers have in common."""
    dispatch, limit = station.dispatch, station.plan.import_limit_kw
    return {**graph_parameters(station),
            "algorithm": station.algorithm,
            "privacy": station.privacy,
            "on_bus": is_on_bus(station),
            "island_rule": station.island_rule,
            "price_span_eur_per_kwh": price_span_eur_per_kwh(station),
            "import_limit_kw": math.nan if limit is None else limit,
            "cold_every": dispatch.cold_every,
            "resend_ms": dispatch.resend_ms,
            "heartbeat_ms": dispatch.heartbeat_ms,
            "silence_ms": dispatch.silence_ms,
            "setpoint_valid_s": dispatch.setpoint_valid_s,
            "optimizer_silent_s": station.timeouts.optimizer_silent_s,
            "fall_s": max(fall_s(kind.p_max_kw, kind.ramp_kw_per_s)
                          for kind in (module_type(station, module) for module in station.modules)),
            "epoch_period_s": dispatch.epoch_period_s}


def optimizer_parameters(station: Station, module: Module, exchange: Parameters) -> Parameters:
    """One optimizer. Cost parameters under the names of CostParameters.

    Args:
        station: the station.
        module: whose optimizer.
        exchange: exchange_parameters of the station, made once.
    """
    return {**limit_parameters(station, module), **vars(cost_parameters(station, module)), **exchange,
            "headroom_kw": headroom_kw(station, module)}


def recording_parameters(station: Station) -> Parameters:
    """Recordings and what stands in for missing ones; empty text = not given."""
    signal = station.signal
    return {"frequency_csv": signal.frequency_csv or "", "prices_csv": signal.prices_csv or "",
            "signal_csv": signal.signal_csv or "", "site_load_csv": signal.site_load_csv or "",
            "day": signal.day or "", "utc_offset_h": signal.utc_offset_h, "missing": signal.missing,
            "seed": station.seed}


def regulation_parameters(station: Station) -> Parameters:
    """Recordings, and what the regulation market pays."""
    market = station.market
    return {**recording_parameters(station), "market_csv": market.prices_csv or "", "market_day": market.day or "",
            "reference_mileage_per_h": market.reference_mileage_per_h}


def frequency_source(station: Station) -> str:
    """Where grid_signal takes the frequency from: csv, synthetic or topic."""
    if station.signal.source == "topic" or (station.grid.response == "swing" and is_simulated(station)):
        return "topic"  # the plant publishes what the island's frequency becomes
    return "csv" if station.signal.frequency_csv else "synthetic"


def is_simulated(station: Station) -> bool:
    """Whether any module is simulated, so that there is a plant."""
    return station.can.stand_ins or any(module.backend == "sim" for module in station.modules)


def grid_signal_parameters(station: Station, host: int = 0) -> Parameters:
    """Source of frequency, price, regulation signal.

    Args:
        station: the station.
        host: number of the host that has it; each has a source id of its own.

    Raises:
        InputError: there are not so many ids.
    """
    source_id = station.signal.source_id + host
    if source_id > SOURCE_ID_MAX:
        raise InputError(f"key signal.source_id: {station.signal.source_id}, allowed up to {SOURCE_ID_MAX - host}: "
                         "each host takes the next one")
    return {**recording_parameters(station), "source_id": source_id,
            "source": frequency_source(station), "period_s": station.signal.period_s,
            "epoch_period_s": station.dispatch.epoch_period_s, "nominal_v": station.grid.nominal_v,
            "site_load_kw": station.grid.site_load_kw}


def can_bridge_parameters(station: Station, modules: Sequence[Module], overrides: Overrides) -> Parameters:
    """Between the topics of these modules and the bus."""
    return {**can_parameters(station, overrides), "module_ids": [module.id for module in modules],
            "station_ids": sorted(module.id for module in station.modules)}


def station_monitor_parameters(station: Station, modules: Sequence[Module]) -> Parameters:
    """Passive view of the whole, or of these modules where others run elsewhere."""
    return {**regulation_parameters(station),
            "module_ids": [module.id for module in modules], "modules": len(station.modules),
            "joined": _are_joined(station, modules), "rating_kw": rating_kw(station),
            "algorithm": station.algorithm, "silence_ms": station.dispatch.silence_ms,
            "setpoint_valid_s": station.dispatch.setpoint_valid_s,
            **law_parameters(station), "law_p_max_kw": droop_settings(station, modules).p_max_kw,
            "epoch_period_s": station.dispatch.epoch_period_s, "deadband_hz": station.droop.deadband_hz,
            "droop_gain_kw_per_hz": sum(droop_gain_kw_per_hz(station, module) for module in modules)}


def _are_joined(station: Station, modules: Sequence[Module]) -> bool:
    """Whether these modules are one group without the others."""
    ids = {module.id for module in modules}
    if is_on_bus(station):
        return True
    near = adjacency(sorted(ids), [edge for edge in station_edges(station) if {*edge} <= ids])
    reached = coming = {min(ids)}
    while coming:
        coming = {neighbour for k in coming for neighbour in near[k]} - reached
        reached = reached | coming
    return reached == ids


def recorder_parameters(station: Station, modules: Sequence[Module], options: Overrides) -> Parameters:
    """The bag, and in it the station as it is run; a station file may be JSON."""
    return {"folder": options.record_dir, "station": station.model_dump_json(exclude_none=True),
            "module_ids": [module.id for module in modules]}


def plant_parameters(station: Station, modules: Sequence[Module]) -> Parameters:
    """Simulated grid, meter, grid-side inverter. It publishes the frequency only where the island answers."""
    grid, total_kw = station.grid, rating_kw(station)
    return {**recording_parameters(station), "module_ids": [module.id for module in modules],
            "response": grid.response,
            "publish_measurement": grid.response == "swing", "period_s": station.signal.period_s,
            "base_kva": ISLAND_OVER_RATING * total_kw if grid.base_kva is None else grid.base_kva,
            "inertia_h_s": grid.inertia_h_s, "damping_pu": grid.damping_pu, "secondary_s": grid.secondary_s,
            "nominal_v": grid.nominal_v, "site_load_kw": grid.site_load_kw, "rating_kw": total_kw,
            **law_parameters(station), "inverter_law": station.inverter.law,
            "inverter_category": station.inverter.category, "inverter_priority": station.inverter.priority,
            "inverter_settings": json.dumps(dict(station.inverter.settings))}

