"""ROS parameters, each declared once: type, default, bounds, unit, text.

A node names a frozen dataclass whose fields come from `parameter(...)`; `declare` declares them with descriptors,
refuses what the dataclass does not know, and returns the values; `changes` judges what is to be set later.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node
from rclpy.parameter import Parameter

from v2g_nodes.core.errors import InputError

Values = TypeVar("Values")

HOLD_WALL_S = 0.5  # s
_BUILTIN = {"use_sim_time", "start_type_description_service"}


def parameter(
    default: object, text: str, unit: str = "", low: float | None = None, high: float | None = None,
    settable: bool = False,
) -> Any:  # noqa: ANN401 - a dataclass field stands for any type
    """A field of a parameter dataclass.

    Args:
        default: value without an override; an array type when it is an empty tuple.
        text: what it is.
        unit: unit in words.
        low: smallest value allowed.
        high: largest value allowed.
        settable: may be set while the node runs.
    """
    return dataclasses.field(
        default=default, metadata={"text": text, "unit": unit, "low": low, "high": high, "settable": settable}
    )


@dataclasses.dataclass(frozen=True)
class RunParameters:
    """Parameters of every node: the run it is part of."""

    nominal_hz: float = parameter(50.0, "nominal frequency", "Hz", 45.0, 65.0)
    speed: float = parameter(1.0, "ROS seconds per wall second", "", 0.01, 10_000.0)
    start_time_of_day_s: float = parameter(0.0, "local time of day at the start", "s", 0.0, 86400.0)
    trial_clock_step_s: float = parameter(0.0, "trial: ROS time of this node is off by", "s", -1e5, 1e5, settable=True)
    run_started_s: float = parameter(0.0, "wall time (Unix) at which the run started; 0 = when the node starts", "s")
    real_time: str = parameter("auto", "SCHED_FIFO for the process of control nodes: auto, on (and say why not), off")
    audit_file: str = parameter("", "append-only log of parameter changes and operators' actions; empty = none")


@dataclasses.dataclass(frozen=True)
class LimitParameters(RunParameters):
    """Parameters of the three nodes of a module: what bounds it."""

    module_id: int = parameter(1, "slot of the module", "", 1, 64)
    p_max_kw: float = parameter(3.3, "rating", "kW", 0.1, 100.0)
    ramp_kw_per_s: float = parameter(1.0, "largest change of power", "kW/s", 0.001, 100.0)
    soc_min: float = parameter(0.1, "no discharge below", "", 0.0, 1.0)
    soc_max: float = parameter(0.95, "no charge above", "", 0.0, 1.0)
    efficiency: float = parameter(0.96, "one way", "", 0.5, 1.0)
    signal_hold_s: float = parameter(5.0, "how long a silent grid signal is held", "s", 0.1, 3600.0)

    def held_s(self, hold_s: float) -> float:
        """A time for which something is held [s], in fast simulated time at least half a second on the wall.

        Signals and epochs come ten times a second of wall time at the most, so law time passes in strides.
        """
        return max(hold_s, HOLD_WALL_S * self.speed) if self.speed > 1.0 else hold_s


def declare(node: Node, kind: type[Values]) -> Values:
    """Declare and read all parameters of a node.

    Args:
        node: the node.
        kind: frozen dataclass of `parameter` fields.

    Raises:
        InputError: an override is unknown, of a wrong type or out of range.
    """
    fields = dataclasses.fields(kind)  # type: ignore[arg-type]
    known = {f.name for f in fields} | _BUILTIN
    unknown = sorted(k for k in node._parameter_overrides if k not in known and not k.startswith("qos_overrides."))
    if unknown:
        raise InputError(f"{node.get_fully_qualified_name()}: unknown parameter {unknown[0]}, "
                         f"known are {sorted(known)}")
    return kind(**{f.name: _declare_one(node, f) for f in fields})


def changes(node: Node, values: object, parameters: Sequence[Parameter]) -> tuple[dict[str, Any], str]:
    """What setting parameters of a running node would change.

    Args:
        node: the node.
        values: dataclass of `parameter` fields with the values of now.
        parameters: to be set.

    Returns:
        New values by name, and why none of them is allowed; empty when all are. What can't be set but has its value
        already is passed over, so that a dump of all parameters can be loaded again.
    """
    fields = {field.name: field for field in dataclasses.fields(values)}  # type: ignore[arg-type]
    found: dict[str, Any] = {}
    for item in parameters:
        field = fields.get(item.name)
        if field is None and item.name not in _BUILTIN:
            return {}, f"{item.name} is no parameter of this node, known are {', '.join(sorted(fields))}"
        now = node.get_parameter(item.name).value if field is None else getattr(values, item.name)
        value = tuple(item.value) if isinstance(now, tuple) and isinstance(item.value, Sequence) else item.value
        if field is None or not field.metadata["settable"]:
            if _is_same(value, now):
                continue
            return {}, f"{item.name} is read once, at the start: change it in the station file and start again"
        problem = check(field, item.value)
        if problem:
            return {}, problem
        found[item.name] = value
    return found, ""


def _is_same(value: object, now: object) -> bool:
    both_nan = value != value and now != now
    return type(value) is type(now) and (value == now or both_nan)


def check(field: dataclasses.Field[Any], value: object) -> str:
    """Why a value of a parameter is refused; empty if it is allowed.

    Args:
        field: made by `parameter`.
        value: as ROS gives it.
    """
    kind = str(field.type)
    item_kind = kind.removeprefix("tuple[").removesuffix(", ...]")
    items = [value]
    if item_kind != kind:
        if not isinstance(value, Sequence) or isinstance(value, (str, bytes)):
            return f"{field.name} is {value!r}, allowed an array of {item_kind}"
        items = list(value)
    low, high = field.metadata["low"], field.metadata["high"]
    for item in items:
        if type(item).__name__ != item_kind:
            return f"{field.name} is {item!r}, allowed {item_kind}"
        if isinstance(item, (int, float)) and not _allowed(item, low, high, field.default):
            bounds = "a finite number" if low is None and high is None else f"{low} to {high}"
            return f"{field.name} is {item!r}, allowed {bounds} {field.metadata['unit']}".rstrip()
    return ""


def _allowed(number: float, low: float | None, high: float | None, default: object) -> bool:
    """Whether a number is in range; NaN is where it is the default and so stands for not known."""
    if math.isnan(number):
        return isinstance(default, float) and math.isnan(default)
    return (-math.inf if low is None else low) <= number <= (math.inf if high is None else high) and (
        math.isfinite(number)
    )


def _declare_one(node: Node, field: dataclasses.Field[Any]) -> object:
    descriptor = ParameterDescriptor(
        description=f"{field.metadata['text']}{' [' + field.metadata['unit'] + ']' if field.metadata['unit'] else ''}",
        read_only=not field.metadata["settable"],
    )
    low, high = field.metadata["low"], field.metadata["high"]
    if isinstance(field.default, float) and low is not None and high is not None and not math.isnan(field.default):
        descriptor.floating_point_range = [FloatingPointRange(from_value=float(low), to_value=float(high))]
    if type(field.default) is int and low is not None and high is not None:
        descriptor.integer_range = [IntegerRange(from_value=int(low), to_value=int(high))]
    override = node._parameter_overrides.get(field.name)
    if override is not None:
        problem = check(field, override.value)
        if problem:
            raise InputError(f"{node.get_fully_qualified_name()}: parameter {problem}")
    try:
        if field.default == ():
            # An empty array has no type of its own: declared only when there is a value.
            return tuple(node.declare_parameter(field.name, override.value, descriptor).value) if override else ()
        default = list(field.default) if isinstance(field.default, tuple) else field.default
        value = node.declare_parameter(field.name, default, descriptor).value
        return tuple(value) if isinstance(default, list) else value
    except Exception as error:  # rclpy raises a different class for each kind of refusal
        found = override.value if isinstance(override, Parameter) else override
        raise InputError(f"{node.get_fully_qualified_name()}: parameter {field.name} is {found!r}: {error}") from error
