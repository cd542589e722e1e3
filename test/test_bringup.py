from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from v2g_nodes.bringup import (
    COLORS,
    SPARES,
    Link,
    NodeSpec,
    Overrides,
    cost_parameters,
    droop_gain_kw_per_hz,
    expected_links,
    plan_text,
    price_span_eur_per_kwh,
    process_plan,
    rating_kw,
    resolve_station,
    validate_inputs,
)
from v2g_nodes.core.cost import CostParameters, LocalCost
from v2g_nodes.core.derating import EK3_DERATING
from v2g_nodes.core.errors import InputError
from v2g_nodes.core.types import Box
from v2g_nodes.sim.ek3_module import build_plant
from v2g_nodes.sim.grid import SyntheticFrequency
from v2g_nodes.station import (
    CanSection,
    Station,
    default_station,
    load_station,
    module_type,
    replace,
    station_edges,
)

EXAMPLE = Path(__file__).resolve().parents[1] / "config" / "station.yaml"
KINDS = {"module", "droop", "optimizer", "grid_signal", "market_planner", "station_monitor", "plant"}


def nodes(station: Station, kind: str, overrides: Overrides | None = None) -> list[NodeSpec]:
    return [node for node in process_plan(station, overrides).nodes if node.kind == kind]


def csv(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


# processes


@pytest.fixture(autouse=True)
def many_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("v2g_nodes.bringup.usable_cores", lambda: 32)


@pytest.mark.parametrize(
    ("cores", "modules", "groups"), [(1, 8, 4), (2, 8, 4), (2, 4, 4), (3, 8, 4), (4, 8, 8), (2, 64, 4)]
)
def test_modules_share_processes_where_cores_are_few(
    cores: int, modules: int, groups: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("v2g_nodes.bringup.usable_cores", lambda: cores)
    station = default_station(modules)
    names = [process.name for process in process_plan(station).processes]
    assert len([name for name in names if name.startswith("ek3_") and not name.endswith("_opt")]) == groups
    apart = replace(station, network=station.network.model_copy(update={"packing": "never", "max_participants": 32}))
    if modules <= 13:
        assert len(process_plan(apart).processes) == 2 * modules + 4



def test_eight_modules_have_a_process_each_and_one_each_for_their_optimizer() -> None:
    plan = process_plan(default_station(8))
    names = [process.name for process in plan.processes]
    assert names == ["plant", "station_monitor", *(f"ek3_{k:02d}" for k in range(1, 9)),
                     *(f"ek3_{k:02d}_opt" for k in range(1, 9)), "market_planner", "grid_signal"]
    third = plan.processes[4]
    assert [node.full_name for node in third.nodes] == ["/ek3_03/module", "/ek3_03/droop"]
    assert [node.full_name for node in plan.processes[12].nodes] == ["/ek3_03/optimizer"]
    assert plan.participants == 20 + SPARES
    assert {process.color for process in plan.processes} <= {*COLORS, "white"}
    assert plan.processes[4].color == plan.processes[12].color


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 64), st.integers(8, 32), st.sampled_from(["ring", "star", "mesh"]))
def test_any_station_fits_and_loses_no_node(modules: int, most: int, topology: str) -> None:
    station = default_station(modules, topology)
    station = replace(station, network=station.network.model_copy(update={"max_participants": most}))
    plan = process_plan(station)
    assert plan.participants <= most
    assert len({process.name for process in plan.processes}) == len(plan.processes)
    assert {node.kind for node in plan.nodes} == KINDS
    full = [node.full_name for node in plan.nodes]
    assert len(full) == len(set(full)) == 3 * modules + 4
    for process in plan.processes:
        kinds = {node.kind for node in process.nodes}
        assert kinds <= {"module", "droop"} or len(kinds) == 1  # droop never shares with an optimizer
        assert process.nice >= 0
    for module in station.modules:  # droop is where its module is: the last hop is a call
        (home,) = [p for p in plan.processes if any(n.full_name == f"/ek3_{module.id:02d}/module" for n in p.nodes)]
        assert f"/ek3_{module.id:02d}/droop" in [node.full_name for node in home.nodes]
    # nobody shares without need
    if 2 * modules + 4 + SPARES <= most:
        assert len(plan.processes) == 2 * modules + 4


