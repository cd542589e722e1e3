"""Active and reactive power of a fleet by distributed resource allocation: payoffs agree, resources are kept.

Each vehicle spreads a fixed resource over its strategies, one per slot of its stay: the energy it is due over
active strategies, the reactive power of its charger over reactive ones and a slack. Resource flows along the edges
of a graph from high payoff (a marginal cost here) to low until all payoffs of a vehicle are equal; vehicles hear of
each other through the load of the grid alone.

Inside this package energies are kWh per slot and > 0 charges, as in the source; `Vehicle` and `Allocation` speak
the project's convention, kW and > 0 discharges to the grid.
"""
