from __future__ import annotations

import math
import re
import typing
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from v2g_nodes.core.errors import InputError
from v2g_nodes.station import (
    Module,
    Station,
    default_station,
    is_on_bus,
    load_station,
    module_type,
    replace,
    station_edges,
    station_hosts,
    topology_name,
)
from v2g_nodes.station_file import allowed_text

EXAMPLE = Path(__file__).resolve().parents[1] / "config" / "station.yaml"
SMALL = "version: 1\nmodules:\n  - {id: 1}\n  - {id: 2}\n  - {id: 3}\n"


def load_text(folder: Path, text: str) -> Station:
    path = folder / "s.yaml"
    path.write_text(text)
    return load_station(path)


def refused(folder: Path, text: str) -> str:
    with pytest.raises(InputError) as caught:
        load_text(folder, text)
    message = str(caught.value)
    assert message.startswith(str(folder / "s.yaml"))
    assert "\n" not in message
    return message.removeprefix(str(folder / "s.yaml"))


# the example


def test_the_example_loads() -> None:
    station = load_station(EXAMPLE)
    assert len(station.modules) == 8
    assert station_edges(station) == ((1, 2), (1, 8), (2, 3), (3, 4), (4, 5), (5, 6), (6, 7), (7, 8))
    assert station.modules[0].vehicle is not None
    assert station.modules[0].vehicle.departure == "07:30"


def test_the_station_on_a_bus_loads_and_everybody_hears_everybody() -> None:
    station = load_station(EXAMPLE.with_name("station_can.yaml"))
    assert is_on_bus(station)
    assert topology_name(station) == "bus"
    assert len(station_edges(station)) == 8 * 7 // 2
    assert station.can.stand_ins


def _keys(model: BaseModel, path: str = "") -> typing.Iterator[tuple[str, object]]:
    for key, value in model:
        if isinstance(value, BaseModel):
            yield from _keys(value, f"{path}{key}.")
        elif key not in ("modules", "module_types", "edges", "name"):
            yield f"{path}{key}", value


def test_the_example_shows_every_key_with_its_default() -> None:
    shown = load_station(EXAMPLE)
    minimal = Station(version=1, topology="ring", modules=(Module(id=1),))
    assert dict(_keys(shown)) == dict(_keys(minimal))
    assert shown.module_types == minimal.module_types
    text = EXAMPLE.read_text()
    sections = [name for name, info in Station.model_fields.items() if isinstance(info.annotation, type)]
    assert len(sections) > 8
    for name in Station.model_fields:
        assert f"{name}:" in text


