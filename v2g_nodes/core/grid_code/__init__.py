"""Behaviour that grid codes ask for beside the plain droop law: frequency response, service, ride-through, Q(V)."""