def test_sixty_four_modules_need_at_most_twenty_four_participants() -> None:
    plan = process_plan(default_station(64, "mesh"))
    assert plan.participants <= 24
    assert plan.processes[2].name == "ek3_01_08"


def test_packing_can_be_refused() -> None:
    station = default_station(16)
    never = replace(station, network=station.network.model_copy(update={"packing": "never"}))
    with pytest.raises(InputError) as caught:
        process_plan(never)
    assert str(caught.value) == ("key network.packing: never needs 38 DDS participants for 16 modules, "
                                 "allowed 24 (network.max_participants), that is up to 9 modules")


def can_station(count: int, hosts: Sequence[str | None] = (None,), **section: object) -> Station:
    station = default_station(count, "bus")
    modules = tuple(module.model_copy(update={"backend": "can", "host": hosts[index * len(hosts) // count]})
                    for index, module in enumerate(station.modules))
    return replace(station, modules=modules, topology=None, can=CanSection(**section))


def test_a_station_on_the_bus_talks_through_its_bridge_alone() -> None:
    plan = process_plan(can_station(3))
    assert [process.name for process in plan.processes] == [
        "station_monitor", "can_bridge", *(f"ek3_{k:02d}" for k in (1, 2, 3)), *(f"ek3_{k:02d}_opt" for k in (1, 2, 3)),
        "market_planner", "grid_signal"]
    links = expected_links(plan.station, plan.modules)
    curves = {(link.publisher, link.subscriber) for link in links if link.topic.endswith("/curve")}
    assert curves == {(f"/ek3_0{k}/optimizer", "/can_bridge") for k in (1, 2, 3)} | {
        ("/can_bridge", f"/ek3_0{k}/optimizer") for k in (1, 2, 3)}
    assert all(node.parameters["on_bus"] for node in plan.nodes if node.kind == "optimizer")
    assert not any(node.parameters["armed"] for node in plan.nodes if node.kind == "module"), "hardware waits for arm"
    assert not any(node.parameters["in_service"] for node in plan.nodes if node.kind == "droop"), "and enters service"


def test_stand_ins_are_processes_without_ros_and_arm_themselves() -> None:
    plan = process_plan(can_station(2, stand_ins=True))
    devices = [process for process in plan.processes if not process.is_ros]
    assert [process.name for process in devices] == ["ek3_01_hardware", "ek3_02_hardware"]
    assert plan.participants == len(plan.processes) - 2 + SPARES
    assert not {node.kind for node in plan.nodes} & {"can_device"}
    assert all(node.parameters["armed"] for node in plan.nodes if node.kind == "module")
    assert all(node.parameters["in_service"] for node in plan.nodes if node.kind == "droop")
    assert any(node.kind == "plant" for node in plan.nodes)


def test_a_host_runs_its_modules_and_the_first_one_signal_and_plan() -> None:
    station = can_station(4, ("a", "b"))
    plans = {host: process_plan(station, Overrides(host=host)) for host in ("a", "b")}
    for host, ids in (("a", [1, 2]), ("b", [3, 4])):
        assert [module.id for module in plans[host].modules] == ids
        assert plans[host].is_partial
        optimizer = next(node for node in plans[host].nodes if node.kind == "optimizer")
        assert optimizer.parameters["module_ids"] == [1, 2, 3, 4], "it knows the whole station"
        bridge = next(node for node in plans[host].nodes if node.kind == "can_bridge")
        assert bridge.parameters["module_ids"] == ids
    kinds = {host: {node.kind for node in plan.nodes} for host, plan in plans.items()}
    assert kinds["a"] - kinds["b"] == {"grid_signal", "market_planner"}
    assert Link("/grid/signal", "/can_bridge", "/ek3_03/droop") in expected_links(station, plans["b"].modules, False)
    with pytest.raises(InputError, match="host 'c', allowed a, b"):
        process_plan(station, Overrides(host="c"))


def test_modules_on_the_bus_run_in_real_time() -> None:
    with pytest.raises(InputError, match="speed 2 with modules on the CAN bus, allowed is 1"):
        process_plan(can_station(2), Overrides(speed=2.0))


# parameters


@pytest.mark.parametrize("station", [load_station(EXAMPLE), default_station(1), default_station(5, "star")])
def test_parameters_are_what_ros_and_json_can_carry(station: Station) -> None:
    overrides = Overrides(max_kw=2, state_dir="/tmp/x", speed=2)
    for node in process_plan(station, overrides).nodes:
        for key, value in node.parameters.items():
            assert key.isidentifier()
            assert not key.endswith("_"), key
            if isinstance(value, list):
                assert value, f"{node.full_name} {key} is empty"
                assert len({type(item) for item in value}) == 1
                assert type(value[0]) in (int, float, str)
            else:
                assert type(value) in (bool, int, float, str), f"{node.full_name} {key}: {value!r}"
            ending = key.rpartition("_")[2]
            if ending in ("kw", "hz", "s", "ms", "kwh", "c", "v", "kva") and not isinstance(value, (list, str)):
                assert type(value) is float, f"{node.full_name} {key}: {value!r}"
        back = json.loads(json.dumps(dict(node.parameters)))
        assert set(back) == set(node.parameters)


def test_every_node_knows_the_clock() -> None:
    for node in process_plan(default_station(2), Overrides(speed=5.0, start="18:30")).nodes:
        assert node.parameters["use_sim_time"] is True
        assert node.parameters["speed"] == 5.0
        assert node.parameters["start_time_of_day_s"] == 18.5 * 3600
    assert process_plan(default_station(2)).nodes[0].parameters["use_sim_time"] is False


def test_the_optimizer_gets_its_cost_by_name_and_the_graph() -> None:
    station = load_station(EXAMPLE)
    second = nodes(station, "optimizer")[1].parameters
    built = CostParameters(**{key: second[key] for key in CostParameters.__dataclass_fields__})  # type: ignore[arg-type]
    assert built == cost_parameters(station, station.modules[1])
    assert (built.wear_gamma, built.p_max_kw, built.eta_max) == (0.0205, 3.05, 0.955)
    assert second["module_id"] == 2
    assert second["module_ids"] == list(range(1, 9))
    assert second["ratings_kw"][4] == 3.26  # type: ignore[index]
    flat = second["edges_flat"]
    assert isinstance(flat, list)
    assert tuple(zip(flat[::2], flat[1::2], strict=True)) == station_edges(station)
    assert math.isnan(second["import_limit_kw"])  # type: ignore[arg-type]
    assert "edges_flat" not in nodes(default_station(1), "optimizer")[0].parameters


def test_droop_gains_add_up_to_the_station_s() -> None:
    station = default_station(6)
    gains = [droop_gain_kw_per_hz(station, module) for module in station.modules]
    assert sum(gains) == pytest.approx(rating_kw(station) / 0.2)
    for module, gain, droop, optimizer in zip(station.modules, gains, nodes(station, "droop"),
                                              nodes(station, "optimizer"), strict=True):
        assert gain == pytest.approx(5.0 * module_type(station, module).p_max_kw)
        assert droop.parameters["gain_kw_per_hz"] == gain
        assert optimizer.parameters["headroom_kw"] == pytest.approx(gain * 0.05)
    fixed = replace(station, droop=station.droop.model_copy(update={"gain_kw_per_hz": 12.0}))
    assert sum(droop_gain_kw_per_hz(fixed, module) for module in fixed.modules) == pytest.approx(12.0)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 12), st.integers(0, 9), st.floats(0.0, 1.0), st.floats(-20.0, 130.0))
def test_the_price_span_covers_every_response(modules: int, seed: int, soc: float, temperature: float) -> None:
    station = default_station(modules, seed=seed)
    span = price_span_eur_per_kwh(station)
    for module in station.modules:
        parameters = cost_parameters(station, module)
        shares = EK3_DERATING.fractions(temperature, None)
        box = Box(-parameters.p_max_kw * shares[0], parameters.p_max_kw * shares[1])
        cost = LocalCost(parameters, soc, temperature)
        ends = cost.response(np.array([-span, span]), box)
        assert ends == pytest.approx([box.low_kw, box.high_kw])
    assert span < 2.0  # and wastes little: the trial prices lie within it


def test_module_parameters_build_the_plant() -> None:
    station = load_station(EXAMPLE)
    first, fourth = (nodes(station, "module", Overrides(start="17:00"))[k].parameters for k in (0, 3))
    seen = build_plant(first).measurement()
    assert seen.soc == 0.62
    assert seen.vehicle.session_id == "wallbox-1"
    assert seen.vehicle.departure_s == (24 + 7.5) * 3600  # tomorrow morning
    assert seen.vehicle.energy_due_kwh == pytest.approx(9.0)
    assert build_plant(fourth).measurement().vehicle.departure_s is None
    assert build_plant(fourth).measurement().limits.high_kw < 3.12  # 38.5 deg C around
    early = nodes(station, "module", Overrides(start="07:00"))[0].parameters
    assert early["vehicle_departure_s"] == 7.5 * 3600


def test_a_module_without_a_vehicle() -> None:
    station = default_station(2)
    empty = replace(station, modules=(station.modules[0].model_copy(update={"vehicle": None}), station.modules[1]))
    first, second = nodes(empty, "module")
    assert first.parameters["vehicle_plugged"] is False
    assert not build_plant(first.parameters).measurement().vehicle.plugged
    assert second.parameters["vehicle_plugged"] is True


def test_commissioning_cap_and_state_folder() -> None:
    first = nodes(default_station(2), "module", Overrides(max_kw=1.5, state_dir="/run/x"))[0].parameters
    assert (first["max_kw"], first["state_file"]) == (1.5, "/run/x/ek3_01.json")
    plain = nodes(default_station(2), "module")[0].parameters
    assert (plain["max_kw"], plain["state_file"]) == (plain["p_max_kw"], "")


def test_the_frequency_has_one_source() -> None:
    def source(overrides: Overrides, **signal: str) -> tuple[object, object]:
        station = resolve_station(None, overrides)
        station = replace(station, signal=station.signal.model_copy(update=signal))
        assert process_plan(default_station(8), overrides).station == resolve_station(None, overrides)
        return (nodes(station, "grid_signal", overrides)[0].parameters["source"],
                nodes(station, "plant", overrides)[0].parameters["publish_measurement"])

    assert source(Overrides()) == ("synthetic", False)
    assert source(Overrides(), source="topic") == ("topic", False)
    assert source(Overrides(response="swing")) == ("topic", True)


# expected links


def test_links_of_a_line_of_three() -> None:
    links = expected_links(line := default_station(3, "line"), line.modules)
    curves = {(link.publisher, link.subscriber) for link in links if link.topic.endswith("/curve")}
    assert curves == {("/ek3_01/optimizer", "/ek3_02/optimizer"), ("/ek3_02/optimizer", "/ek3_01/optimizer"),
                      ("/ek3_02/optimizer", "/ek3_03/optimizer"), ("/ek3_03/optimizer", "/ek3_02/optimizer")}
    assert all(link.topic.startswith(link.publisher.rpartition("/")[0]) for link in links if "curve" in link.topic)
    assert Link("/ek3_02/base_setpoint", "/ek3_02/optimizer", "/ek3_02/droop") in links
    assert Link("/grid/signal", "/grid_signal", "/ek3_03/droop") in links
    assert len(links) == len(set(links)) == 2 * 2 * 2 + 3 * 6


def test_links_name_nodes_of_the_plan() -> None:
    station = default_station(7, "mesh")
    names = {node.full_name for node in process_plan(station).nodes}
    for link in expected_links(station, station.modules):
        assert {link.publisher, link.subscriber} <= names


# options over the file


def test_options_go_over_the_file(tmp_path: Path) -> None:
    frequency = csv(tmp_path, "f.csv", "time_s,frequency_hz\n0,50\n1,50\n")
    station = resolve_station(EXAMPLE, Overrides(topology="star", seed=5, response="swing", start="7:05",
                                                 frequency_csv=frequency, day="2024-04-09"))
    assert (station.topology, station.seed, station.grid.response) == ("star", 5, "swing")
    assert (station.signal.start, station.signal.day) == ("07:05:00", "2024-04-09")
    assert station.signal.frequency_csv == frequency
    assert station_edges(station)[0] == (1, 2)
    assert len(station.modules) == 8
    assert resolve_station(EXAMPLE, Overrides()) == load_station(EXAMPLE)
    edges = csv(tmp_path, "s.yaml", "version: 1\nedges: [[1, 2]]\nmodules: [{id: 1}, {id: 2}]\n")
    assert resolve_station(edges, Overrides(topology="bus")).edges is None


def test_without_a_file_there_is_a_default_station() -> None:
    assert len(resolve_station(None, Overrides()).modules) == 8
    station = resolve_station(None, Overrides(modules=4, topology="line", seed=3))
    assert station == default_station(4, "line", seed=3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"modules": 0}, "modules 0, allowed 1 to 64"),
        ({"modules": 65}, "modules 65, allowed 1 to 64"),
        ({"topology": "rink"}, "topology 'rink', allowed ring, line, star, bus, mesh"),
        ({"algorithm": "magic"}, "algorithm 'magic', allowed supply_curve"),
        ({"privacy": "veil"}, "privacy 'veil', allowed none, masks"),
        ({"privacy": "masks", "algorithm": "admm"}, "key privacy: 'masks' with algorithm admm, allowed with supply_cu"),
        ({"response": "strong"}, "response 'strong', allowed recorded, swing"),
        ({"start": "25:00"}, "time of day '25:00', allowed HH:MM"),
        ({"speed": 0.0}, "speed 0, allowed 0.01 to 1000"),
        ({"speed": math.nan}, "speed nan, allowed"),
        ({"duration_s": -1.0}, "duration_s -1, allowed 0 to"),
        ({"max_kw": 5.0}, "max_kw 5, allowed 0 to 3.6"),
        ({"seed": -1}, "seed -1, allowed 0 to"),
    ],
)
def test_a_bad_option_is_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError) as caught:
        resolve_station(None, Overrides(**options))  # type: ignore[arg-type]
    assert str(caught.value).startswith(message)