def _fields(model: type[BaseModel]) -> typing.Iterator[tuple[str, FieldInfo]]:
    for name, info in model.model_fields.items():
        yield f"{model.__name__}.{name}", info
        for kind in (info.annotation, *typing.get_args(info.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from _fields(kind)


@pytest.mark.parametrize(("name", "info"), list(_fields(Station)))
def test_every_key_has_text_and_every_number_bounds_and_a_unit(name: str, info: FieldInfo) -> None:
    assert info.description
    kinds = {info.annotation, *typing.get_args(info.annotation)}
    if kinds & {float, int}:
        assert " to " in allowed_text(info), name
        extra = info.json_schema_extra
        assert isinstance(extra, dict)
        suffixes = {"kw": "kW", "hz": "Hz", "s": "s", "ms": "ms", "kwh": "kWh", "c": "deg C", "v": "V", "kva": "kVA"}
        ending = name.rpartition("_")[2]
        if ending in suffixes and "_per_" not in name:
            assert extra["unit"] == suffixes[ending], name


# what is refused, with file, line and key


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SMALL + "  - {id: 4, soc: 1.4}\n", ":6: key modules[3].soc: 1.4, allowed 0 to 1"),
        (SMALL + "  - id: 4\n    soc: -0.1\n", ":7: key modules[3].soc: -0.1, allowed 0 to 1"),
        (SMALL + "  - {id: 4, soc: .nan}\n", ":6: key modules[3].soc: nan, allowed 0 to 1"),
        (SMALL + "  - {id: 4, soc: half}\n", ":6: key modules[3].soc: 'half', allowed 0 to 1"),
        (SMALL + "  - {id: 4, soc: true}\n", ":6: key modules[3].soc: True, allowed 0 to 1"),
        (SMALL + "  - {id: 4, p_max_kw: -3}\n", ":6: key modules[3].p_max_kw: -3, allowed 0.1 to 3.6 kW or null"),
        (SMALL + "  - {id: 65}\n", ":6: key modules[3].id: 65, allowed whole number 1 to 64"),
        (SMALL + "  - {id: 0}\n", ":6: key modules[3].id: 0, allowed whole number 1 to 64"),
        (SMALL + "  - {id: 4.0}\n", ":6: key modules[3].id: 4.0, allowed whole number 1 to 64"),
        (SMALL + "  - {soc: 0.5}\n", ":6: key modules[3].id: missing, allowed whole number 1 to 64"),
        (SMALL + "  - {id: 2}\n", ":6: key modules[3].id: 2 is also modules[1], allowed is once"),
        (SMALL + "  - {id: 4, type: ek4}\n", ":6: key modules[3].type: 'ek4', allowed ek3"),
        (SMALL + "  - {id: 4, vehicle: {departure: 25:00}}\n",
         ":6: key modules[3].vehicle.departure: '25:00', allowed text HH:MM or null"),
        (SMALL + "  - {id: 4, vehicle: 3}\n", ":6: key modules[3].vehicle: 3, allowed `key: value` lines or null"),
        (SMALL + "topology: rink\n", ":6: key topology: 'rink', allowed ring, line, star, bus, mesh or null"),
        (SMALL + "edges: [[1, 2], [2, 9]]\n", ":6: key edges[1]: [2, 9] names module 9, allowed are 1, 2, 3"),
        (SMALL + "edges: [[1, 2], [1, 1]]\n", ":6: key edges: edge [1, 1] joins a module to itself"),
        (SMALL + "edges:\n- [1, 2]\n", ":6: key edges: graph is not connected: [3] | [1, 2]; allowed is one part"),
        (SMALL + "edges:\n- [1, 2]\n- [1, 2, 3]\n",
         ":8: key edges[1]: a list of 3, allowed a list of pairs of ids such as [1, 2], or null"),
        (SMALL + "topology: ring\nedges: [[1, 2], [2, 3]]\n",
         ":7: key edges: given beside topology ring, allowed is one of the two"),
        (SMALL + "droop: {deadband_hz: -0.01}\n", ":6: key droop.deadband_hz: -0.01, allowed 0 to 0.5 Hz"),
        (SMALL + "droop: {settings: {response_s: 1}}\n",
         ":6: key droop.settings: {'response_s': 1} with law plain, allowed is {}"),
        (SMALL + "droop: {law: ieee1547, settings: {response_s: 0.1}}\n",
         ":6: key droop.settings: response_s (IEEE 1547-2018 table 24) is 0.1 s, allowed 0.2 to 10 s"),
        (SMALL + "inverter: {law: ieee1547, settings: {q1_pu: 2}}\n",
         ":6: key inverter.settings: q1_pu (IEEE 1547-2018 table 8) is 2 pu, allowed 0 to 1 pu"),
        (SMALL + "dispatch: {silence_ms: 90}\n",
         ":6: key dispatch.silence_ms: 90, allowed above 2 heartbeats (100 ms)"),
        (SMALL + "timeouts: {optimizer_silent_s: 1.3}\n",
         ":6: key timeouts.optimizer_silent_s: 1.3, allowed up to 1.2 s (2.5 dispatch.silence_ms less a heartbeat)"),
        (SMALL + "dispatch: {epoch_period_s: 6}\n",
         ":6: key dispatch.setpoint_valid_s: 6, allowed above epoch_period_s (6 s)"),
        (SMALL + "timeouts: {droop_silent_s: 6}\n",
         ":6: key timeouts.droop_silent_s: 6, allowed below signal_hold_s (5 s)"),
        (SMALL + "signal: {period_s: 5}\n", ":1: key timeouts.signal_hold_s: 5, allowed above signal.period_s (5 s)"),
        (SMALL + "module_types: {ek3: {command_timeout_s: 1}}\n",
         ":6: key module_types.ek3.command_timeout_s: 1, allowed up to timeouts.droop_silent_s (0.5 s)"),
        (SMALL + "module_types: {ek3: {soc_min: 0.96}}\n",
         ":6: key module_types.ek3.soc_min: 0.96, allowed below soc_max (0.95)"),
        (SMALL + "plan: {base_fraction: 0.5}\n",
         ":6: key plan.base_fraction: 0.5 with capacity_fraction 0.6, allowed is a sum up to 1"),
        (SMALL + "plan: {rule: csv}\n", ":6: key plan.csv: null, allowed is a file name with rule csv"),
        (SMALL + "plan: {slot_s: 1000}\n", ":6: key plan.slot_s: 1000, allowed is a whole part of a day such as 300, "),
        (SMALL + "planner: vally\n", ":6: key planner: 'vally', allowed price_threshold, csv, none, market, valley, "),
        (SMALL + "planner: market\nsignal: {missing: none}\n",
         ":1: key market.prices_csv: null with signal.missing none, allowed is a file name with rule market"),
        (SMALL + "planner: valley\nplan: {rule: csv}\n",
         ":6: key planner: 'valley' beside plan.rule 'csv', allowed is one of the two"),
        ("version: 1\nplanner: valley\nmodules: [{id: 1, host: a}, {id: 2, host: b}]\n",
         ":1: key plan.rule: 'valley' with modules on several hosts, allowed is another rule"),
        (SMALL + "seed: 1\nseed: 2\n", ":7: key seed: appears again (first on line 6), allowed is once"),
        (SMALL + "modules: []\n", ":6: key modules: appears again (first on line 2), allowed is once"),
        (SMALL + "nominal_hz: 55\n", ":6: key nominal_hz: 55, allowed 50, 60"),
        (SMALL + "droop: [1]\n", ":6: key droop: a list of 1, allowed `key: value` lines"),
        ("modules: [{id: 1}]\n", ":1: key version: missing, allowed 1"),
        ("version: 2\nmodules: [{id: 1}]\n", ":1: key version: 2, allowed 1"),
        ("version: 1\nmodules: []\n", ":2: key modules: 0 modules, allowed 1 to 64"),
        ("version: 1\nmodules:\n-\n", ":3: key modules[0]: null, allowed a list of modules such as {id: 1}"),
        ("version: 1\n", ":1: key modules: missing, allowed a list of modules such as {id: 1}"),
        ("- 1\n", ":1: the file holds a list of 1, allowed is `key: value` lines"),
        ("", ": the file is empty, allowed is a station file of version 1"),
    ],
)
def test_a_bad_key_is_named(tmp_path: Path, text: str, message: str) -> None:
    assert refused(tmp_path, text).startswith(message)


