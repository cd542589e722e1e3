"""What the bus costs the optimum: set-points rounded to the wire's 0.2 W, agreed powers to float32."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from v2g_nodes.canbus.codec import Codec
from v2g_nodes.core.cost import CostParameters, LocalCost
from v2g_nodes.core.dispatch.reference import dispatch_gap, dispatch_optimum
from v2g_nodes.core.types import Box

EK3 = CostParameters(
    p_max_kw=3.3, eta_max=0.97, alpha=0.02, beta=0.01, loss_price_eur_per_kwh=0.10, wear_gamma=0.01, wear_delta=1.5,
    soc_kappa=2.0, thermal_psi=2e-4, thermal_theta_k_per_kw2=2.0, thermal_threshold_c=50.0,
)  # fmt: skip
SETPOINT = {"valid_ms": 200, "enable": 1, "reset": 0, "max_kw": 3.6}
NO_STATE = {signal.name: 0 for signal in Codec.load().spec("NEIGHBOR_STATE").signals}


def commanded(power_kw: float) -> float:
    """A set-point after it crossed the bus."""
    codec = Codec.load()
    return codec.unpack("SETPOINT", codec.pack("SETPOINT", SETPOINT | {"power_kw": power_kw}))["power_kw"]


def agreed(power_kw: float) -> float:
    """An agreed power after it crossed the bus."""
    codec = Codec.load()
    return codec.unpack("NEIGHBOR_STATE", codec.pack("NEIGHBOR_STATE", NO_STATE | {"agreed_kw": power_kw}))["agreed_kw"]


@pytest.mark.parametrize("modules", [8, 64])
@pytest.mark.parametrize("share", [-0.8, -0.05, 0.02, 0.5, 0.97])
def test_rounding_on_the_wire_keeps_the_optimum(modules: int, share: float) -> None:
    rng = np.random.default_rng(modules)
    wear = np.exp(rng.uniform(np.log(0.003), np.log(0.06), modules))  # EUR/h/kW^1.5, the spread of a real station
    costs = [LocalCost(replace(EK3, wear_gamma=float(gamma)), 0.5, 30.0) for gamma in wear]
    boxes = [Box(-3.3, 3.3)] * modules
    powers = dispatch_optimum(costs, boxes, share * 3.3 * modules).powers_kw
    for cross, gap_max, error_max_kw in ((commanded, 1e-5, 1e-4), (agreed, 1e-7, 1.3e-7)):
        crossed = [cross(power) for power in powers]
        assert np.abs(np.subtract(crossed, powers)).max() <= error_max_kw * (1 + 1e-9)
        assert dispatch_gap(costs, boxes, crossed) < gap_max
