"""Trends of the source's figures, as numbers."""

from __future__ import annotations

import numpy as np

from v2g_nodes.planning.valley.studies import by_benefit, by_cell_price, distances_by_eta


def test_dearer_cells_charge_slower_longer_and_less() -> None:
    variants = list(by_cell_price().values())
    for cheap, dear in zip(variants[:-1], variants[1:], strict=True):
        assert dear.peak_kw < cheap.peak_kw
        assert dear.charging_slots >= cheap.charging_slots
        assert dear.delivered_kwh < cheap.delivered_kwh
        assert dear.valley_range_kw > cheap.valley_range_kw


def test_worthier_energy_is_delivered_more() -> None:
    delivered = [variant.delivered_kwh for variant in by_benefit().values()]
    assert all(np.diff(delivered) > 0.0)
    assert delivered[-1] < 20.0


def test_all_gains_of_the_source_arrive_but_the_one_beyond_the_limit() -> None:
    distances = distances_by_eta()
    assert all(distances[eta][-1] < 1e-5 for eta in (0.25, 0.5, 0.75, 1.0, 1.2))
    assert distances[1.36][-1] > 1e-3
    assert min(distances, key=lambda eta: len(distances[eta])) == 0.75, "the one nearest to the best, 0.805"