def test_an_unknown_key_gets_the_closest_one_suggested(tmp_path: Path) -> None:
    message = refused(tmp_path, SMALL + "  - {id: 4, sox: 0.5}\n")
    assert message.startswith(":6: key modules[3].sox: unknown key, did you mean soc? allowed id, type, ")
    assert "did you mean droop?" in refused(tmp_path, SMALL + "drop: {}\n")
    assert "did you mean p_max_kw?" in refused(tmp_path, SMALL + "module_types: {ek3: {p_max: 3.0}}\n")
    assert "did you mean" not in refused(tmp_path, SMALL + "zzzzzz: 1\n")


def test_more_than_one_fault_is_counted(tmp_path: Path) -> None:
    assert refused(tmp_path, SMALL + "seed: -1\nnominal_hz: 1\n").endswith("(and 1 more)")


def test_a_file_that_is_no_yaml_or_not_there(tmp_path: Path) -> None:
    assert refused(tmp_path, "version: [1\nname: x\n").startswith(":2: not YAML: ")
    with pytest.raises(InputError, match=r"none.yaml: No such file.*allowed"):
        load_station(tmp_path / "none.yaml")
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not UTF-8"):
        load_station(tmp_path / "b.yaml")


def test_scalars_mean_what_they_look_like(tmp_path: Path) -> None:
    station = load_text(tmp_path, SMALL + "name: on\nsignal: {start: 17:30, day: 2024-04-09, period_s: 5e-1}\n")
    assert (station.name, station.signal.start, station.signal.day) == ("on", "17:30", "2024-04-09")
    assert station.signal.period_s == 0.5


