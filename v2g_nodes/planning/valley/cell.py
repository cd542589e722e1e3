"""Wear of a lithium iron phosphate battery, from the cell to the pack (Zou, Ma, Hiskens 2016)."""

from __future__ import annotations

from dataclasses import dataclass

from v2g_nodes.core.checks import check_positive, check_range

S_PER_H = 3600.0
SOURCE_QUADRATIC_EUR_PER_KW2H = 0.0012  # of the setting behind the source's eta < 1.017
SOURCE_LINEAR_EUR_PER_KWH = 0.11
CELL_V = 3.3  # V, nominal, of a lithium iron phosphate cell
CELL_AH = 2.5  # Ah, of a common 26650 cell


@dataclass(frozen=True)
class Cell:
    """What losing capacity costs: loss rate d(I, V) = b1 + b2 I + b3 V + b4 I^2 + b5 V^2 + b6 I V + b7 V^3 [Ah/s].

    At the nominal voltage only b4 and the sum b2 + b6 V decide how a pack is charged; the rest is a constant.

    Args:
        price_eur_per_wh: of cell capacity.
        quadratic: b4 [Ah/s per A^2].
        linear: b2 + b6 V_nom [Ah/s per A].
        voltage_v: nominal.
    """

    price_eur_per_wh: float
    quadratic: float
    linear: float
    voltage_v: float = CELL_V

    def __post_init__(self) -> None:
        check_range("price of cells", self.price_eur_per_wh, 0.0, 1e3, "EUR/Wh")
        check_positive("quadratic of the cell", self.quadratic)
        check_range("linear of the cell", self.linear, 0.0, 1.0)
        check_positive("voltage of the cell", self.voltage_v, "V")

    def pack(self, cells: float) -> tuple[float, float]:
        """Wear of a pack at power u [kW]: a u^2 + b u [EUR/h].

        From M * price * V * d(1000 u / (M V), V), per hour.

        Args:
            cells: M, in the pack.

        Returns:
            a [EUR/kW^2 h], b [EUR/kWh].
        """
        check_positive("cells of a pack", cells)
        a = 1e6 * self.price_eur_per_wh * S_PER_H * self.quadratic / (cells * self.voltage_v)
        return a, 1e3 * self.price_eur_per_wh * S_PER_H * self.linear


def cells_of(energy_kwh: float) -> float:
    """Cells of a pack of so much energy."""
    return energy_kwh * 1e3 / (CELL_V * CELL_AH)


def source_cell(price_eur_per_wh: float = 1.0, pack_kwh: float = 20.0) -> Cell:
    """A cell whose pack wears as in the source's setting when cells cost 1 EUR/Wh.

    The source's seven numbers are lost; these two follow from the pack's cost that is left of them.

    Args:
        price_eur_per_wh: of cell capacity; wear is in proportion to it.
        pack_kwh: of the pack.
    """
    cells = cells_of(pack_kwh)
    quadratic = SOURCE_QUADRATIC_EUR_PER_KW2H * cells * CELL_V / (1e6 * S_PER_H)
    return Cell(price_eur_per_wh, quadratic, SOURCE_LINEAR_EUR_PER_KWH / (1e3 * S_PER_H))
