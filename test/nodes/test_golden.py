"""Golden replays: each node, played alone from what it heard in a station's run, says what it said then.

`--update` plays the station anew and writes test/golden/.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from rclpy.context import Context

from v2g_nodes.bringup import process_plan
from v2g_nodes.bringup_inputs import Overrides
from v2g_nodes.nodes.module_node import LOCAL_MODULES
from v2g_nodes.station import default_station

from .stage import BEGIN_S, STEADY_NS, Stage, message_of, plain

# can_bridge is not among them: its frames are timed by threads and a bus; test_can_bridge.py has their bytes.
GOLDEN = Path(__file__).resolve().parents[1] / "golden"
RUN_NS = 4_500_000_000
TOLERANCE = 1e-12
RATE_HZ = 25.0  # of droop: few numbers tell what 200 Hz would
HEARTBEAT_MS = 125.0
#: played together: droop reaches its module by a call
UNITS = {"module_droop": ("/ek3_01/module", "/ek3_01/droop"), "optimizer": ("/ek3_01/optimizer",),
         "grid_signal": ("/grid_signal",), "market_planner": ("/market_planner",), "plant": ("/plant",)}  # fmt: skip
LEFT_OUT = ("/diagnostics", "parameters_in_force")  # words for people; parameters have tests of their own
BIG = "settings"  # of each record; a text that says nothing about what the node has worked out


def specs() -> list[dict[str, Any]]:
    """Nodes of a small station, in start order."""
    overrides = Overrides(start="18:00")
    plan = process_plan(default_station(2, "line", "supply_curve"), overrides)
    chosen = []
    for node in plan.nodes:
        if node.kind == "station_monitor":
            continue
        parameters = {**node.parameters, "run_started_s": float(BEGIN_S)}
        if node.kind in ("module", "droop"):
            parameters["rate_hz"] = RATE_HZ
        if node.kind == "optimizer":
            parameters["heartbeat_ms"] = HEARTBEAT_MS
        chosen.append({"kind": node.kind, "name": node.name, "namespace": node.namespace, "parameters": parameters})
    return chosen


def full_name(spec: dict[str, Any]) -> str:
    return f"{spec['namespace'].rstrip('/')}/{spec['name']}"


def told(stage: Stage, names: tuple[str, ...]) -> list[Any]:
    """What these nodes said, as JSON holds it."""
    lines = []
    for now_ns, node, topic, message in stage.said:
        if node in names and not topic.endswith(LEFT_OUT):
            fields = plain(message)
            fields.pop(BIG, None)
            lines.append([now_ns - STEADY_NS, topic, _short(fields)])
    return lines


def _short(fields: dict[str, Any]) -> dict[str, Any]:
    """Without what is empty: most of a record is."""
    return {name: value for name, value in fields.items() if value not in ([], 0, "", False)}


def update(context: Context, patch: pytest.MonkeyPatch) -> None:
    """Play the station and keep what each unit heard and said."""
    stage = Stage(context, patch, connected=True)
    try:
        stage.start(specs())
        stage.run(STEADY_NS + RUN_NS)
        for unit, names in UNITS.items():
            heard = [[now_ns - STEADY_NS, hearer, topic, _short(plain(message))]
                     for now_ns, hearer, topic, message in stage.heard if hearer in names]  # fmt: skip
            content = {"nodes": [spec for spec in specs() if full_name(spec) in names], "heard": heard,
                       "said": told(stage, names)}  # fmt: skip
            lines = [f'"nodes":{json.dumps(content["nodes"])}']
            for key in ("heard", "said"):
                items = ",\n".join(json.dumps(item, separators=(",", ":")) for item in content[key])
                lines.append(f'"{key}":[\n{items}]')
            (GOLDEN / f"{unit}.json").write_text("{" + ",\n".join(lines) + "}\n", encoding="utf-8")
    finally:
        stage.close()


@pytest.fixture
def stage(context: Context, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Any:  # noqa: ANN401
    """An empty stage, its clock at the beginning."""
    if request.config.getoption("--update"):
        with pytest.MonkeyPatch.context() as patch:
            update(context, patch)
    stage = Stage(context, monkeypatch, connected=False)
    yield stage
    stage.close()
    monkeypatch.undo()
    assert LOCAL_MODULES == {}


@pytest.mark.parametrize("unit", UNITS)
def test_a_node_says_what_it_said_when_it_hears_what_it_heard(stage: Stage, unit: str) -> None:
    golden = json.loads((GOLDEN / f"{unit}.json").read_text(encoding="utf-8"))
    stage.start(golden["nodes"])
    for now_ns, hearer, topic, fields in golden["heard"]:
        stage.hear(STEADY_NS + now_ns, hearer, topic, message_of(stage.stream(topic).message, fields))
    stage.run(STEADY_NS + RUN_NS)
    said = json.loads(json.dumps(told(stage, UNITS[unit])))
    assert [line[:2] for line in said] == [line[:2] for line in golden["said"]], "when, and on which topic"
    for now, then in zip(said, golden["said"], strict=True):
        assert alike(now[2], then[2]), f"{now[0]} ns, {now[1]}:\n{now[2]}\nwas\n{then[2]}"


def alike(now: Any, then: Any) -> bool:  # noqa: ANN401 - whatever JSON holds
    """Equal, numbers within the tolerance."""
    if isinstance(then, dict):
        return isinstance(now, dict) and now.keys() == then.keys() and all(alike(now[k], then[k]) for k in then)
    if isinstance(then, list):
        return isinstance(now, list) and len(now) == len(then) and all(map(alike, now, then))
    if isinstance(then, float) and isinstance(now, float) and math.isfinite(then):
        return math.isclose(now, then, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return repr(now) == repr(then)


def test_golden_files_stay_small() -> None:
    assert 10_000 < sum(file.stat().st_size for file in GOLDEN.glob("*.json")) < 200_000
