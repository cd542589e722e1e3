"""What is settled with each vehicle: energy in and out by its module's meter, and the cost at the price of the time."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass
class SessionFigures:
    """One vehicle at one module over one interval.

    Args:
        module_id: where.
        session_id: of the vehicle; empty where the module names none.
        discharged_kwh: fed to the grid [kWh].
        charged_kwh: drawn from the grid [kWh].
        cost_eur: paid for what was drawn less earned by what was fed [EUR].
        unpriced_kwh: energy of both directions for which no price was known; it is not in the cost [kWh].
        discharged_counter_kwh: what the meter showed last [kWh]; a gap between two lines of a module shows in these.
        charged_counter_kwh: likewise [kWh].
    """

    module_id: int
    session_id: str
    discharged_kwh: float = 0.0
    charged_kwh: float = 0.0
    cost_eur: float = 0.0
    unpriced_kwh: float = 0.0
    discharged_counter_kwh: float = 0.0
    charged_counter_kwh: float = 0.0


class Settlement:
    """Adds up what the modules' counters show. A counter that steps back has begun anew and counts from there."""

    def __init__(self) -> None:
        self._counters: dict[int, tuple[float, float]] = {}
        self._open: dict[tuple[int, str], SessionFigures] = {}

    def see(
        self, module_id: int, session_id: str, discharged_kwh: float, charged_kwh: float, price_eur_per_kwh: float
    ) -> None:
        """A module shows its counters; the first time they are where counting begins.

        Args:
            module_id: of the module.
            session_id: of the vehicle that is there.
            discharged_kwh: counter of energy fed to the grid [kWh].
            charged_kwh: counter of energy drawn from it [kWh].
            price_eur_per_kwh: of now; NaN where none is known.
        """
        if not (math.isfinite(discharged_kwh) and math.isfinite(charged_kwh)):
            return
        out_kwh, in_kwh = self._counters.get(module_id, (discharged_kwh, charged_kwh))
        self._counters[module_id] = discharged_kwh, charged_kwh
        fed_kwh, drawn_kwh = max(discharged_kwh - out_kwh, 0.0), max(charged_kwh - in_kwh, 0.0)
        if fed_kwh == drawn_kwh == 0.0:
            return
        figures = self._open.setdefault((module_id, session_id), SessionFigures(module_id, session_id))
        figures.discharged_counter_kwh, figures.charged_counter_kwh = discharged_kwh, charged_kwh
        figures.discharged_kwh += fed_kwh
        figures.charged_kwh += drawn_kwh
        if math.isfinite(price_eur_per_kwh):
            figures.cost_eur += price_eur_per_kwh * (drawn_kwh - fed_kwh)
        else:
            figures.unpriced_kwh += fed_kwh + drawn_kwh

    def take(self) -> list[SessionFigures]:
        """Figures since the call before, in order of modules and sessions; those without energy are left out."""
        figures, self._open = self._open, {}
        return [figures[key] for key in sorted(figures)]