@pytest.mark.parametrize("text", ["planner: valley", "plan: {rule: valley}", "planner: valley\nplan: {rule: valley}",
                                  "planner: valley\nplan: {rule: price_threshold}"])
def test_the_planner_has_a_short_key(tmp_path: Path, text: str) -> None:
    station = load_text(tmp_path, f"{SMALL}{text}\n")
    assert (station.planner, station.plan.rule) == (None, "valley")
    assert load_text(tmp_path, SMALL).plan.rule == "price_threshold"


def test_an_integer_is_a_float_where_one_is_wanted(tmp_path: Path) -> None:
    station = load_text(tmp_path, SMALL + "droop: {rate_hz: 100}\n")
    assert type(station.droop.rate_hz) is float


def test_file_names_are_relative_to_the_station_file(tmp_path: Path) -> None:
    station = load_text(tmp_path, SMALL + "signal: {frequency_csv: data/f.csv, prices_csv: /x/p.csv}\n")
    assert station.signal.frequency_csv == str(tmp_path / "data" / "f.csv")
    assert station.signal.prices_csv == "/x/p.csv"
    assert station.signal.signal_csv is None


def test_modules_lay_their_own_values_over_their_type(tmp_path: Path) -> None:
    station = load_text(tmp_path, (
        "version: 1\nmodule_types: {ek3: {p_max_kw: 3.0}, old: {p_max_kw: 2.0, soc_max: 0.8}}\n"
        "modules: [{id: 7}, {id: 3, type: old, wear_gamma: 0.05}, {id: 5, p_max_kw: 2.5}]\n"))
    kinds = [module_type(station, module) for module in station.modules]
    assert [kind.p_max_kw for kind in kinds] == [3.0, 2.0, 2.5]
    assert [kind.wear_gamma for kind in kinds] == [0.02, 0.05, 0.02]
    assert kinds[1].soc_max == 0.8
    assert station_edges(station) == ((3, 5), (3, 7), (5, 7))


def test_no_vehicle_is_possible(tmp_path: Path) -> None:
    station = load_text(tmp_path, SMALL + "  - {id: 4, vehicle: null}\n")
    assert station.modules[3].vehicle is None
    assert station.modules[0].vehicle is not None


