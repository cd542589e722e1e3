"""Allocation: what can't be planned is refused in one line that names it; special vehicles are understood."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from v2g_nodes.core.errors import InputError
from v2g_nodes.planning.allocation.allocation import allocate
from v2g_nodes.planning.allocation.fleet import fleet_of
from v2g_nodes.planning.allocation.problem import Vehicle, problem
from v2g_nodes.planning.allocation.samples import LOAD_KW, random_vehicles, sample_load_kw
from v2g_nodes.planning.allocation.summary import soc_goal_error_kwh, summary


def vehicle(**changes: Any) -> Vehicle:  # noqa: ANN401
    usual: dict[str, Any] = {
        "name": "EV7", "arrival_slot": 0, "departure_slot": 12, "soc_start_kwh": 4.8, "soc_goal_kwh": 21.6,
    }  # fmt: skip
    return Vehicle(**{**usual, **changes})


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"arrival_slot": 5, "departure_slot": 5}, "departure slot is 5, allowed is after arrival slot 5"),
        ({"arrival_slot": -1}, "arrival slot is -1, allowed at least 0"),
        ({"soc_start_kwh": math.nan}, "soc_start_kwh is nan kWh, allowed 3.6 to 24 kWh"),
        ({"soc_start_kwh": 3.0}, "soc_start_kwh is 3.0 kWh, allowed 3.6 to 24 kWh"),
        ({"soc_goal_kwh": 25.0}, "soc_goal_kwh is 25.0 kWh, allowed 3.6 to 24 kWh"),
        ({"soc_min_kwh": 30.0}, "soc_max_kwh is 24.0 kWh, allowed at least 30"),
        ({"power_kw": 0.0}, "power_kw is 0.0 kW, allowed above 0 kW"),
        ({"rating_kva": 3.0}, "rating_kva is 3.0 kVA, allowed at least 3.3"),
        ({"commitment": 0.0}, "commitment is 0.0, allowed 0.001 to 1"),
        ({"commitment": 1.5}, "commitment is 1.5, allowed 0.001 to 1"),
        ({"reference_kw": (0.0,) * 11}, "reference_kw has 11 values, allowed are 12"),
        ({"reference_kw": (0.0,) * 11 + (math.nan,)}, "reference_kw of slot 11 of the stay is nan"),
    ],
)
def test_a_bad_vehicle_is_named(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(InputError) as error:
        vehicle(**changes)
    assert str(error.value).startswith("vehicle EV7: ")
    assert text in str(error.value)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"departure_slot": 13}, "vehicle EV7: departure slot is 13, allowed up to 12, the plan's end"),
        ({"departure_slot": 5}, "vehicle EV7: energy due is 16.8 kWh, allowed -16.5 to 16.5 kWh: 3.3 kW for 5 slots"),
        ({"departure_slot": 5, "soc_start_kwh": 21.6, "soc_goal_kwh": 4.8}, "energy due is -16.8 kWh, allowed -16.5"),
    ],
)
def test_a_stay_that_does_not_fit_is_named(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(InputError, match="EV7") as error:
        problem([vehicle(**changes)], LOAD_KW)
    assert text in str(error.value)


def test_a_bad_problem_is_named() -> None:
    for arguments, text in (
        (([], LOAD_KW), "fleet has 0 vehicles"),
        (([vehicle(), vehicle()], LOAD_KW), "vehicle EV7 is there twice"),
        (([vehicle()], [*LOAD_KW[:11], math.nan]), "load_kw of slot 11 is nan"),
        (([vehicle()], LOAD_KW, [1.0]), "load_kvar has 1 values, allowed are 12"),
        (([vehicle()], LOAD_KW, None, 0.0), "slot_h is 0.0 h, allowed above 0"),
        (([vehicle()], LOAD_KW, None, 1.0, 1.1), "smoothing is 1.1, allowed 0 to 1"),
        (([vehicle()], [1.0] * 10_000), "vehicles x slots^2 is 1e+08, allowed up to 5e+07"),
    ):
        with pytest.raises(InputError) as error:
            problem(*arguments)
        assert text in str(error.value)


def test_the_owner_charges_at_once_until_full_unless_he_says_otherwise() -> None:
    vehicles = [
        vehicle(name="a"),
        vehicle(name="b", arrival_slot=2, soc_start_kwh=20.0, soc_goal_kwh=14.0),
        vehicle(name="c", departure_slot=6, soc_goal_kwh=4.8 + 3.1 * 6),
        vehicle(name="d", arrival_slot=10, soc_goal_kwh=5.0, reference_kw=(1.0, -2.0)),
    ]
    reference = fleet_of(vehicles, 12, 1.0).reference
    assert reference[0] == pytest.approx([2.97] * 5 + [16.8 - 5 * 2.97] + [0.0] * 6)
    assert reference[1] == pytest.approx([0.0, 0.0, -2.97, -2.97, -0.06] + [0.0] * 7)
    assert reference[2] == pytest.approx([3.1] * 6 + [0.0] * 6)
    assert reference[3] == pytest.approx([0.0] * 10 + [-1.0, 2.0])


SPECIAL = {
    "goal at the upper limit": vehicle(soc_goal_kwh=24.0),
    "full and stays full": vehicle(arrival_slot=2, departure_slot=8, soc_start_kwh=24.0, soc_goal_kwh=24.0),
    "empty and stays empty": vehicle(arrival_slot=5, soc_start_kwh=3.6, soc_goal_kwh=3.6),
    "one slot": vehicle(arrival_slot=3, departure_slot=4, soc_start_kwh=5.0, soc_goal_kwh=7.0),
    "net discharge": vehicle(soc_start_kwh=21.6, soc_goal_kwh=4.0),
    "full power throughout": vehicle(departure_slot=4, soc_start_kwh=5.0, soc_goal_kwh=18.2),
    "nearly full power": vehicle(departure_slot=4, soc_start_kwh=5.0, soc_goal_kwh=5.0 + 13.2 * (1 - 1e-7)),
    "no reactive power at full power": vehicle(soc_goal_kwh=24.0, commitment=0.9, rating_kva=3.3),
    "hardly any battery": vehicle(soc_start_kwh=10.0, soc_goal_kwh=10.0, soc_min_kwh=9.9, soc_max_kwh=10.1),
    "no battery at all": vehicle(soc_start_kwh=10.0, soc_goal_kwh=10.0, soc_min_kwh=10.0, soc_max_kwh=10.0),
    "committed": vehicle(soc_start_kwh=10.0, soc_goal_kwh=10.0, commitment=1.0),
    "nearly committed": vehicle(commitment=0.999999),
    "a wish beyond the charger": vehicle(reference_kw=(9.0, -9.0) * 6),
}


@pytest.mark.parametrize("case", [*SPECIAL, "all of them"])
def test_special_vehicles_are_planned(case: str) -> None:
    several = [vehicle(**{**vars(v), "name": name}) for name, v in SPECIAL.items()]
    asked = problem(several if case == "all of them" else [SPECIAL[case]], LOAD_KW, np.array(LOAD_KW) * 0.3)
    found = allocate(asked)
    figures = summary(found)
    assert figures["constraint_violations"] == 0
    assert float(str(figures["resource_error"])) < 1e-12
    assert float(str(figures["consensus_spread"])) < 1e-3
    assert abs(float(str(figures["gap_to_centralized"]))) < 1e-4
    assert figures["storage_rises"] == 0
    assert figures["at_rest"] is True
    assert soc_goal_error_kwh(found) < 1e-9


def test_a_vehicle_without_a_choice_is_load_for_the_others() -> None:
    forced = vehicle(name="forced", arrival_slot=4, departure_slot=6, soc_goal_kwh=4.8 + 6.6)
    found = allocate(problem([vehicle(), forced], LOAD_KW))
    assert found.power_kw[1].tolist() == pytest.approx([0.0] * 4 + [-3.3] * 2 + [0.0] * 6)
    raised = np.array(LOAD_KW) + np.array([0.0] * 4 + [3.3] * 2 + [0.0] * 6)
    alone = allocate(problem([vehicle()], raised))
    np.testing.assert_allclose(found.power_kw[0], alone.power_kw[0], atol=1e-5)


def test_the_summary_counts_what_happened_on_the_way() -> None:
    found = allocate(problem([vehicle()], LOAD_KW))
    calm = summary(found)
    assert (calm["constraint_violations"], calm["storage_rises"], calm["at_rest"]) == (0, 0, True)
    run = found.stages[0].run
    run.trace.violations[2] = 3
    run.trace.resource_error[2] = 0.5
    run.trace.storage[2] = 2.0 * run.trace.storage[1]
    stopped = replace(found.stages[0], run=replace(run, at_rest=False))
    bad = summary(replace(found, stages=(stopped, *found.stages[1:]), violations_at_rest=4))
    assert (bad["constraint_violations"], bad["storage_rises"], bad["at_rest"]) == (7, 1, False)
    assert bad["resource_error"] == 0.5


def test_a_limit_crossed_by_a_vehicle_without_a_choice_is_counted() -> None:
    forced = vehicle(departure_slot=4, soc_start_kwh=5.0, soc_goal_kwh=18.2)
    asked = problem([forced], LOAD_KW)
    object.__setattr__(asked.vehicles[0], "soc_max_kwh", 15.0)  # past every check
    assert allocate(asked).violations_at_rest == 9  # the last slot of the stay and the eight after it


def test_a_plan_of_one_slot() -> None:
    found = allocate(problem([vehicle(departure_slot=1, soc_goal_kwh=6.8)], [5.0], [1.0]))
    assert found.station_kw.tolist() == pytest.approx([-2.0])
    assert found.grid_kw.tolist() == pytest.approx([7.0])


def test_signs_and_units_in_and_out() -> None:
    """Half as long slots at the same powers are the same plan for half the energy."""
    hour = allocate(problem([vehicle()], LOAD_KW, LOAD_KW))
    half = vehicle(soc_start_kwh=2.4, soc_goal_kwh=10.8, soc_min_kwh=1.8, soc_max_kwh=12.0)
    short = allocate(problem([half], LOAD_KW, LOAD_KW, slot_h=0.5))
    np.testing.assert_allclose(short.power_kw, hour.power_kw, atol=2e-3)
    np.testing.assert_allclose(short.reactive_kvar, hour.reactive_kvar, atol=2e-3)
    assert hour.power_kw.sum() == pytest.approx(-16.8)  # charges
    assert hour.power_kw[0, 5] > 0.0  # discharges at the peak of the load
    assert hour.reactive_kvar[0, 5] > 1.0  # supplies there
    assert np.max(np.abs(allocate(problem([vehicle()], LOAD_KW, [3.0] * 12)).reactive_kvar)) < 1e-6
    np.testing.assert_allclose(hour.grid_kw, np.array(LOAD_KW) - hour.station_kw)


def test_random_fleets_grow_at_the_end() -> None:
    few, many = random_vehicles(3, 24, 1.0, None, 5), random_vehicles(9, 24, 1.0, None, 5)
    assert many[:3] == few
    assert len({v.commitment for v in many}) == 9
    assert {v.commitment for v in random_vehicles(4, 24, 1.0, 0.3, 5)} == {0.3}
    assert random_vehicles(3, 24, 1.0, None, 6) != few


def test_the_sample_load_has_the_same_hours_at_any_width() -> None:
    assert sample_load_kw(12, 1.0).tolist() == list(LOAD_KW)
    assert sample_load_kw(96, 0.25)[::4].tolist() == pytest.approx([*LOAD_KW, *LOAD_KW])
    assert sample_load_kw(3, 0.5).tolist() == pytest.approx([30.0, 31.0, 32.0])
