"""Day-ahead bids of regulation capacity and rebates for plugging in: drivers, market, platform.

A pure library. Drivers follow a persistency model on an activity network, the market asks for a share of the bid's
mileage, and the platform chooses one rebate per hour out of a few levels. Source: Tang and Mak, collaborative
vehicle-to-grid operations in frequency regulation markets (2024).
"""
