"""The station file as types: every key with default, bounds, unit and text. Unknown keys are refused.

Version 1. Simulation is one key (`backend: sim`); control code knows no difference.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from v2g_nodes.core.types import MODULES_MAX
from v2g_nodes.station_key import key as _key

Topology = Literal["ring", "line", "star", "bus", "mesh"]
Algorithm = Literal["supply_curve", "newton", "admm", "primal_dual", "price_tracking"]
Privacy = Literal["none", "masks"]
Backend = Literal["sim", "can"]
IslandRule = Literal["majority", "nameplate_share"]
DroopLaw = Literal["plain", "ieee1547", "en50549"]
InverterLaw = Literal["station", "ieee1547", "en50549"]
Response = Literal["recorded", "swing"]
PlanRule = Literal["price_threshold", "csv", "none", "market", "valley", "allocation"]

CLOCK = r"^([01]?\d|2[0-3]):[0-5]\d(:[0-5]\d)?$"
DAY = r"^\d{4}-\d{2}-\d{2}$"


class Section(BaseModel):
    """What all sections share: frozen, no unknown key, no conversion of text to numbers, no NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class DroopSection(Section):
    """Answer of every module to grid frequency."""

    gain_kw_per_hz: float | None = _key(
        None, "gain of the whole station; null = sum of ratings over 0.2 Hz", "kW/Hz", 0.0, 1e5)
    deadband_hz: float = _key(0.010, "deviation without an answer", "Hz", 0.0, 0.5)
    reserve_hz: float = _key(0.05, "deviation for which the optimizer leaves room on each side", "Hz", 0.0, 1.0)
    rate_hz: float = _key(200.0, "droop ticks per second", "Hz", 1.0, 1000.0)
    real_time: Literal["auto", "on", "off"] = _key(
        "auto", "real-time class (SCHED_FIFO) of the control processes: auto = where permitted; on = warn where it is "
        "not; off = normal priority")
    cpu: int | None = _key(None, "core to which the droop processes of a host are pinned; null = any", "", 0, 1023)
    law: DroopLaw = _key(
        "plain", "plain = gain and deadband above; ieee1547 (IEEE 1547-2018), en50549 (EN 50549-1) = grid codes")
    category: Literal["I", "II", "III"] = _key("III", "abnormal operating performance category of law ieee1547")
    settings: dict[str, float | int] = _key(
        {}, "settings of the grid code that differ from its defaults, see docs/grid_codes.md",
        allowed="names and numbers such as {deadband_over_hz: 0.017}")


class DispatchSection(Section):
    """Exchange between the optimizers."""

    cold_every: int = _key(8, "every n-th epoch uses the whole price range; 0 = only the first", "", 0, 1_000_000)
    resend_ms: float = _key(25.0, "time after which a round is sent again", "ms", 1.0, 1000.0)
    heartbeat_ms: float = _key(50.0, "period of neighbor_state without a new epoch", "ms", 10.0, 10_000.0)
    silence_ms: float = _key(500.0, "silence after which a neighbour counts as gone", "ms", 50.0, 60_000.0)
    setpoint_valid_s: float = _key(6.0, "how long an agreed set-point counts without a newer one", "s", 0.5, 600.0)
    epoch_period_s: float = _key(2.0, "period of new agreements", "s", 0.05, 60.0)


class TimeoutSection(Section):
    """What a module does on its own when others fall silent."""

    signal_hold_s: float = _key(5.0, "how long a silent grid signal is held, then power ramps to 0", "s", 0.1, 3600.0)
    optimizer_silent_s: float = _key(
        1.0, "silence of the optimizer after which droop gives the base power up", "s", 0.3, 60.0)
    droop_silent_s: float = _key(0.5, "silence of droop after which the module ramps to safe", "s", 0.05, 60.0)


class PlanSection(Section):
    """What the station offers to the market."""

    rule: PlanRule = _key(
        "price_threshold", "how the plan is made; market = bids and rebates of a day for frequency regulation; valley, "
        "allocation = by the planners for fleets, for the vehicles of the station, again and again")
    capacity_fraction: float = _key(0.6, "share of the rating offered for regulation", "", 0.0, 1.0)
    base_fraction: float = _key(0.1, "share of the rating, out in dear slots, in in cheap ones", "", 0.0, 1.0)
    csv: str | None = _key(None, "plan file for rule csv, relative to the station file")
    slot_s: float = _key(900.0, "valley, allocation: slot of the plan, and how often it is made anew", "s",
                         300.0, 3600.0)
    price_slope: float | None = _key(
        None, "valley: rise of the price with the power drawn; null = the source's for a fleet of so many modules",
        "EUR/kWh per kW", 0.0, 1.0)
    commitment: float = _key(0.05, "allocation: 1 = as each vehicle's owner would alone", "", 1e-3, 1.0)
    smoothing: float = _key(1.0, "allocation: 1 = smooth from slot to slot, 0 = flat over the day", "", 0.0, 1.0)
    import_limit_kw: float | None = _key(None, "power drawn from the grid that peak shaving keeps to", "kW", 0.0, 1e5)


