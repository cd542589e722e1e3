"""What stands behind a module node: hardware or its simulation, one interface."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

from v2g_nodes.canbus.frame_watch import FrameLine
from v2g_nodes.canbus.link_state import LinkState
from v2g_nodes.core.errors import InputError, V2gError
from v2g_nodes.sim.ek3_module import Ek3Plant, Measurement, build_plant
from v2g_nodes.sim.kept_state import KeptState


class BackendError(V2gError, RuntimeError):
    """The hardware does not do what it was asked for."""


class Health(NamedTuple):
    """How the bus serves a module: its link, every message that was heard, and what is new for the log."""

    link: LinkState
    frames: Sequence[FrameLine]
    news: Sequence[str]


class Backend(Protocol):
    """A module's hardware."""

    def step(self, setpoint_kw: float | None, dt_s: float, enable: bool) -> Measurement:
        """Send a set-point (None = none) and read what the hardware reports after dt [s], above 0.

        Without `enable` nothing may be energised: the set-point is on its way to zero, and so is the hardware.
        """

    def measurement(self) -> Measurement:
        """What the hardware reports now."""

    def problem(self) -> str:
        """Why the hardware can't be used at the moment although it has not tripped; empty when it can."""

    def health(self) -> Health | None:
        """How the bus to the hardware is; None without a bus."""

    def reset_fault(self) -> None:
        """Clear a trip whose cause is gone.

        Raises:
            BackendError: why it is not cleared.
        """

    def apply(self, changes: Mapping[str, Any]) -> None:
        """Take over parameters that were set while the node runs, those that it has a use for."""

    def checkpoint(self) -> Callable[[], None]:
        """Freeze what must survive a restart of the process; the call returned keeps it and may take its time.

        Nothing for real hardware. The call raises OSError where it can't be kept.
        """

    def close(self) -> None:
        """Let go of the hardware."""


class SimulatedModule:
    """The module plant, its state kept in a file so that it survives a restart of the process.

    Args:
        plant: the module.
        state_file: where its state is kept; empty = nowhere.
        speed: law seconds per wall second; the plant lives through the time it was away for.

    Raises:
        InputError: the file holds something else or can't be read.
    """

    def __init__(self, plant: Ek3Plant, state_file: str, speed: float = 1.0) -> None:
        self._plant = plant
        self._kept = KeptState(state_file)
        self._speed = speed
        self._kept.restore(plant, self._clock_s())

    def step(self, setpoint_kw: float | None, dt_s: float, enable: bool) -> Measurement:
        """See Backend."""
        return self._plant.step(setpoint_kw, dt_s)

    def measurement(self) -> Measurement:
        """See Backend."""
        return self._plant.measurement()

    def problem(self) -> str:
        """See Backend."""
        return ""

    def health(self) -> None:
        """See Backend: there is no bus."""

    def reset_fault(self) -> None:
        """See Backend."""
        self._plant.reset_fault()

    def apply(self, changes: Mapping[str, Any]) -> None:
        """See Backend: the last gate caps power."""

    def checkpoint(self) -> Callable[[], None]:
        """See Backend."""
        return partial(self._kept.keep, self._plant.to_state(self._clock_s()))

    def close(self) -> None:
        """See Backend."""

    def _clock_s(self) -> float:
        """A clock that goes on while the process is down, as fast as law time [s]."""
        return time.time() * self._speed


def open_backend(kind: str, parameters: Mapping[str, Any]) -> Backend:
    """Backend by the station file's key `backend`.

    Raises:
        InputError: there is none of that kind.
    """
    if kind == "can":
        from v2g_nodes.nodes.can_backend import open_can_module  # what it imports costs a simulated module too much

        return open_can_module(parameters)
    if kind != "sim":
        raise InputError(f"backend is {kind!r}, allowed sim, can")
    return SimulatedModule(build_plant(parameters), parameters["state_file"], parameters["speed"])