def test_modules_and_a_file_exclude_each_other() -> None:
    with pytest.raises(InputError, match="modules 4 beside station file"):
        resolve_station(EXAMPLE, Overrides(modules=4))


# inputs


def with_inputs(tmp_path: Path, **options: str) -> Station:
    return resolve_station(None, Overrides(modules=2, **options))  # type: ignore[arg-type]


def test_nothing_recorded_is_said_plainly() -> None:
    found = validate_inputs(default_station(2, seed=4))
    assert found.notes == ("frequency: synthetic, seed 4", "price: synthetic, seed 4", "signal: synthetic, seed 4")
    assert found.start_s == 17 * 3600
    assert 49.8 < SyntheticFrequency(4).at(found.start_s) < 50.2
    station = default_station(2)
    bare = replace(station, signal=station.signal.model_copy(update={"missing": "none", "source": "topic"}))
    assert validate_inputs(bare).notes == ("frequency: ROS topic /grid/measurement", "price: none", "signal: none")


def test_the_start_is_where_the_recordings_begin(tmp_path: Path) -> None:
    hour = "".join(f"{3600 * 11 + t},50\n" for t in range(3600))
    short = csv(tmp_path, "f.csv", "second_of_day,frequency_hz\n" + hour)
    later = csv(tmp_path, "s.csv", "second_of_day,signal_pu\n" + hour.replace(",50", ",0.5")[7 * 1200:])
    prices = csv(tmp_path, "p.csv", "hour_local,price_eur_per_mwh\n" + "".join(f"{h},1\n" for h in range(24)))
    station = with_inputs(tmp_path, frequency_csv=short, prices_csv=prices)
    assert validate_inputs(station).start_s == 11 * 3600
    both = with_inputs(tmp_path, frequency_csv=short, prices_csv=prices, signal_csv=later)
    assert validate_inputs(both).start_s > 11 * 3600
    assert validate_inputs(with_inputs(tmp_path, prices_csv=prices)).start_s == 0.0
    asked = with_inputs(tmp_path, frequency_csv=short, start="11:30")
    assert validate_inputs(asked).start_s == 11.5 * 3600
    with pytest.raises(InputError, match=r"start 17:00:00 has no frequency in .*f.csv, allowed 11:00:00 to 12:00:00"):
        validate_inputs(with_inputs(tmp_path, frequency_csv=short, start="17:00"))