class MarketSection(Section):
    """The market for frequency regulation: what it pays, and what a bid of rule market risks."""

    prices_csv: str | None = _key(
        None, "recording of regulation prices, columns capability_eur_per_mwh and performance_eur_per_mwh or PJM's "
        "rmccp and rmpcp, taken as they stand, relative to the station file; null = a made day")
    day: str | None = _key(None, "day to take from it; null = the first full one", "YYYY-MM-DD", pattern=DAY)
    eta: float = _key(
        0.25, "rule market: share of the signal's mileage that a bid may miss, and how often it may", "",
        1e-6, 0.999999)
    reference_mileage_per_h: float = _key(
        6.0, "mileage of the slow signal, over which the performance price pays; 6.0 is the mean of PJM's RegA in "
        "April 2023", "1/h", 0.1, 1e3)


class SignalSection(Section):
    """Where grid signal and recordings come from."""

    source_id: int = _key(1, "number of this source; the lowest wins between equally fresh ones", "", 1, 255)
    source: Literal["auto", "topic"] = _key(
        "auto", "auto = recording or synthetic frequency; topic = ROS topic /grid/measurement")
    missing: Literal["synthetic", "none"] = _key(
        "synthetic", "what stands in for a recording of price or regulation signal that is not given")
    period_s: float = _key(1.0, "period of the grid signal", "s", 0.02, 10.0)
    start: str | None = _key(
        None, "local time of day at which a run starts; null = first common instant of the recordings",
        "HH:MM", pattern=CLOCK)
    frequency_csv: str | None = _key(None, "recording of frequency (and voltage), relative to the station file")
    prices_csv: str | None = _key(None, "recording of prices, relative to the station file")
    signal_csv: str | None = _key(None, "recording of the regulation signal, relative to the station file")
    site_load_csv: str | None = _key(
        None, "recording of the load behind the same connection, instead of grid.site_load_kw, relative to the station "
        "file")
    sessions_csv: str | None = _key(None, "charging sessions, relative to the station file")
    day: str | None = _key(
        None, "day to take from recordings of many days; null = the first full one", "YYYY-MM-DD", pattern=DAY)
    sessions_day: str | None = _key(
        None, "day to take from the sessions, which may be another than that of the recordings; null = the same",
        "YYYY-MM-DD", pattern=DAY)
    utc_offset_h: float = _key(0.0, "local time minus UTC for recordings with UTC times only", "h", -12.0, 14.0)


class GridSection(Section):
    """The simulated grid around the station."""

    response: Response = _key(
        "recorded", "recorded = the station does not move the frequency; swing = small island, it does")
    base_kva: float | None = _key(
        None, "rating of the island; null = 20 times the sum of ratings", "kVA", 1.0, 1e7)
    inertia_h_s: float = _key(4.0, "inertia constant H of the island", "s", 0.1, 20.0)
    damping_pu: float = _key(20.0, "primary control and self-regulation of the island", "pu/pu", 0.1, 1000.0)
    secondary_s: float = _key(120.0, "time in which the island takes over the station's power", "s", 1.0, 1e6)
    nominal_v: float = _key(400.0, "nominal voltage, phase to phase", "V", 100.0, 1000.0)
    site_load_kw: float = _key(0.0, "load behind the same grid connection", "kW", 0.0, 1e5)


class InverterSection(Section):
    """The grid-side inverter of the station; its apparent power is the rating over 0.9."""

    law: InverterLaw = _key(
        "station", "reactive power by voltage: station = as its specification has it; ieee1547, en50549 = grid codes")
    category: Literal["A", "B"] = _key("B", "normal operating performance category of law ieee1547")
    priority: Literal["reactive", "active"] = _key(
        "reactive", "with a grid code: what gives way last where both do not fit into the apparent power")
    settings: dict[str, float | int] = _key(
        {}, "settings of Q(V) that differ from the code's defaults, see docs/grid_codes.md",
        allowed="names and numbers such as {response_s: 1}")


