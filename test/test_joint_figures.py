"""Figures of modules on several hosts: bit-equal prices, the gap to the optimum, the sum against the target."""

from __future__ import annotations

from dataclasses import astuple, replace
from typing import Any

import numpy as np
import pytest

from v2g_nodes.bringup import cost_parameters
from v2g_nodes.cli.fault_watch import Agreed
from v2g_nodes.cli.joint_figures import JointSums, joint_figures
from v2g_nodes.core.cost import LocalCost
from v2g_nodes.core.dispatch.reference import dispatch_optimum
from v2g_nodes.core.types import Box
from v2g_nodes.station import default_station

STATION = default_station(2)
COSTS = [cost_parameters(STATION, module) for module in STATION.modules]


def agreed(module: int, power_kw: float, price: float = 0.25) -> Agreed:
    return Agreed(module, frozenset({1, 2}), 7, (1, 1, 1), price, power_kw, 3.0, 3.0, 0, (-3.0, 3.0),
                  astuple(COSTS[module - 1]), 0.5, 30.0)


def test_the_optimum_has_no_gap_and_an_equal_split_has_one() -> None:
    boxes = [Box(-3.0, 3.0)] * 2
    best = dispatch_optimum([LocalCost(cost, 0.5, 30.0) for cost in COSTS], boxes, 3.0)
    powers = [*best.powers_kw]
    figures = joint_figures([[agreed(1, powers[0]), agreed(2, powers[1])]])
    assert figures["gap_max"] == pytest.approx(0.0, abs=1e-9)
    assert figures["balance_error_kw_max"] == pytest.approx(0.0, abs=1e-9)
    equal: Any = joint_figures([[agreed(1, 1.5), agreed(2, 1.5)]])["gap_max"]
    assert equal > 0.01


def test_prices_are_compared_to_the_last_bit() -> None:
    same, other = agreed(1, 1.5), agreed(2, 1.5)
    assert joint_figures([[same, other]])["lambda_spread_max"] == 0.0
    spread: Any = joint_figures([[same, replace(other, lambda_eur_per_kwh=float(np.nextafter(0.25, 1.0)))]])
    assert spread["lambda_spread_max"] > 0.0
    assert joint_figures([]) == {"epochs": 0, "lambda_spread_max": None, "balance_error_kw_max": None, "gap_max": None}


def test_powers_of_both_hosts_are_added_up_against_the_target() -> None:
    sums = JointSums(STATION)

    def play(start_s: float, *bases_kw: float) -> None:
        for step in range(10):
            now_s = start_s + 0.05 * step
            sums.take({"event": "target", "target_kw": 3.0, "heard_s": now_s})
            for module, base_kw in enumerate(bases_kw, 1):
                sums.take({"event": "power", "module": module, "base_kw": base_kw, "heard_s": now_s})

    play(0.0, 1.5, 1.5)
    assert sums.base_kw == 0.0
    play(1.0, 1.5, 1.75)
    assert sums.base_kw == pytest.approx(0.25)
    assert "0.250 kW beyond" in sums.words
    sums.clear()
    play(2.0, 1.5, 1.5)
    assert sums.base_kw < 0.26  # what was in force when it was cleared may still be seen once
