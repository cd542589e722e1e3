"""A module as it is in the live station, without ROS: droop, last gate and simulated hardware, stepped by dt."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from v2g_nodes.core.cost import LocalCost, conversion_loss_kw
from v2g_nodes.core.droop_control import DroopControl, Law
from v2g_nodes.core.epoch_start import OfferRule
from v2g_nodes.core.module_control import ModuleControl
from v2g_nodes.core.release import SetpointRelease
from v2g_nodes.core.supply import BoxedCost
from v2g_nodes.sim.ek3_module import Ek3Plant, Measurement


@dataclass(frozen=True)
class ModuleParts:
    """What a module is made of.

    Args:
        offer: makes its offers.
        plant: the hardware with its vehicle.
        law: droop with this module's gain.
        signal_hold_s: how long a silent grid signal is held [s].
        optimizer_silent_s: how long droop holds a base set-point that is not repeated [s].
        hold_s: pause before base power rises after a change of the group [s].
        rise_s: time of that rise [s].
    """

    offer: OfferRule
    plant: Ek3Plant
    law: Law
    signal_hold_s: float
    optimizer_silent_s: float
    hold_s: float
    rise_s: float


class ScenarioModule:
    """One module, with the part of its optimizer that releases base power (core/release.py).

    Args:
        parts: what it is made of.
        tick_s: step of the simulation [s].
    """

    def __init__(self, parts: ModuleParts, tick_s: float) -> None:
        rating = parts.offer.rating
        self.law = parts.law
        self.offer = parts.offer
        self.base_kw = 0.0  # in force
        self.alive = True
        self._release = SetpointRelease(_ns(parts.hold_s), _ns(parts.rise_s))
        self._silent_s = parts.optimizer_silent_s
        self._plant = parts.plant
        self._droop = DroopControl(parts.law, rating.ramp_kw_per_s, parts.signal_hold_s)
        self.control = ModuleControl(rating, rating.p_max_kw, armed=True, longest_tick_s=tick_s)
        self.seen = parts.plant.measurement()
        self.control.observe(self.seen.observation, signal_valid=True)
        self.control.observe(self.seen.observation, signal_valid=True)  # OFF, STANDBY, READY

    def freeze(self) -> BoxedCost:
        """The offer of this moment."""
        seen = self.seen
        return self.offer.freeze(self.control.range_kw, self.base_kw, seen.soc, seen.temperature_c, seen.vehicle)

    def agree(self, power_kw: float, target_kw: float, now_s: float) -> None:
        """Take what was agreed; see SetpointRelease."""
        self._release.agree(power_kw, target_kw, self.base_kw, _ns(now_s))

    def group_changed(self, owns_target: bool, now_s: float) -> None:
        """Another module is missed; see SetpointRelease."""
        self._release.group_changed(owns_target, _ns(now_s))

    def tick(self, now_s: float, dt_s: float, frequency_hz: float) -> Measurement:
        """One tick of droop, gate and hardware; a dead module's hardware hears nothing.

        Args:
            now_s: law time [s].
            dt_s: since the last tick [s].
            frequency_hz: measured now [Hz].
        """
        if not self.alive:
            self.base_kw = 0.0
            self.seen = self._plant.step(None, dt_s)
            return self.seen
        droop, control = self._droop, self.control
        droop.set_frequency(frequency_hz, now_s)
        released_kw = self._release.power_kw(_ns(now_s))
        if released_kw is not None:
            droop.set_base(released_kw, now_s + self._silent_s)
        inputs = droop.inputs(now_s, dt_s, control.energised, control.limits, control.due_kw, control.setpoint_kw)
        self.base_kw = inputs.base_kw
        gated = control.apply(droop.decide(inputs), dt_s)
        self.seen = self._plant.step(gated.setpoint_kw, dt_s)
        control.observe(self.seen.observation, signal_valid=True)
        return self.seen

    def wear_eur_per_h(self) -> float:
        """What power costs the vehicle at this moment: wear and heat, not the lost energy [EUR/h]."""
        seen, parameters = self.seen, self.offer.cost
        cost = LocalCost(parameters, seen.soc, seen.temperature_c)
        power_kw = self.seen.power_kw
        at_power, at_rest = cost.cost(np.array([power_kw, 0.0])).tolist()
        lost: float = parameters.loss_price_eur_per_kwh * conversion_loss_kw(parameters, power_kw)
        return float(at_power - at_rest - lost)


def _ns(seconds: float) -> int:
    return round(1e9 * seconds)