class NetworkSection(Section):
    """Who can hear the station, and how many processes it takes."""

    discovery: Literal["localhost", "subnet", "peers", "server"] = _key(
        "localhost", "how nodes find each other: localhost sends nothing out; subnet by multicast; peers asks these "
        "hosts; server asks discovery servers")
    interface: str | None = _key(
        None, "network interface of nodes on several hosts: its name, its address or the network it is in, such as "
        "10.0.0.0/24; null = all there are", pattern=r"^\S+$")
    peers: tuple[str, ...] = _key((), "addresses of all hosts for discovery peers, the own one may be among them",
                                  allowed="a list of addresses or host names such as [10.0.0.1, 10.0.0.2]")
    servers: tuple[str, ...] = _key(
        (), "discovery servers for discovery server; one on each host lets each go on alone",
        allowed="a list of address:port such as [10.0.0.1:11811]")
    max_participants: int = _key(
        24, "most DDS participants on this host, with one warm spare and one in reserve; beyond 32 they lose sight of "
        "each other", "", 8, 32)
    packing: Literal["auto", "never"] = _key(
        "auto", "auto = modules share processes where there are fewer cores or participants; never = one each")


class CanSection(Section):
    """The CAN-FD bus of modules with backend can. Where all modules are on it, so are prices and powers."""

    interface: str = _key(
        "udp_multicast", "kind of bus: socketcan, udp_multicast (this machine only) or another of python-can")
    channel: str = _key("239.255.43.1", "bus A: name of the interface such as can0, or a multicast group")
    backup_channel: str | None = _key(None, "bus B, taken over when A fails; null = none")
    port: int = _key(43113, "UDP port of udp_multicast", "", 1024, 65535)
    bitrate: int = _key(1_000_000, "arbitration bit rate", "bit/s", 10_000, 1_000_000)
    data_bitrate: int = _key(5_000_000, "data bit rate", "bit/s", 10_000, 8_000_000)
    options: dict[str, str | int | float | bool] = _key(
        {}, "further options of python-can's interface", allowed="names and values such as {app_name: v2g}")
    key_file: str | None = _key(
        None, "key of the bus, 32 hex digits, relative to the station file; null = frames carry a checksum only")
    setpoint_hz: float = _key(100.0, "set-points sent at most so often", "Hz", 10.0, 200.0)
    stand_ins: bool = _key(False, "true = simulated modules on the bus, started with the station and armed")


class Vehicle(Section):
    """The vehicle that is plugged in at the start."""

    capacity_kwh: float = _key(60.0, "battery capacity", "kWh", 1.0, 1000.0)
    session_id: str | None = _key(None, "name of the session; null = made from the module's number")
    departure: str | None = _key(None, "local time of departure, the next time the clock shows it; null = not known",
                                 "HH:MM", pattern=CLOCK)
    energy_due_kwh: float = _key(0.0, "energy owed until departure", "kWh", 0.0, 1000.0)


class ModuleType(Section):
    """What modules of a type have in common."""

    p_max_kw: float = _key(3.3, "rating, both directions", "kW", low=0.1, high=3.6)  # EK3: 3.3 continuous, 3.6 peak
    ramp_kw_per_s: float = _key(1.0, "largest change of power", "kW/s", 0.01, 100.0)
    soc_min: float = _key(0.10, "state of charge below which it does not discharge", "", 0.0, 1.0)
    soc_max: float = _key(0.95, "state of charge above which it does not charge", "", 0.0, 1.0)
    efficiency: float = _key(0.96, "one way between battery and grid, at its best", "", 0.5, 1.0)
    loss_alpha: float = _key(0.02, "cubic loss coefficient of the cost", "", 0.0, 1.0)
    loss_beta: float = _key(0.01, "square loss coefficient of the cost", "", 0.0, 1.0)
    loss_price_eur_per_kwh: float = _key(0.10, "price of lost energy in the cost", "EUR/kWh", 0.0, 10.0)
    wear_gamma: float = _key(0.02, "wear price", "EUR/h/kW^delta", 0.0, 10.0)
    wear_delta: float = _key(1.5, "wear exponent", "", 1.0, 3.0)
    soc_kappa: float = _key(2.0, "rise of wear away from half charge", "", 0.0, 100.0)
    thermal_psi: float = _key(2e-4, "price of heat above the threshold", "EUR/h/K^2", 0.0, 1.0)
    thermal_theta_k_per_kw2: float = _key(2.0, "temperature rise per square of power in the cost", "K/kW^2", 0.0, 100.0)
    thermal_threshold_c: float = _key(50.0, "temperature above which heat costs", "deg C", -40.0, 200.0)
    thermal_resistance_k_per_w: float = _key(1.2, "junction to ambient, per device", "K/W", 0.01, 20.0)
    thermal_devices: int = _key(8, "devices that share the loss", "", 1, 100)
    thermal_tau_s: float = _key(180.0, "thermal time constant", "s", 1.0, 1e5)
    command_timeout_s: float = _key(0.3, "silence after which the hardware ramps to zero by itself", "s", 0.01, 10.0)
    actuator_lag_s: float = _key(0.02, "time constant with which power follows the set-point", "s", 0.0, 1.0)


