"""What a dispatch algorithm may ask of a module: its answers to prices. Cost and box stay with the module."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from v2g_nodes.core.cost import LocalCost
from v2g_nodes.core.types import Box, FloatArray


class Supply(Protocol):
    """One module's answers, all inside its box and non-decreasing in the price."""

    def response(self, prices: FloatArray) -> FloatArray:
        """The p that minimises f(p) - price p, for each price.

        Args:
            prices: [EUR/kWh], shape (k,); minus and plus infinity are allowed and give the ends of the box.

        Returns:
            Powers [kW], shape (k,).
        """

    def slope(self, price: float) -> float:
        """Slope of the response at a price [kW per EUR/kWh]; 0 where the module does not move."""

    def proximal(self, price: float, weight: float) -> float:
        """The p [kW] that minimises f(p) + weight p^2 / 2 - price p.

        Args:
            price: [EUR/kWh].
            weight: at least 0 [EUR/h/kW^2].
        """


@dataclass(frozen=True)
class BoxedCost:
    """The supply of a module with this cost and box (see LocalCost).

    Args:
        cost: of the module.
        box: feasible range [kW].
    """

    cost: LocalCost
    box: Box

    def response(self, prices: FloatArray) -> FloatArray:
        """See Supply."""
        return self.cost.response(prices, self.box)

    def slope(self, price: float) -> float:
        """See Supply."""
        return float(self.cost.response_slope(np.array([price]), self.box)[0])

    def proximal(self, price: float, weight: float) -> float:
        """See Supply."""
        return float(self.cost.with_square(weight).response(np.array([price]), self.box)[0])
