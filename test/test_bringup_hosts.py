"""One station on several hosts that talk over topics: each has all it needs to go on alone, and no name twice."""

from __future__ import annotations

import math
import time

import pytest

from v2g_nodes.bringup import Inputs, Overrides, expected_links, process_plan, validate_inputs
from v2g_nodes.core.errors import InputError
from v2g_nodes.station import Station, default_station, replace

HOSTS = ("hall-a", "hall-b")


def station_of(hosts: tuple[str, ...], modules: int = 4, topology: str = "ring") -> Station:
    """Modules in turns of equal length on these hosts."""
    station = default_station(modules, topology)
    changed = tuple(module.model_copy(update={"host": hosts[k * len(hosts) // modules]})
                    for k, module in enumerate(station.modules))
    return replace(station, modules=changed)


def test_hosts_share_no_node_and_need_none_of_each_other() -> None:
    station = station_of(HOSTS)
    first, second = (process_plan(station, Overrides(host=host)) for host in HOSTS)
    names = [{node.full_name for node in plan.nodes} for plan in (first, second)]
    assert not names[0] & names[1]
    for plan, own, space in ((first, names[0], ""), (second, names[1], "/host_hall_b")):
        assert {f"{space}/{kind}" for kind in ("plant", "grid_signal", "market_planner", "station_monitor")} <= own
        monitor = next(node for node in plan.nodes if node.kind == "station_monitor")
        links = monitor.parameters["links"]
        assert isinstance(links, list)
        ends = {end for link in links for end in str(link).split()[1:]}
        assert ends <= own, "start-up waits for nobody elsewhere"
        droop = next(node.full_name for node in plan.nodes if node.kind == "droop")
        assert f"/grid/signal {space}/grid_signal {droop}" in links
        assert any("not waited for" in note for note in plan.inputs.notes)


def test_the_whole_station_on_one_host_is_as_without_names_of_hosts() -> None:
    named, plain = process_plan(station_of(HOSTS)), process_plan(default_station(4))
    assert [node.full_name for node in named.nodes] == [node.full_name for node in plain.nodes]


def test_every_host_is_a_source_of_its_own() -> None:
    station = station_of(("a", "b", "c"), 6)
    sources = [next(node for node in process_plan(station, Overrides(host=host)).nodes if node.kind == "grid_signal")
               for host in ("a", "b", "c")]
    assert [node.parameters["source_id"] for node in sources] == [1, 2, 3]
    late = station.model_copy(update={"signal": station.signal.model_copy(update={"source_id": 254})})
    with pytest.raises(InputError, match=r"signal.source_id: 254, allowed up to 253"):
        process_plan(late, Overrides(host="c"))


@pytest.mark.parametrize(("edges", "joined"), [
    (((1, 2), (2, 3), (3, 4), (4, 1)), (True, True)),
    (((1, 3), (3, 2), (2, 4)), (False, False)),
    (((1, 2), (2, 3), (2, 4)), (True, False)),
])  # fmt: skip
def test_start_up_wants_one_group_only_of_modules_that_can_be_one(
    edges: tuple[tuple[int, int], ...], joined: tuple[bool, bool]
) -> None:
    station = station_of(HOSTS).model_copy(update={"topology": None, "edges": edges})
    for host, expected in zip(HOSTS, joined, strict=True):
        nodes = process_plan(station, Overrides(host=host)).nodes
        assert next(node.parameters["joined"] for node in nodes if node.kind == "station_monitor") == expected


def test_hosts_started_at_different_times_tell_the_same_time_of_day(monkeypatch: pytest.MonkeyPatch) -> None:
    station = station_of(HOSTS)
    station = station.model_copy(update={"signal": station.signal.model_copy(update={"utc_offset_h": 2.0})})
    shown = []
    for host, unix_s in zip(HOSTS, (1_700_000_000.7, 1_700_000_512.2), strict=True):
        monkeypatch.setattr(time, "time", lambda unix_s=unix_s: unix_s)
        inputs: Inputs = validate_inputs(station, Overrides(host=host))
        assert inputs.started_unix_s is not None
        shown.append(inputs.start_s + (1_700_001_000.0 - inputs.started_unix_s))
    assert shown[0] == shown[1]
    assert math.isclose(shown[0], (1_700_001_000.0 + 7200.0) % 86400.0)
    assert validate_inputs(station, Overrides()).started_unix_s is None


@pytest.mark.parametrize(("options", "message"), [
    ({"start": "17:00"}, "start 17:00:00 with host hall-a, allowed is none"),
    ({"speed": 2.0}, "speed 2 with host hall-a, allowed is 1"),
    ({"response": "swing"}, "grid.response: swing with host hall-a, allowed is recorded"),
])  # fmt: skip
def test_what_hosts_cannot_do_each_for_itself_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        process_plan(station_of(HOSTS), Overrides(host="hall-a", **options))  # type: ignore[arg-type]


def test_links_of_the_first_host_are_those_of_a_station() -> None:
    station = default_station(2)
    assert expected_links(station, station.modules) == expected_links(station, station.modules, True, "/")
