"""Our grid-code law and EPRI's OpenDER (PyPI `opender`, a model of IEEE 1547-2018) on the same frequency and voltage.

    .venv/bin/python benchmarks/opender_peer.py --data ../shared/data [--hours 9,17] [--step 0.1] [--json FILE]
        [--settings '{"response_s": 1}'] [--only VES]

Both get a recorded frequency, one value a second and straight lines in between: hours of two days of Continental
Europe, and one hour of fifteen places of the world, as deviations from nominal. OpenDER, which knows 60 Hz only, is
stepped by `--step`; our controller ticks at 200 Hz, as in a station, on 60 Hz too, and is looked at whenever OpenDER
has stepped.

Settings: the defaults of category III, and the most aggressive it allows (deadband 17 mHz, slope 2 %, response 0.2 s).
Points of operation: a storage that discharges or charges at half its rating, or discharges close to it.
Figures are differences of power over the rating. The ramp of the module is left out (none is as slow as a recorded
frequency asks for).

Q(V) is compared on steps and on a swing of the voltage over the apparent power, trips and return to service by the time
at which power stops and begins.

Where the two differ by intent: OpenDER holds base power (its demand) while the frequency is beyond the deadband, ours
goes on to follow it; OpenDER's answer takes part in the ramp of enter service. At a constant demand that shows only
where service is entered with the frequency beyond the deadband.
"""

from __future__ import annotations

import argparse
import csv
import json
import logging
import math
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from v2g_nodes.core.droop_control import DroopControl, DroopInputs
from v2g_nodes.core.grid_code.law import GridCodeDroop
from v2g_nodes.core.grid_code.settings import grid_code
from v2g_nodes.core.types import Box

NOMINAL_HZ = 60.0  # OpenDER's only one
TICK_S = 0.005  # of our controller
RATING_W = 100_000.0  # of OpenDER's storage; all is compared per unit
NO_RAMP_KW_PER_S = 1e9
DEFAULT: Mapping[str, float] = {}
AGGRESSIVE = {"deadband_over_hz": 0.017, "deadband_under_hz": 0.017, "slope_over": 0.02, "slope_under": 0.02,
              "response_s": 0.2}
POINTS = (0.5, -0.5, 0.98)  # of the rating, > 0 discharges
CE_DAYS = ("freq_CE_1s_2024-09-03.csv", "freq_CE_1s_2024-09-12.csv")
PLACES = "freq_15areas_1s_1h_deviation_mHz.csv"
NAMES = {"deadband_over_hz": "PF_DBOF", "deadband_under_hz": "PF_DBUF", "slope_over": "PF_KOF",
         "slope_under": "PF_KUF", "response_s": "PF_OLRT", "enter_delay_s": "ES_DELAY",
         "enter_ramp_s": "ES_RAMP_RATE", "over_frequency_1_s": "OF1_TRIP_T", "under_frequency_1_s": "UF1_TRIP_T",
         "over_frequency_2_s": "OF2_TRIP_T", "under_frequency_2_s": "UF2_TRIP_T"}


@dataclass(frozen=True)
class Moment:
    """Grid at one instant: deviation from nominal [Hz], voltage over nominal, demand over the rating."""

    deviation_hz: float
    voltage_pu: float = 1.0
    demand: float = 0.0


def opender_powers(moments: Iterable[Moment], step_s: float, changes: Mapping[str, float],
                   **more: object) -> Iterator[tuple[float, float]]:
    """Active and reactive power of OpenDER's storage over its rating, at each moment.

    Args:
        moments: `step_s` apart.
        step_s: step of its simulation [s].
        changes: settings by our names.
        more: settings by OpenDER's names.
    """
    from opender import DER, DER_BESS

    DER.t_s = step_s
    settings = {NAMES[name]: value for name, value in changes.items()}
    der = DER_BESS(NP_P_MAX=RATING_W, NP_VA_MAX=RATING_W, NP_P_MAX_CHARGE=RATING_W, NP_Q_MAX_INJ=RATING_W,
                   NP_APPARENT_POWER_CHARGE_MAX=RATING_W, NP_Q_MAX_ABS=RATING_W, NP_AC_V_NOM=400.0,
                   NP_ABNORMAL_OP_CAT="CAT_III", NP_INV_DELAY=0.0, **{**settings, **more})
    for moment in moments:
        der.update_der_input(p_dem_pu=moment.demand, v_pu=moment.voltage_pu, f=NOMINAL_HZ + moment.deviation_hz)
        der.run()
        yield der.p_out_pu, der.q_out_pu