def test_a_recording_that_ends_before_the_run_is_said(tmp_path: Path) -> None:
    short = csv(tmp_path, "f.csv", "time_s,frequency_hz\n" + "".join(f"{t},50\n" for t in range(100)))
    station = with_inputs(tmp_path, frequency_csv=short)
    assert not any("the recording ends" in note for note in validate_inputs(station, Overrides(duration_s=90.0)).notes)
    assert "frequency: the recording ends 00:01:40, before the run" in validate_inputs(
        station, Overrides(duration_s=60.0, speed=2.0)).notes


def test_recordings_that_never_meet_are_refused(tmp_path: Path) -> None:
    morning = csv(tmp_path, "f.csv", "time_s,frequency_hz\n0,50\n1,50\n")
    evening = csv(tmp_path, "s.csv", "hour_local,signal_pu\n20,0\n21,0\n")
    with pytest.raises(InputError, match="no time of day in common: frequency 00:00:00 to 00:00:02"):
        validate_inputs(with_inputs(tmp_path, frequency_csv=morning, signal_csv=evening))


def test_a_recording_of_the_other_grid_is_refused(tmp_path: Path) -> None:
    path = csv(tmp_path, "f.csv", "time_s,frequency_hz\n0,60.0\n1,59.9\n")
    with pytest.raises(InputError, match=r"f.csv: mean frequency 59.95 Hz, allowed within 5 Hz of nominal_hz \(50\)"):
        validate_inputs(with_inputs(tmp_path, frequency_csv=path))


