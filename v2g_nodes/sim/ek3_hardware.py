"""What an EK3 module is built like: ratings, efficiency table, times. The truth, not the controller's belief."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field

from v2g_nodes.core.battery import EK3_DEVICES, EK3_JUNCTION_K_PER_W, EK3_THERMAL_TAU_S
from v2g_nodes.core.derating import EK3_DERATING, Derating

# EK3 specification: share of the rating, efficiency (targets at 400 V); the best is 96.2 %
EFFICIENCY_TABLE = ((0.10, 0.934), (0.25, 0.948), (0.50, 0.960), (0.75, 0.962), (0.90, 0.960), (1.00, 0.953))
EFFICIENCY_BEST = 0.962
STANDBY_KW = 0.003  # kW, EK3 specification: below 3 W
PEAK_OVER_RATING = 3.6 / 3.3  # EK3 specification: 3.6 kW short peak; beyond it the hardware trips
TRIP_JUNCTION_C = 150.0  # deg C, chosen: usual limit of SiC and Si power switches


@dataclass(frozen=True)
class Ek3Hardware:
    """What the module is built like; the names are those of the node's parameters.

    Args:
        p_max_kw: rating, both directions [kW].
        ramp_kw_per_s: largest change of its reference [kW/s].
        soc_min: state of charge at which it stops discharging.
        soc_max: state of charge at which it stops charging.
        efficiency: one way, at its best; scales the table.
        command_timeout_s: silence after which it ramps to zero [s].
        actuator_lag_s: time constant with which power follows the reference [s].
        thermal_resistance_k_per_w: junction to ambient, per device [K/W].
        thermal_devices: devices that share the loss.
        thermal_tau_s: [s].
        derating: power against temperature.
    """

    p_max_kw: float = 3.3
    ramp_kw_per_s: float = 1.0
    soc_min: float = 0.10
    soc_max: float = 0.95
    efficiency: float = 0.96
    command_timeout_s: float = 0.3
    actuator_lag_s: float = 0.02
    thermal_resistance_k_per_w: float = EK3_JUNCTION_K_PER_W
    thermal_devices: int = EK3_DEVICES
    thermal_tau_s: float = EK3_THERMAL_TAU_S
    derating: Derating = field(default=EK3_DERATING)

    def efficiency_at(self, power_kw: float) -> float:
        """One-way efficiency at a power [kW], either sign: the table, linear between its points, flat beyond."""
        load = abs(power_kw) / self.p_max_kw
        k = bisect_right(EFFICIENCY_TABLE, load, key=lambda point: point[0])
        if k == 0 or k == len(EFFICIENCY_TABLE):
            value = EFFICIENCY_TABLE[min(k, len(EFFICIENCY_TABLE) - 1)][1]
        else:
            (x0, y0), (x1, y1) = EFFICIENCY_TABLE[k - 1], EFFICIENCY_TABLE[k]
            value = y0 + (y1 - y0) * (load - x0) / (x1 - x0)
        return value * self.efficiency / EFFICIENCY_BEST
