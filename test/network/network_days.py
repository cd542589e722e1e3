"""Small days on a grid of four buses, and MATPOWER text, for tests of the network planner."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from v2g_nodes.planning.network.case_file import Case, read_case
from v2g_nodes.planning.network.instance import Instance
from v2g_nodes.planning.network.instance_file import instance_of

BRANCHES = "1 2 0.02 0.03 0 0 0 0 0 0 1 0 0; 2 3 0.03 0.02 0 0 0 0 0 0 1 0 0; 2 4 0.02 0.02 0 0 0 0 0 0 1 0 0;"
GENERATORS = "1 0 0 9 -9 1.02 10 1 9 0;"
COSTS = "2 0 0 3 0 20 0;"
TEXT = """function mpc = four
mpc.version = '2';
mpc.baseMVA = 1;
mpc.bus = [ % bus_i type Pd Qd Gs Bs area Vm Va baseKV zone Vmax Vmin
1 3 0 0 0 0 1 1 0 12.5 1 1.02 1.02; 2 1 0.2 0.1 0 0.05 1 1 0 12.5 1 1.1 0.9;
3 1 0.3 0.1 0 0 1 1 0 12.5 1 1.1 0.9; 4 1 0.1 0.05 0 0 1 1 0 12.5 1 1.1 0.9;
];
mpc.gen = [{generators}];
mpc.branch = [{branches}];
mpc.gencost = [{costs}];
"""


def write_case(
    folder: Path, branches: str = BRANCHES, generators: str = GENERATORS, costs: str = COSTS, more: str = ""
) -> Path:
    """A case file in a folder."""
    path = folder / "four.m"
    path.write_text(TEXT.format(branches=branches, generators=generators, costs=costs) + more)
    return path


def four_buses(folder: Path, **parts: str) -> Case:
    """The case, read."""
    return read_case(write_case(folder, **parts))


def day_values(case: str = "four", **changes: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON values
    """Values of an instance file: two stations, five vehicles, six slots."""
    vehicles = [
        {"arr": 0, "dep": 5, "e0": 31.5, "e1": 70.0, "bus": 3}, {"arr": 1, "dep": 6, "e0": 25.0, "e1": 80.0, "bus": 3},
        {"arr": 0, "dep": 4, "e0": 38.25, "e1": 75.0, "bus": 3}, {"arr": 2, "dep": 6, "e0": 40.0, "e1": 52.0, "bus": 4},
        {"arr": 0, "dep": 6, "e0": 22.0, "e1": 60.0, "bus": 4},
    ]  # fmt: skip
    return {"case": case, "T": 6, "dt_h": 1.0, "eta": 0.8, "cap": 100.0, "emin": 10.0, "pmin": 10.0, "pmax": 20.0,
            "price": [80.0, 60.0, 20.0, 35.0, 95.0, 50.0], "stations": [{"bus": 3}, {"bus": 4}], "evs": vehicles,
            **changes}  # fmt: skip


def small_day(folder: Path, branches: str = BRANCHES, generators: str = GENERATORS, costs: str = COSTS,
              **changes: Any) -> Instance:  # noqa: ANN401 - JSON values  # fmt: skip
    """The day as an instance; keywords change its values."""
    case = four_buses(folder, branches=branches, generators=generators, costs=costs)
    return instance_of(day_values(**changes), case, "small")


def loads(kw: float, slots: int = 6) -> list[list[float]]:
    """Loads of the four buses in every slot, all behind the first one equal [kW]."""
    return np.tile([0.0, kw, kw, kw], (slots, 1)).tolist()
