"""Case files, the AC power flow and the bounds: each against something made in another way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from v2g_nodes.core.errors import InputError
from v2g_nodes.planning.network.case_file import grid_of, named_case, read_case
from v2g_nodes.planning.network.certificate import (
    Multipliers,
    Sources,
    cost_sources,
    flow_multipliers,
    lower_bound,
)
from v2g_nodes.planning.network.grid_cost import GridCost
from v2g_nodes.planning.network.opf import ConeProgram
from v2g_nodes.planning.network.power_flow import power_flow

from .network_days import BRANCHES, GENERATORS, four_buses, loads, small_day, write_case

OHMS = """
Vbase = mpc.bus(1, BASE_KV) * 1e3;
Sbase = mpc.baseMVA * 1e6;
mpc.branch(:, [BR_R BR_X]) = mpc.branch(:, [BR_R BR_X]) / (Vbase^2 / Sbase);
mpc.bus(:, [PD, QD]) = mpc.bus(:, [PD, QD]) / 1e3;
"""


def test_named_cases_are_those_that_the_source_uses() -> None:
    case18, case69 = named_case("case18"), named_case("case69")
    assert (len(case18.bus), len(case69.bus)) == (18, 69)
    assert case18.bus[:, 2].sum() == pytest.approx(11.6)
    assert case69.bus[:, 2].sum() == pytest.approx(3.8021, abs=1e-4)
    assert case69.branch[0, 2] == pytest.approx(3.119626e-5, rel=1e-6)  # ohms to per unit, as the file says
    assert grid_of(case18).buses[0] == 51


def test_conversions_of_a_case_file(tmp_path: Path) -> None:
    plain, converted = four_buses(tmp_path), read_case(write_case(tmp_path, more=OHMS))
    np.testing.assert_allclose(converted.branch[:, 2], plain.branch[:, 2] / 12.5**2)
    np.testing.assert_allclose(converted.bus[:, 2], plain.bus[:, 2] / 1e3)


REFUSED = [
    ({"branches": BRANCHES + "3 4 0.1 0.1 0 0 0 0 0 0 1 0 0;"}, "branch 3-4 closes a mesh"),
    ({"branches": BRANCHES.replace("2 3 0.03", "2 3 -0.03")}, "branch 2-3: resistance is -0.03 pu, allowed at least 0"),
    ({"branches": "1 2 0.02 0.03 0 0 0 0 0 0 1 0 0; 2 3 0.03 0.02 0 0 0 0 0 0 1 0 0;"}, "bus 4 is not connected"),
    ({"branches": BRANCHES.replace("1 2 0.02 0.03 0 0 0 0 0", "1 2 0.02 0.03 0 0 0 0 0.98")}, "branch 1-2 has a tap"),
    ({"generators": GENERATORS.replace("1 0 0", "3 0 0")}, "slack bus 1 has no generator"),
    ({"costs": "1 0 0 2 0 0 9 180;"}, "cost of the generator at bus 1, allowed linear or quadratic"),
    ({"costs": "2 0 0 3 -1 20 0;"}, "quadratic cost is -1"),
    ({"more": "mpc.bus(2, PD) = 3 * load;"}, "statement 'mpc.bus(2, PD) = 3 * load' is not known"),
]


@pytest.mark.parametrize(("parts", "line"), REFUSED, ids=[line for _, line in REFUSED])
def test_what_is_not_modelled_is_refused(tmp_path: Path, parts: dict[str, str], line: str) -> None:
    with pytest.raises(InputError, match="(?s)" + line.replace("(", r"\(").replace(")", r"\)").replace("*", r"\*")):
        grid_of(four_buses(tmp_path, **parts))


def test_power_flow_meets_the_nodal_equations() -> None:
    grid = grid_of(named_case("case18"))
    random = np.random.default_rng(3)
    p, q = 0.12 * random.random((18, 5)), 0.06 * random.random((18, 5))
    flow = power_flow(grid, p, q)
    admittance = np.diag(grid.shunt_g + 1j * grid.shunt_b)
    for bus in range(1, 18):
        one, above = 1.0 / (grid.r[bus] + 1j * grid.x[bus]), grid.parent[bus]
        admittance[[bus, above, bus, above], [bus, above, above, bus]] += [one, one, -one, -one]
    drawn = -flow.voltage * np.conj(admittance @ flow.voltage)
    np.testing.assert_allclose(drawn[1:], (p + 1j * q)[1:], atol=1e-11)
    np.testing.assert_allclose(p[0] - drawn[0].real, flow.p[0], atol=1e-11)
    assert flow.settled.all()


def test_one_slot_without_a_solution_leaves_the_others_alone() -> None:
    grid = grid_of(named_case("case18"))
    p = np.full((18, 3), 0.05)
    p[:, 1] *= 80.0
    flow = power_flow(grid, p, 0.5 * p)
    assert flow.settled.tolist() == [True, False, True]


@pytest.mark.parametrize("quadratic", [0.0, 0.7])
def test_multipliers_of_a_flow_are_its_sensitivities(tmp_path: Path, quadratic: float) -> None:
    grid = grid_of(four_buses(tmp_path, costs=f"2 0 0 3 {quadratic} 20 4;"))
    p, q = np.full((4, 1), 0.2), np.full((4, 1), 0.1)
    sources = cost_sources((4, 1))

    def cost(added: float, bus: int) -> float:
        moved = p.copy()
        moved[bus] += added
        return float(grid.generators.cost_eur_per_h(power_flow(grid, moved, q).p[:1] * grid.base_mva)[0, 0])

    flow = power_flow(grid, p, q)
    bound = lower_bound(grid, p, q, flow_multipliers(grid, flow, sources), sources)
    assert bound.constant[0] == pytest.approx(cost(0.0, 3), rel=1e-11)
    assert bound.constant[0] <= cost(0.0, 3)
    for bus in range(1, 4):
        slope = (cost(1e-4, bus) - cost(-1e-4, bus)) / 2e-4
        assert bound.slope[bus, 0] == pytest.approx(slope, rel=1e-6)


def test_no_multipliers_make_a_bound_above_the_optimum(tmp_path: Path) -> None:
    """Also wrong ones: the bound is one for any multipliers, at any power of the stations."""
    grid = grid_of(four_buses(tmp_path, branches=BRANCHES.replace("2 3 0.03 0.02 0 0", "2 3 0.03 0.02 0 0.335")))
    program, random = ConeProgram(grid), np.random.default_rng(5)
    p, q = np.array([[0.0], [0.2], [0.3], [0.1]]), np.full((4, 1), 0.1)
    good, proved = program.solve(p[:, 0], q[:, 0]).multipliers, 0
    limited = np.isfinite(grid.current_max)[:, None]
    for size in np.geomspace(1e-8, 0.3, 60):
        # the wide range of the slack bus's generator would drown all else
        noise = size * random.normal(size=(3, 4, 1)) * (np.arange(4) > 0)[:, None]
        lp, lq, mu = good.lp + noise[0], good.lq + noise[1], good.mu + noise[2]
        found = Multipliers(lp, lq, mu, good.sigma + size * limited * random.normal(size=(4, 1)))
        bound = lower_bound(grid, p, q, found, cost_sources((4, 1)))
        if not np.isfinite(bound.constant[0]):
            continue
        proved += 1
        for most in (0.0, 0.01, 0.3):
            added = random.uniform(-most, most, 4) * (np.arange(4) > 0)
            value = program.solve(p[:, 0] + added, q[:, 0])
            assert not value.solved or bound.constant[0] + bound.slope[:, 0] @ added <= value.value + 1e-6
    assert proved > 20


def test_limit_cuts_keep_exactly_what_the_power_flow_keeps(tmp_path: Path) -> None:
    """Along one station's power: cut off where the voltage is too low, and nowhere else."""
    day = small_day(tmp_path, stations=[{"bus": 3}], evs=[], Pd_kW=loads(700.0), Qd_kW=loads(300.0))
    grid = GridCost(day)
    asked = np.full((1, 6), 900.0)
    at = grid.evaluate(asked)
    assert not at.within.any()
    for _ in range(8):  # to the cut, as the master problem does
        cuts = at.limit_cuts
        if not len(cuts):
            break
        asked = np.minimum(asked, -(cuts.constant / cuts.slope[:, 0]).min())
        at = grid.evaluate(asked)
    assert at.within.all()
    assert np.abs(at.flow.voltage).min() == pytest.approx(0.9, abs=2e-6)


