"""Day plans for the vehicles of one station, by the planners for fleets, as its market planner node runs them."""