class Module(Section):
    """One module: its number, its type, what differs from the type, and its state at the start."""

    id: int = _key(..., "number of the module, its slot on the bus", "", 1, MODULES_MAX)
    type: str = _key("ek3", "key of module_types")
    backend: Backend = _key("sim", "sim = simulated hardware; can = EK3 on a CAN bus")
    p_max_kw: float | None = _key(None, "rating; null = of the type", "kW", 0.1, 3.6)
    ramp_kw_per_s: float | None = _key(None, "largest change of power; null = of the type", "kW/s", 0.01, 100.0)
    efficiency: float | None = _key(None, "best efficiency; null = of the type", "", 0.5, 1.0)
    wear_gamma: float | None = _key(None, "wear price; null = of the type", "EUR/h/kW^delta", 0.0, 10.0)
    host: str | None = _key(None, "host that runs its nodes, see v2g up --host; null = any", pattern=r"^[\w.-]{1,63}$")
    soc: float = _key(0.5, "state of charge at the start", "", 0.0, 1.0)
    ambient_c: float = _key(30.0, "ambient temperature", "deg C", -40.0, 70.0)
    temperature_c: float | None = _key(None, "junction at the start; null = ambient", "deg C", -40.0, 150.0)
    vehicle: Vehicle | None = _key(Vehicle(), "vehicle at the start; null = none")


class Station(Section):
    """A station: modules, who hears whom, and how they are run."""

    version: Literal[1] = _key(..., "version of this file format")
    name: str = _key("station", "name in reports", pattern=r"^\S(.{0,62}\S)?$")
    nominal_hz: Literal[50, 60] = _key(50, "nominal frequency", "Hz")
    topology: Topology | None = _key(None, "who hears whom: ring, line, star, bus (all) or mesh (grid of 4 neighbours)")
    edges: tuple[tuple[int, int], ...] | None = _key(None, "who hears whom, pair by pair, instead of a topology",
                                                     allowed="a list of pairs of ids such as [1, 2], or null")
    algorithm: Algorithm = _key("supply_curve", "how the modules agree")
    privacy: Privacy = _key("none", "masks = modules hide their supply curves from each other, with supply_curve")
    planner: PlanRule | None = _key(None, "short for rule of plan")
    island_rule: IslandRule = _key("majority", "who owns the target when the station falls apart")
    seed: int = _key(0, "names the synthetic day", "", 0, 2**31 - 1)
    audit_file: str = _key(
        "auto", "log of operators' actions, parameter changes and settlement, relative to the station file; auto = in "
        "the user's state folder where there is hardware, else none; none", pattern=r"^\S(.*\S)?$")
    droop: DroopSection = _key(DroopSection(), "answer to frequency")
    dispatch: DispatchSection = _key(DispatchSection(), "exchange between optimizers")
    timeouts: TimeoutSection = _key(TimeoutSection(), "behaviour on silence")
    plan: PlanSection = _key(PlanSection(), "offer to the market")
    market: MarketSection = _key(MarketSection(), "market for frequency regulation")
    signal: SignalSection = _key(SignalSection(), "grid signal and recordings")
    grid: GridSection = _key(GridSection(), "simulated grid")
    inverter: InverterSection = _key(InverterSection(), "grid-side inverter")
    network: NetworkSection = _key(NetworkSection(), "discovery and processes")
    can: CanSection = _key(CanSection(), "bus of modules with backend can")
    module_types: dict[str, ModuleType] = _key({"ek3": ModuleType()}, "module types by name",
                                               allowed="types by name such as ek3: {p_max_kw: 3.3}")
    modules: tuple[Module, ...] = _key(..., "the modules", allowed="a list of modules such as {id: 1}")
