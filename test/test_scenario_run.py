"""Scenarios played for a short time: real agents, real control, simulated hardware."""

from __future__ import annotations

import math

import pytest

from v2g_nodes.cli.scenario_pool import play
from v2g_nodes.cli.scenario_station import build_parts, clusters
from v2g_nodes.core.dispatch.lockstep import LockstepAgent
from v2g_nodes.sim import scenario_exchange
from v2g_nodes.sim.scenario_figures import FIGURES, Judgement, ScenarioResult, judge
from v2g_nodes.sim.scenario_file import FaultSection, FrequencySection, Scenario, load_scenario, shortened
from v2g_nodes.sim.scenario_graph import station_graph
from v2g_nodes.sim.scenario_run import ScenarioRun
from v2g_nodes.sim.scenario_tally import Moment, Tally


def short(name: str, duration_s: float, **changes: object) -> Scenario:
    return shortened(load_scenario(name, FIGURES), duration_s).model_copy(update=changes)


def test_basic_delivers_its_target_optimally_and_within_limits() -> None:
    result = play(short("BASIC", 120.0), "supply_curve")
    figures = result.figures
    assert figures["epochs"] == 120
    assert figures["gap_max"] < 1e-3
    assert figures["equal_split_gap_median"] > 0.05  # the modules differ enough for the gap to mean something
    assert figures["balance_error_kw_max"] < 1e-3 * result.rating_kw
    assert figures["constraint_violations"] == figures["gate_clips"] == 0
    assert (figures["rounds_median"], figures["rounds_max"]) == (5, 10)
    measured, owed = result.series["measured_kw"], result.series["target_kw"]
    assert owed[-1] == pytest.approx(20.0)
    ideal = result.series["ideal_kw"]
    assert all(m == pytest.approx(t + d, abs=0.1) for m, t, d in zip(measured[10:], owed[10:], ideal[10:], strict=True))
    soc = result.series["soc"]
    assert soc[-1] < soc[0]


def test_the_same_seed_gives_the_same_run_and_another_one_does_not() -> None:
    def figures(seed: int) -> list[float]:
        found = play(short("ROBUST", 60.0, seed=seed), "supply_curve").figures
        return [found[name] for name in FIGURES if name in found and name != "speed_over_real_time"]

    assert figures(1) == pytest.approx(figures(1), rel=0, abs=0, nan_ok=True)
    assert figures(1) != pytest.approx(figures(2), nan_ok=True)


def test_survivors_of_two_deaths_share_the_target_and_who_is_cut_off_owes_nothing() -> None:
    scenario = short("ROBUST", 120.0)
    run = ScenarioRun(scenario, build_parts(scenario, "supply_curve"))
    result = run.play()
    figures, modules = result.figures, run.modules
    assert (figures["failures"], figures["islands"]) == (2, 2)
    assert 0.5 < figures["reagreed_s_max"] < 2.0  # silence is noticed after 0.5 s
    assert figures["gap_max"] < 1e-3
    assert figures["constraint_violations"] == 0
    dead = [modules[k] for k in (25, 49)]
    assert all(not module.alive and module.seen.power_kw == pytest.approx(0.0, abs=1e-6) for module in dead)
    assert modules[50].base_kw == 0.0  # its only link was module 49
    total = math.fsum(module.base_kw for module in modules.values())
    assert total == pytest.approx(50.0, abs=1e-3 * result.rating_kw)
    assert figures["over_target_kw_max"] < 1e-3 * result.rating_kw


def test_after_a_death_the_others_take_over_gradually() -> None:
    """What the dead module gave is missing at first: nobody takes more before everyone can have noticed."""
    scenario = short("ROBUST", 60.0)
    result = play(scenario, "supply_curve")
    begun_s = 20.0  # of the first epoch with a death: 1800 s of 7200 s, in the epoch that begins next
    base = dict(zip(result.series["time_s"], result.series["base_kw"], strict=True))
    assert base[begun_s - 1.0] == pytest.approx(50.0, abs=0.1)
    assert base[begun_s] < 49.9
    assert base[begun_s + 1.0] < base[begun_s + 3.0] < base[begun_s + 8.0]
    assert base[begun_s + 8.0] == pytest.approx(50.0, abs=0.1)


def test_loss_costs_time_and_nothing_else() -> None:
    lossy = short("ROBUST", 50.0, faults=FaultSection(loss=0.1))
    with_loss = play(lossy, "supply_curve").figures
    without = play(lossy.model_copy(update={"faults": FaultSection()}), "supply_curve").figures
    assert with_loss["agree_s_max"] > 3 * without["agree_s_max"]
    for name in ("gap_max", "rounds_median", "rounds_max", "energy_kwh"):
        assert with_loss[name] == pytest.approx(without[name], rel=0.02, abs=1e-4)


def test_stations_answer_frequency_by_the_droop_law() -> None:
    result = play(short("FREQUENCY", 12.0), "supply_curve")
    series = result.series
    settled = [k for k, time_s in enumerate(series["time_s"]) if time_s > 6.0]
    gain = result.rating_kw / 0.2
    for k in settled:
        deviation = series["frequency_hz"][k] - 50.0
        beyond = math.copysign(max(abs(deviation) - 0.01, 0.0), deviation)
        assert series["ideal_kw"][k] == pytest.approx(-gain * beyond)
        assert series["measured_kw"][k] - series["base_kw"][k] == pytest.approx(-gain * beyond, abs=2.0)