def our_powers(moments: Iterable[Moment], tick_s: float, changes: Mapping[str, float]) -> Iterator[float]:
    """Power of our controller over the rating, at each moment.

    Args:
        moments: `tick_s` apart.
        tick_s: of the controller [s].
        changes: settings that differ from the defaults.
    """
    law = GridCodeDroop(grid_code("ieee1547", "III", changes), NOMINAL_HZ, 1.0, NO_RAMP_KW_PER_S)
    control, limits, power = DroopControl(law, NO_RAMP_KW_PER_S, math.inf), Box(-1.0, 1.0), 0.0
    for moment in moments:
        inputs = DroopInputs(moment.demand, NOMINAL_HZ + moment.deviation_hz, True, limits, math.inf, power, tick_s,
                             moment.voltage_pu)
        power = control.decide(inputs)
        yield power


def recorded(deviations_hz: Sequence[float], demand: float, step_s: float) -> Iterator[Moment]:
    """Moments of a recording with one value a second, straight lines in between."""
    seconds = np.arange(len(deviations_hz))
    steps = round(1.0 / step_s)
    at = np.arange((len(deviations_hz) - 1) * steps + 1) / steps
    for value in np.interp(at, seconds, deviations_hz).tolist():
        yield Moment(value, 1.0, demand)


def differences(deviations_hz: Sequence[float], demand: float, changes: Mapping[str, float],
                step_s: float) -> np.ndarray:
    """Our power less OpenDER's over the rating, absolute, whenever OpenDER has stepped."""
    ours = our_powers(recorded(deviations_hz, demand, TICK_S), TICK_S, changes)
    theirs = opender_powers(recorded(deviations_hz, demand, step_s), step_s, changes)
    return np.abs(np.array(list(ours)[:: round(step_s / TICK_S)]) - np.array([active for active, _ in theirs]))


def recordings(folder: Path, hours: Sequence[int]) -> Iterator[tuple[str, list[float]]]:
    """Name and deviations [Hz] of each recording, one value a second.

    Args:
        folder: of the recordings.
        hours: of the days of Continental Europe.
    """
    for name in CE_DAYS:
        with (folder / name).open(encoding="utf-8") as file:
            day = [float(row[1]) - 50.0 for row in list(csv.reader(file))[1:]]
        for hour in hours:
            yield f"{name[11:21]} {hour:02d}:00", day[3600 * hour : 3600 * (hour + 1)]
    with (folder / PLACES).open(encoding="utf-8") as file:
        head, *rows = csv.reader(file)
    for column, place in enumerate(head[2:], start=2):
        values = [float(row[column]) / 1000.0 if row[column] else math.nan for row in rows]
        if all(map(math.isfinite, values)):
            yield f"place {place}", values


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the recordings")
    parser.add_argument("--hours", default="9,17", help="hours of each day, 0 to 23")
    parser.add_argument("--step", type=float, default=0.1, help="step of OpenDER [s], a part of a second")
    parser.add_argument("--settings", type=json.loads, help="settings by our names, as JSON, instead of those two")
    parser.add_argument("--only", default="", help="part of the names of the recordings to take")
    parser.add_argument("--json", type=Path, help="where the figures go")
    options = parser.parse_args(arguments)
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    settings = [("default", DEFAULT), ("aggressive", AGGRESSIVE)]
    if options.settings is not None:
        settings = [("given", options.settings)]
    figures = []
    table = Table(title="our droop against OpenDER, % of rating")
    for title in ("recording", "largest deviation mHz", "settings", "largest", "p99"):
        table.add_column(title, justify="left" if title in ("recording", "settings") else "right")
    for name, values in recordings(options.data, [int(hour) for hour in options.hours.split(",")]):
        if options.only not in name:
            continue
        for label, changes in settings:
            print(f"{name}, {label}", file=sys.stderr, flush=True)
            apart = np.concatenate([differences(values, point, changes, options.step) for point in POINTS])
            largest, p99 = float(apart.max()), float(np.quantile(apart, 0.99))
            figures.append({"recording": name, "settings": label, "largest": largest, "p99": p99})
            table.add_row(name, f"{1000.0 * max(map(abs, values)):.0f}", label, f"{100 * largest:.3f}",
                          f"{100 * p99:.3f}")
    Console().print(table)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")
    return 0 if all(row["largest"] < 0.01 for row in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
