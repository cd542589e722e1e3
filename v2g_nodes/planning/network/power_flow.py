"""AC power flow of all slots of a day at once, by backward and forward sweeps over complex voltages.

Recursion: currents of all buses from their loads and voltages, currents of branches as sums of what is below them,
voltages as the slack voltage less the drops on the way. Each sweep is two matrix products over (buses, slots). It
contracts about as much as the voltage drops, and is independent of the cone program that plans are made with.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from v2g_nodes.core.types import FloatArray
from v2g_nodes.planning.network.grid import Grid

ComplexArray = NDArray[np.complex128]
SWEEPS_MAX = 500
CHANGE_PU = 1e-14  # of a voltage in the last sweep
CHANGE_ROUNDED_PU = 1e-12  # the same where sweeps no longer get nearer: only rounding is left
SETTLED_PU = 1e-9  # a slot whose voltages still move by more has no solution that the sweeps find


@dataclass(frozen=True)
class Flow:
    """What flows, shape (buses, slots) each, per unit; entries of branches are those of the branch that ends there.

    Args:
        voltage: complex voltages.
        p: active power into each branch at the parent's end; row 0 is what the slack bus supplies in all.
        q: the same, reactive.
        current2: squared current of each branch; row 0 is 0.
        settled: shape (slots,), whether a solution was found; other columns mean nothing.
    """

    voltage: ComplexArray
    p: FloatArray
    q: FloatArray
    current2: FloatArray
    settled: NDArray[np.bool_]

    @property
    def v2(self) -> FloatArray:
        """Squared voltages."""
        return self.voltage.real**2 + self.voltage.imag**2


def power_flow(grid: Grid, p_load: FloatArray, q_load: FloatArray, start: ComplexArray | None = None) -> Flow:
    """Solve the AC power flow.

    Args:
        grid: radial.
        p_load: net active load of each bus, shape (buses, slots) [pu].
        q_load: net reactive load [pu].
        start: voltages to begin with, as those of a near solution.
    """
    impedance = (grid.r + 1j * grid.x)[:, None]
    load, shunt = p_load + 1j * q_load, (grid.shunt_g + 1j * grid.shunt_b)[:, None]
    below, above = grid.below, np.ascontiguousarray(grid.below.T)
    above[:, 0] = 0.0
    voltage = np.full(p_load.shape, grid.slack_voltage, dtype=complex) if start is None else start
    worst, moved = np.inf, np.full(p_load.shape[1], np.inf)
    with np.errstate(all="ignore"):  # slots without a solution run away
        for _ in range(SWEEPS_MAX):
            current = below @ (np.conj(load / voltage) + shunt * voltage)
            updated = grid.slack_voltage - above @ (impedance * current)
            moved = np.abs(updated - voltage).max(axis=0)
            before, worst = worst, float(np.max(moved, initial=0.0, where=np.isfinite(moved)))
            voltage = updated
            if worst <= CHANGE_PU or (worst >= before and worst <= CHANGE_ROUNDED_PU):
                break
        sent = np.where(grid.parent[:, None] >= 0, voltage[grid.parent], voltage[0]) * np.conj(current)
        current2 = current.real**2 + current.imag**2
    current2[0] = 0.0
    return Flow(voltage, sent.real, sent.imag, current2, moved <= SETTLED_PU)