def test_a_current_limit_and_a_cone_program_agree(tmp_path: Path) -> None:
    limited = BRANCHES.replace("1 2 0.02 0.03 0 0", "1 2 0.02 0.03 0 0.8")
    day = small_day(tmp_path, branches=limited, evs=[])
    grid = grid_of(four_buses(tmp_path, branches=limited))
    at = GridCost(day).evaluate(np.full((2, 6), 150.0))
    assert not at.within.any()
    p, q = day.loads_pu(np.full((2, 6), 150.0))
    assert not ConeProgram(grid).solve(p[:, 0], q[:, 0]).solved
    assert ConeProgram(grid, shedding=True).solve(p[:, 0], q[:, 0]).shed > 0.01
    value = at.limit_cuts.constant + at.limit_cuts.slope.sum(axis=1) * 150.0
    assert (value > 0.0).all()


def test_best_voltage_bound_is_met_by_the_power_flow(tmp_path: Path) -> None:
    grid = grid_of(four_buses(tmp_path))
    p, q = np.full((4, 1), 0.2), np.full((4, 1), 0.1)
    sources = Sources(0.0, np.array([[0.0], [0.0], [-1.0], [0.0]]), np.zeros((4, 1)))
    flow = power_flow(grid, p, q)
    bound = lower_bound(grid, p, q, flow_multipliers(grid, flow, sources), sources)
    assert -bound.constant[0] == pytest.approx(flow.v2[2, 0], rel=1e-12)


def test_bound_meets_the_optimum_where_a_current_limit_binds(tmp_path: Path) -> None:
    """A generator behind the limit takes over what the branch can't bring."""
    branches = BRANCHES.replace("2 3 0.03 0.02 0 0", "2 3 0.03 0.02 0 0.2")
    generators = GENERATORS + "3 0 0 0.2 -0.2 1 10 1 0.3 0;"
    grid = grid_of(four_buses(tmp_path, branches=branches, generators=generators, costs="2 0 0 2 20 0; 2 0 0 2 90 0;"))
    p, q = np.array([[0.0], [0.2], [0.3], [0.1]]), np.full((4, 1), 0.1)
    found = ConeProgram(grid).solve(p[:, 0], q[:, 0])
    assert found.multipliers.sigma[grid.position(3, "bus"), 0] > 1.0
    bound = lower_bound(grid, p, q, found.multipliers, cost_sources((4, 1)))
    assert found.value - 1e-4 < bound.constant[0] <= found.value + 1e-6
