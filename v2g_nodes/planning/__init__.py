"""Planners: pure libraries, each with a command and a place in the market planner node."""
