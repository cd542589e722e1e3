"""Parameter file, page of parameters and tables of the README say what the declarations say."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
import rclpy
from rclpy.context import Context

from v2g_nodes.nodes.base import ManagedNode
from v2g_nodes.nodes.host import KINDS

from .reference import COMMAND, ROOT, generated, settable_table, with_tables

FILES = ["config/parameters.yaml", "docs/parameters.md", "README.md"]


@pytest.mark.parametrize("name", FILES)
def test_it_is_up_to_date(name: str, pytestconfig: pytest.Config) -> None:
    path = ROOT / name
    text = generated()[path]
    if pytestconfig.getoption("update"):
        path.write_text(text, encoding="utf-8")
    assert path.is_file(), f"make it by {COMMAND}"
    assert path.read_text(encoding="utf-8") == text, f"{name} is out of date, write it anew by {COMMAND}"
    assert {*generated()} == {ROOT / each for each in FILES}


@pytest.mark.parametrize("kind", KINDS)
def test_nodes_read_the_parameter_file(ros_domain_id: int, kind: str) -> None:
    context = Context()
    arguments = ["--ros-args", "--params-file", str(ROOT / "config" / "parameters.yaml")]
    rclpy.init(args=arguments, context=context, domain_id=ros_domain_id)
    node: ManagedNode[Any] = KINDS[kind](kind, "/ek3_01", {}, context)
    read = {name for name in node._parameter_overrides if name != "use_sim_time"}
    declared = {field.name for field in fields(KINDS[kind].PARAMETERS) if field.default != ()}
    values, defaults = node.p, KINDS[kind].PARAMETERS()
    node.destroy_node()
    context.try_shutdown()
    assert read == declared
    assert repr(values) == repr(defaults)


def test_what_is_settable_is_in_the_table() -> None:
    rows = {line.split("`")[1]: line for line in settable_table().splitlines()[2:]}
    assert {"armed", "max_kw", "trial_clock_step_s"} <= rows.keys()
    assert "| every node |" in rows["trial_clock_step_s"]
    assert "p_max_kw" not in rows


def test_only_what_stands_between_the_marks_is_written() -> None:
    page = "before\n<!-- generated: a -->\n\nold\n\n<!-- end: a -->\nafter"
    assert with_tables(page, {"a": "new"}) == page.replace("old", "new")
    with pytest.raises(ValueError, match="one pair of marks for b"):
        with_tables(page, {"b": "new"})