@pytest.mark.parametrize("option", ["frequency_csv", "prices_csv", "signal_csv", "sessions_csv"])
def test_a_bad_recording_is_named(tmp_path: Path, option: str) -> None:
    path = csv(tmp_path, "bad.csv", "a,b\n1,2\n")
    with pytest.raises(InputError, match=r"bad.csv:1: no column for .* found a, b"):
        validate_inputs(with_inputs(tmp_path, **{option: path}))
    with pytest.raises(InputError, match="No such file"):
        validate_inputs(with_inputs(tmp_path, **{option: str(tmp_path / "none.csv")}))


def test_a_plan_file_is_read(tmp_path: Path) -> None:
    path = csv(tmp_path, "plan.csv", "hour_local,base_kw,capacity_kw\n17,1,2\n18,0,-1\n")
    station = default_station(2)
    planned = replace(station, plan=station.plan.model_copy(update={"rule": "csv", "csv": path}))
    with pytest.raises(InputError, match=r"plan.csv:3: capacity_kw is -1, allowed 0 to"):
        validate_inputs(planned)


def test_sessions_say_who_is_plugged_in(tmp_path: Path) -> None:
    path = csv(tmp_path, "s.csv", "arrival,departure,energy_kwh\n16:00,18:00,4\n17:30,19:00,5\n17:40,19:00,6\n")
    station = with_inputs(tmp_path, sessions_csv=path, start="17:00")
    plan = process_plan(station)
    assert plan.inputs.notes[-1] == f"sessions: 2 from {path}, 1 found no free module"
    first, second = (build_plant(node.parameters) for node in plan.nodes if node.kind == "module")
    assert first.measurement().vehicle.session_id == "line 2"
    assert not second.measurement().vehicle.plugged
    assert second.step(0.0, 1800.0).vehicle.session_id == "line 3"


