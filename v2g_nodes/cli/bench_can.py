"""`v2g bench can`: what a live station puts on its CAN-FD bus, heard by a process that only listens."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console
from rich.table import Table

from v2g_nodes.bringup import Overrides
from v2g_nodes.canbus.codec import Codec
from v2g_nodes.canbus.identifier import Identifier, slot_name
from v2g_nodes.canbus.settings import CanSettings
from v2g_nodes.cli.bus_meter_process import BusMeter
from v2g_nodes.cli.bus_worst_case import worst_case_load
from v2g_nodes.cli.can_bus import station_bus
from v2g_nodes.cli.folders import run_folder
from v2g_nodes.cli.output import Json, check_writable, emit
from v2g_nodes.cli.run_station import RunOptions, RunResult, run_station
from v2g_nodes.core.errors import InputError, StartupError
from v2g_nodes.core.types import MODULES_MAX
from v2g_nodes.station import Station, default_station, load_station, replace
from v2g_nodes.station_config import config_path

MODULES = (1, MODULES_MAX)
DURATION_S = (5.0, 3600.0)
BASE = "station_can.yaml"  # rates and limits are those of the station that is shipped
GROUP = "239.255.43.43"  # of its own, with a port by process: nobody else's frames are to be counted
PORTS = (20_000, 30_000)
OTHER_PARTICIPANTS = 7  # nodes of the whole station, spares
BYTES_MUST, KBPS_MUST, LOAD_MUST = 64, 100.0, 0.5
#: of the bus, in the order of the JSON; null where nothing was measured
BUS_KEYS = (
    "duration_s", "bus_load_max", "bus_load_max_100ms", "bus_load_mean", "bytes_per_frame_max", "kbps_per_module_max",
    "payload_kbps_per_module_max", "frames", "frames_per_s", "frames_lost", "frames_repeated", "frames_odd",
    "meter_missed", "senders",
)  # fmt: skip
#: of the run: what so many modules do to the timing on this machine
RUN_KEYS = (
    "epochs", "rounds_median", "round_ms_median", "epoch_ms_median", "epoch_ms_p99", "gap_max", "constraint_violations",
    "signal_to_setpoint_ms_p99", "droop_rate_hz", "droop_jitter_ms_p99", "bridge_to_bus_ms_median",
    "bridge_to_bus_ms_p99", "bridge_from_bus_ms_median", "bridge_from_bus_ms_p99", "bus_frames_lost",
    "bus_frames_refused", "restarts",
)  # fmt: skip


def bench_can(
    modules: Annotated[int, typer.Option(help=f"Modules on the bus, {MODULES[0]} to {MODULES[1]}.")] = 16,
    duration: Annotated[float, typer.Option(help="How long to measure [s].")] = 60.0,
    frequency: Annotated[
        str | None, typer.Option(metavar="CSV", help="Recording of grid frequency; without: synthetic, seeded.")
    ] = None,
    start: Annotated[
        str | None, typer.Option(metavar="HH:MM", help="Local time at the start. [default: start of the recording]")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the modules and the synthetic day.")] = 0,
    live: Annotated[
        bool, typer.Option("--live", help="Run the whole station with its ROS nodes; a small machine can't run many.")
    ] = False,
    json: Json = None,
) -> None:
    """Run a station of stand-ins on a virtual CAN-FD bus and measure what is on it, at the rates really used.

    The control loops of all modules run in one process, in real time and without ROS, unless --live: the same gates,
    droop, optimizers and frames. A process of its own listens to the bus and counts.

    The load counts every frame with the most stuff bits it can have (ISO 11898-1, canbus/bit_time.py); the worst case
    is computed from ek3.dbc: every message of everybody at its highest rate at once. Exit code 1 when a limit is missed
    or the machine can't run so many modules.
    """
    _in_range("--modules", modules, MODULES)
    _in_range("--duration", duration, DURATION_S)
    check_writable(json)
    overrides = Overrides(frequency_csv=frequency, start=start, duration_s=duration, seed=seed)
    with run_folder() as folder:
        station = bus_station(modules, seed)
        file = write_station(station, folder / BASE)
        settings = station_bus(station)
        fault, result = "", None
        with BusMeter(settings) as meter:
            try:
                if live:
                    result = run_station(RunOptions(str(file), overrides, while_up=meter.counting))
                else:
                    result = _run_loops(file, overrides, settings, meter)
            except StartupError as error:
                fault = f"a run of {modules} modules is not possible here: {error}"
                print(f"v2g │ {fault}", file=sys.stderr)
    figures = compose(modules, frequency, settings, meter.figures, result, fault) | {"live": live}
    if json is None:
        Console().print(load_table(figures))
    emit(figures, json, f"CAN-FD bus of {modules} modules")
    raise typer.Exit(0 if figures["verdict"] == "ok" else 1)


def bus_station(modules: int, seed: int) -> Station:
    """The shipped station on a bus, with so many of the default modules instead of its own.

    Args:
        modules: how many.
        seed: of their spread.

    Raises:
        InputError: a number that is not allowed.
    """
    base = load_station(config_path(BASE))
    port = PORTS[0] + os.getpid() % (PORTS[1] - PORTS[0])
    can = base.can.model_copy(update={"channel": GROUP, "backup_channel": None, "port": port, "stand_ins": True})
    own = default_station(modules, seed=seed).modules
    # Modules share as few processes as keep all cores busy: on a full machine that takes half the processor time.
    processes = max(2, len(os.sched_getaffinity(0)))
    network = base.network.model_copy(update={"max_participants": min(OTHER_PARTICIPANTS + 2 * processes, 32)})
    return replace(base, name=f"{modules} on a bus", can=can, seed=seed, network=network,
                   modules=tuple(module.model_copy(update={"backend": "can"}) for module in own))


def write_station(station: Station, file: Path) -> Path:
    """Write a station file.

    Args:
        station: what to write.
        file: where.
    """
    file.write_text(yaml.safe_dump(station.model_dump(mode="json"), sort_keys=False), encoding="utf-8")
    return file


def _run_loops(file: Path, overrides: Overrides, settings: CanSettings, meter: BusMeter) -> RunResult:
    from v2g_nodes.cli.bus_loops import run_loops  # rclpy and the messages take seconds to import

    return run_loops(file, overrides, settings, meter.counting)


def compose(
    modules: int, frequency: str | None, settings: CanSettings, bus: Mapping[str, Any], result: RunResult | None,
    fault: str,
) -> dict[str, object]:
    """All figures and the verdict.

    Args:
        modules: on the bus.
        frequency: recording; None = synthetic.
        settings: of the bus.
        bus: what the meter counted; empty where it did not.
        result: of the run; None where there was none.
        fault: why not.
    """
    run: Mapping[str, object] = {} if result is None else result.figures
    figures: dict[str, object] = {"modules": modules, "frequency": frequency or "synthetic"}
    figures |= {key: bus.get(key) for key in BUS_KEYS}
    figures["bus_load_worst_case"] = worst_case_load(modules, settings)
    figures["frames_by_message"] = by_message(bus.get("frames_by_code", {}))
    figures["lost_by_sender"] = lost_by_sender(bus.get("lost_by_identifier", {}))
    figures |= {key: run.get(key) for key in RUN_KEYS}
    faults = [fault] if fault else _misses(figures)
    if result is not None and not result.ok:
        faults.append(f"station: {run.get('verdict')}")
    figures["verdict"] = "; ".join(faults) or "ok"
    return figures


def by_message(by_code: Mapping[str, int]) -> dict[str, int]:
    """Frames by name of the message, from frames by its code."""
    found = {}
    for code, count in by_code.items():
        spec = Codec.load().by_code(int(code))
        found[f"0x{int(code):02X}" if spec is None else spec.name] = count
    return found


def lost_by_sender(by_identifier: Mapping[str, int]) -> dict[str, int]:
    """Frames lost by message and sender, from those by identifier."""
    found = {}
    for bits, count in by_identifier.items():
        identifier = Identifier.unpack(int(bits))
        (name,) = by_message({str(identifier.code): count})
        found[f"{name} of {slot_name(identifier.source)}"] = count
    return found


def _misses(figures: Mapping[str, object]) -> list[str]:
    faults = []
    for key, limit, allowed in (("bytes_per_frame_max", BYTES_MUST, f"up to {BYTES_MUST}"),
                                ("kbps_per_module_max", math.nextafter(KBPS_MUST, 0.0), f"below {KBPS_MUST:g}"),
                                ("bus_load_max", math.nextafter(LOAD_MUST, 0.0), f"below {LOAD_MUST:g}"),
                                ("frames_lost", 0, "0"), ("frames_odd", 0, "0"), ("meter_missed", 0, "0")):  # fmt: skip
        value = figures[key]
        if not (isinstance(value, (int, float)) and value <= limit):
            shown = f"{value:.4g}" if isinstance(value, (int, float)) else "not measured"
            faults.append(f"{key} {shown}, allowed {allowed}")
    return faults


def load_table(figures: Mapping[str, object]) -> Table:
    """The figures that have a limit."""
    table = Table(title=f"CAN-FD bus of {figures['modules']} modules, {figures['frequency']} frequency")
    for title in ("", "measured", "must be", ""):
        table.add_column(title, justify="left" if title == "" else "right")
    rows = (
        ("load, worst second", "bus_load_max", f"< {LOAD_MUST:g}", LOAD_MUST),
        ("load, mean", "bus_load_mean", "", None),
        ("load, all at the highest rate (computed)", "bus_load_worst_case", "", None),
        ("longest frame, B", "bytes_per_frame_max", f"<= {BYTES_MUST}", BYTES_MUST + 1),
        ("busiest module, all bits, kbit/s", "kbps_per_module_max", f"< {KBPS_MUST:g}", KBPS_MUST),
        ("busiest module, payload, kbit/s", "payload_kbps_per_module_max", "", None),
        ("frames lost", "frames_lost", "0", 1),
        ("frames per second", "frames_per_s", "", None),
    )
    for what, key, must, limit in rows:
        value = figures[key]
        if not isinstance(value, (int, float)):
            table.add_row(what, "not measured", must, "")
            continue
        kept = "" if limit is None else "[green]kept[/]" if value < limit else "[red]missed[/]"
        table.add_row(what, f"{value:.4g}", must, kept)
    return table


def _in_range(option: str, value: float, allowed: tuple[float, float]) -> None:
    if not allowed[0] <= value <= allowed[1]:
        raise InputError(f"{option} {value:g}, allowed {allowed[0]:g} to {allowed[1]:g}")
