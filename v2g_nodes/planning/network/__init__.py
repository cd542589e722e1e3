"""Vehicles and power flow of a day together: radial grids, stations at their buses, semi-continuous charging.

The source's model is a mixed-integer cone program. Here it is taken apart where it is thin: vehicles meet the grid only
through the net power of their station in a slot, and what the grid costs is a convex function of it.

Signs: power above 0 charges, a station's power above 0 is drawn from the grid. Powers and energies of vehicles are
those of the battery, powers of stations those of the grid.
"""
