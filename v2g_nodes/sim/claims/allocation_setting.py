"""The setting of the resource allocation document (EQUATIONS 002.3): all its own numbers are lost, these are chosen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from v2g_nodes.core.types import FloatArray
from v2g_nodes.planning.allocation.grid import wish
from v2g_nodes.planning.allocation.problem import Problem, Vehicle, problem
from v2g_nodes.planning.allocation.samples import LOAD_KW, equal_vehicles

SLOTS, SLOT_H, EPS = len(LOAD_KW), 1.0, 1e-3
BASE = np.array(LOAD_KW)


def fleet(count: int, commitment: float, smoothing: float = 1.0) -> Problem:
    """Equal vehicles of the set that stay throughout."""
    return problem(equal_vehicles(count, SLOTS, SLOT_H, commitment), LOAD_KW, slot_h=SLOT_H, smoothing=smoothing)


def unlike(commitment: float = 0.2) -> Problem:
    """Three vehicles of the set that differ in energy: 20.16, 16.8 and 13.44 kWh are due in one longer stay."""
    equal = equal_vehicles(3, SLOTS, SLOT_H, commitment)
    goals = (20.16, 16.8, 13.44)
    vehicles: list[Vehicle] = [replace(v, soc_start_kwh=3.7, soc_goal_kwh=3.7 + due, soc_max_kwh=28.0)
                               for v, due in zip(equal, goals, strict=True)]  # fmt: skip
    return problem(vehicles, LOAD_KW, slot_h=SLOT_H)


def payoffs(x: FloatArray, reference: FloatArray, commitment: float, smoothing: float) -> FloatArray:
    """Marginal costs F without barriers (22), shape (vehicles, slots); x charges [kWh per slot]."""
    grid = wish(SLOTS, smoothing) @ (BASE * SLOT_H + x.sum(axis=0))
    return np.asarray(commitment * (x - reference) + (1.0 - commitment) * grid)
