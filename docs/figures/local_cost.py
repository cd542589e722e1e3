"""Cost, marginal cost and best response of a module, and what wear does to them."""

from __future__ import annotations

import numpy as np
from drawing import axes, text_of

from v2g_nodes.bringup_parameters import cost_parameters
from v2g_nodes.core.cost import LocalCost
from v2g_nodes.core.types import Box
from v2g_nodes.station import default_station


def draw() -> str:
    """The figure."""
    station = default_station(4)
    powers = np.linspace(-3.2, 3.2, 641)
    figure, places = axes(3, 2.7, 8.6)
    for module in station.modules[:3]:
        parameters = cost_parameters(station, module)
        cost = LocalCost(parameters, module.soc, module.ambient_c + 10.0)
        marginal = cost.marginal(powers)
        prices = np.linspace(-0.3, 0.3, 601)
        name = f"γ = {parameters.wear_gamma:.3g}"
        places[0].plot(powers, cost.cost(powers), label=name)
        places[1].plot(powers, np.where(np.abs(powers) < 0.006, np.nan, marginal))
        places[2].plot(prices, cost.response(prices, Box(-2.6, 2.6)))
    for axis, title, x, y in zip(places, ("Cost f(p)", "Marginal cost f′(p)", "Best response p(λ) in a box"),
                                 ("power p [kW]", "power p [kW]", "price λ [EUR/kWh]"),
                                 ("[EUR/h]", "[EUR/kWh]", "power [kW]"), strict=True):
        axis.set_title(title)
        axis.set_xlabel(x)
        axis.set_ylabel(y)
    places[0].legend(loc="upper center")
    return text_of(figure)
