"""How a group averages or adds up: one file per method; plans.py chooses one by name."""