def test_explicit_edges_are_kept(tmp_path: Path) -> None:
    station = load_text(tmp_path, SMALL + "edges: [[3, 1], [2, 1], [1, 2]]\n")
    assert station_edges(station) == ((1, 2), (1, 3))


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=60))
def test_only_input_errors_come_out_of_any_text(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "s.yaml"
    path.write_text(SMALL + text, encoding="utf-8")
    with suppress(InputError):
        load_station(path)


def test_an_anchor_that_holds_itself_is_refused(tmp_path: Path) -> None:
    assert "refers to itself" in refused(tmp_path, SMALL + "edges: &a [*a]\n")


# the default station


@pytest.mark.parametrize("modules", [1, 2, 4, 8, 16, 64])
def test_default_modules_differ_over_the_whole_spread(modules: int) -> None:
    station = default_station(modules)
    assert [module.id for module in station.modules] == list(range(1, modules + 1))
    gammas = sorted(module.wear_gamma or 0.0 for module in station.modules)
    assert gammas[0] >= 0.003
    assert gammas[-1] <= 0.06
    # one module in each of n equal parts of the logarithmic range
    width = math.log(0.06 / 0.003) / modules
    parts = [int(math.log(gamma * 0.999 / 0.003) / width) if gamma > 0.00301 else 0 for gamma in gammas]
    assert all(abs(part - k) <= 1 for k, part in enumerate(parts))
    for module in station.modules:
        kind = module_type(station, module)
        assert 3.0 <= kind.p_max_kw <= 3.3
        assert 0.95 <= kind.efficiency <= 0.97
        assert 0.2 <= module.soc <= 0.8
        assert 25.0 <= module.ambient_c <= 40.0
        assert module.vehicle is not None
        assert 40.0 <= module.vehicle.capacity_kwh <= 80.0
        assert module.vehicle.departure is None
        assert module.vehicle.energy_due_kwh == 0.0
    if modules >= 8:
        assert gammas[-1] / gammas[0] > 8


def test_the_default_station_is_reproducible_and_seeded() -> None:
    assert default_station(8) == default_station(8)
    assert default_station(8, seed=1).modules != default_station(8).modules
    assert default_station(8, "star").topology == "star"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0,), "modules 0, allowed 1 to 64"),
        ((65,), "modules 65, allowed 1 to 64"),
        ((-1,), "modules -1, allowed 1 to 64"),
        ((8, "rink"), "topology 'rink', allowed ring, line, star, bus, mesh"),
        ((8, "ring", "magic"), "algorithm 'magic', allowed supply_curve"),
        ((8, "ring", "supply_curve", -1), "seed -1, allowed 0 to"),
    ],
)
def test_default_station_refuses(arguments: tuple[typing.Any, ...], message: str) -> None:
    with pytest.raises(InputError) as caught:
        default_station(*arguments)
    assert str(caught.value).startswith(message)


def test_a_change_is_checked_like_a_file() -> None:
    station = default_station(3)
    assert replace(station, topology="star").topology == "star"
    with pytest.raises(InputError, match="key modules: 0 modules, allowed 1 to 64"):
        replace(station, modules=())


# the CAN bus

ON_BUS = "version: 1\nmodules:\n  - {id: 1, backend: can}\n  - {id: 2, backend: can}\n"


@pytest.mark.parametrize(("more", "message"), [
    ("topology: ring\n", "topology: 'ring', allowed is bus or null: all modules are on the CAN bus"),
    ("privacy: masks\n", "privacy: 'masks' with all modules on the CAN bus, allowed is none"),
    ("edges: [[1, 2]]\n", "edges: .*allowed is bus or null"),
    ("can: {interface: socketcan, channel: can0, stand_ins: true}\n", "stand_ins: true on socketcan can0, allowed"),
    ("can: {bitrate: 5}\n", "bitrate"),
    ("can: {options: [1]}\n", "allowed names and values"),
])  # fmt: skip
def test_a_bad_bus_is_named(tmp_path: Path, more: str, message: str) -> None:
    assert re.search(message, refused(tmp_path, ON_BUS + more))


def test_a_virtual_socketcan_interface_may_have_stand_ins(tmp_path: Path) -> None:
    text = ON_BUS + "can: {interface: socketcan, channel: vcan0, stand_ins: true, key_file: bus.key}\n"
    station = load_text(tmp_path, text)
    assert station.can.key_file == str(tmp_path / "bus.key")


def test_with_one_module_off_the_bus_prices_go_over_topics(tmp_path: Path) -> None:
    station = load_text(tmp_path, ON_BUS + "  - {id: 3}\n")
    assert not is_on_bus(station)
    assert topology_name(station) == "ring"


def test_either_all_modules_have_a_host_or_none(tmp_path: Path) -> None:
    text = "version: 1\nmodules:\n  - {id: 1, host: b}\n  - {id: 2, host: a}\n  - {id: 3}\n"
    assert "modules[2].host: null, allowed is a name, as other modules have one" in refused(tmp_path, text)
    assert station_hosts(load_text(tmp_path, text.replace("id: 3", "id: 3, host: b"))) == ("b", "a")