def test_the_planner_knows_modules_and_sessions_to_come(tmp_path: Path) -> None:
    path = csv(tmp_path, "s.csv", "arrival,departure,energy_kwh\n16:00,18:00,4\n17:30,19:00,5\n")
    station = with_inputs(tmp_path, sessions_csv=path, start="17:00")
    [planner] = nodes(station, "market_planner")
    p = planner.parameters
    assert (p["session_modules"], p["session_ids"]) == ([1, 2], ["line 2", "line 3"])
    assert p["session_energy_kwh"] == [4.0, 5.0]
    assert (p["session_arrival_s"], p["session_departure_s"]) == ([57600.0, 63000.0], [64800.0, 68400.0])
    assert p["price_slope"] == pytest.approx(2.9e-3 / 2)
    for k, module in enumerate(station.modules):
        kind, parameters = module_type(station, module), cost_parameters(station, module)
        cost = LocalCost(parameters, 0.5, module.ambient_c)
        power_kw, a, b = kind.p_max_kw, p["quadratics"][k], p["linears"][k]  # type: ignore[index]
        assert p["powers_kw"][k] == pytest.approx(power_kw - 0.05 * power_kw / 0.2)  # type: ignore[index]
        for u in (power_kw, 0.5 * power_kw):
            assert a * u * u + b * u == pytest.approx(float(cost.cost(np.array(u))), rel=1e-9)


