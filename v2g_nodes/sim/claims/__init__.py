"""What the five source documents claim, as checks that run: one file per document and kind of claim.

A claim says in our words what a source or an earlier prototype states, what counts as holding, and has a function that
measures it. claim.py has the types, catalogue.py the list in order. Claims on games go into games.py.
"""