def test_the_answer_to_frequency_does_not_push_the_base_power_after_it() -> None:
    """With deviations far beyond what the ramp covers in an epoch the boxes still hold the target."""
    wild = FrequencySection(sigma_hz=0.05)
    figures = play(short("FREQUENCY", 30.0, frequency=wild), "supply_curve").figures
    assert figures["clipped_epochs"] == 0


def test_l200_agrees_over_its_heads_in_rounds_of_a_tree() -> None:
    result = play(short("SCALE", 4.0), "supply_curve")
    assert result.modules == 200
    assert result.figures["rounds_max"] == 22  # two passes of the 11 that a tree over heads and leaves is wide
    assert result.figures["gap_max"] < 1e-3


def test_agents_are_those_of_the_live_station(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[LockstepAgent] = []
    real = scenario_exchange.build_agent

    def spy(*arguments: object) -> LockstepAgent:
        built.append(real(*arguments))  # type: ignore[arg-type]
        return built[-1]

    monkeypatch.setattr(scenario_exchange, "build_agent", spy)
    play(short("BASIC", 16.0), "newton")
    assert len(built) == 160
    assert {type(agent).__name__ for agent in built} == {"NewtonAgent"}


def test_modules_of_a_station_differ_as_the_scenario_constants_say() -> None:
    modules = [module for station in clusters(short("SCALE", 10.0)) for module in station.modules]
    assert len(modules) == len(station_graph("L200")[0])
    wear = [module.wear_gamma or 0.0 for module in modules]
    assert 0.003 <= min(wear) < 0.004
    assert 0.05 < max(wear) <= 0.06
    assert all(3.0 <= (module.p_max_kw or 0.0) <= 3.3 and 0.2 <= module.soc <= 0.8 for module in modules)
    assert len({module.ambient_c for module in modules[::20]}) > 1  # clusters differ too


def moment(time_s: float, **values: float) -> Moment:
    return Moment(**dict.fromkeys(Moment.__dataclass_fields__, 0.0) | {"time_s": time_s} | values)


def test_settling_is_timed_from_the_step_to_the_first_tick_within_a_hundredth_of_the_rating() -> None:
    tally = Tally(rating_kw=100.0, ticks=6, tick_s=1.0)
    for time_s, measured in enumerate((0.0, 0.0, 3.0, 6.0, 9.5, 10.0)):
        tally.tick(moment(float(time_s), target_kw=0.0 if time_s < 2 else 10.0, measured_kw=measured))
    assert tally.figures()["settle_s_max"] == 3.0


def test_droop_gain_and_error_compare_the_answer_with_the_law() -> None:
    tally = Tally(rating_kw=100.0, ticks=4, tick_s=1.0)
    for time_s, ideal in enumerate((4.0, -2.0, 0.0, 6.0)):
        tally.tick(moment(float(time_s), ideal_kw=ideal, base_kw=10.0, target_kw=10.0, measured_kw=10.0 + 0.9 * ideal))
    assert tally.figures()["droop_gain_ratio"] == pytest.approx(0.9)
    assert tally.figures()["droop_error_kw_p99"] == pytest.approx(0.6, abs=0.02)


@pytest.mark.parametrize(
    ("target_kw", "base_kw", "over_kw"), [(10.0, 11.0, 1.0), (10.0, 9.0, 0.0), (-10.0, -12.0, 2.0), (-10.0, -9.0, 0.0)]
)
def test_over_the_target_means_in_its_direction(target_kw: float, base_kw: float, over_kw: float) -> None:
    tally = Tally(rating_kw=100.0, ticks=1, tick_s=1.0)
    tally.tick(moment(0.0, target_kw=target_kw, base_kw=base_kw))
    assert tally.figures()["over_target_kw_max"] == over_kw


def verdict(algorithm: str = "supply_curve", **figures: float) -> dict[str, Judgement]:
    scenario = load_scenario("FREQUENCY", FIGURES)
    return {item.figure: item for item in judge(ScenarioResult(scenario, 50, 160.0, algorithm, figures))}


def test_limits_are_upper_lower_or_shares_of_the_rating() -> None:
    judged = verdict(gap_max=2e-3, droop_gain_ratio=0.98, delivered_error_kw_p99=1.59, gate_clips=0.0)
    assert not judged["gap_max"].met
    assert not judged["droop_gain_ratio"].met
    assert judged["delivered_error_kw_p99"].met  # 1 % of 160 kW
    assert judged["gate_clips"].met
    assert not judged["constraint_violations"].met  # not measured
    assert str(judged["gap_max"]) == "gap_max 0.002, allowed up to 0.001"
    assert str(judged["constraint_violations"]) == "constraint_violations not measured, allowed up to 0"


def test_algorithms_that_stop_on_their_way_are_judged_by_their_own_tolerance() -> None:
    assert verdict("admm", gap_max=5e-3)["gap_max"].met
    assert not verdict("newton", gap_max=5e-3)["gap_max"].met