def test_sessions_may_be_of_another_day_than_the_recordings(tmp_path: Path) -> None:
    path = csv(tmp_path, "s.csv", "arrival,departure,energy_kwh\n2019-03-05T08:00,2019-03-05T10:00,4\n"
               "2019-03-06T08:00,2019-03-06T10:00,5\n")  # fmt: skip
    prices = csv(tmp_path, "p.csv", "hour_local,price_eur_per_mwh\n" + "".join(f"{h},{h}\n" for h in range(24)))
    station = with_inputs(tmp_path, sessions_csv=path, prices_csv=prices, sessions_day="2019-03-06", start="07:00")
    assert [session.energy_kwh for session in validate_inputs(station).sessions[1]] == [5.0]


def with_load(path: str) -> Station:
    station = default_station(2)
    return replace(station, signal=station.signal.model_copy(update={"site_load_csv": path}))


def test_a_recorded_site_load_takes_the_place_of_the_constant(tmp_path: Path) -> None:
    path = csv(tmp_path, "l.csv", "hour_local,site_load_kw\n" + "".join(f"{h},{h}\n" for h in range(24)))
    station = with_load(path)
    for kind in ("market_planner", "grid_signal", "plant"):
        assert nodes(station, kind)[0].parameters["site_load_csv"] == path
    assert f"site_load: recording {path}" in validate_inputs(station).notes
    with pytest.raises(InputError, match=r"b.csv:2: site_load_kw is 'nan'"):
        validate_inputs(with_load(csv(tmp_path, "b.csv", "hour_local,site_load_kw\n0,nan\n")))


def test_the_acceptance_inputs(shared_data: Path) -> None:
    overrides = Overrides(
        modules=8, frequency_csv=str(shared_data / "freq_CE_1s_2024-09-03.csv"),
        prices_csv=str(shared_data / "price_DE-LU_2024-04-09.csv"),
        signal_csv=str(shared_data / "pjm_regd_2s_day.csv"), start="17:00", duration_s=60.0)
    plan = process_plan(resolve_station(None, overrides), overrides)
    assert plan.inputs.start_s == 61200.0
    assert len(plan.inputs.notes) == 3
    assert plan.nodes[-1].parameters["source"] == "csv"
    sessions = Overrides(modules=4, sessions_csv=str(shared_data / "ev_sessions_acn_caltech_2019-03.csv"))
    assert validate_inputs(resolve_station(None, sessions)).sessions[1]


def test_the_plan_as_text() -> None:
    text = plan_text(process_plan(default_station(2)))
    assert text.splitlines()[0] == "10 DDS participants (2 of them spare)"
    assert "ek3_02           /ek3_02/module  /ek3_02/droop" in text
    assert text.splitlines()[-1] == "signal: synthetic, seed 0"
