"""The errors of this package: one family, each with a builtin parent.

A message shows what was found and what is allowed; input errors also name file and line or key.
"""


class V2gError(Exception):
    """Parent of every error this package raises on purpose."""


class InputError(V2gError, ValueError):
    """A file, key, option or argument has a value that can't be used; the command exits with 2."""


class GraphError(InputError):
    """A communication graph that is not usable: unknown node, self-loop, disconnected."""


class InfeasibleError(V2gError, ValueError):
    """No allocation meets the constraints."""


class MaskError(V2gError, ArithmeticError):
    """What the members of an exchange have added up can't be the sum of supply curves: their masks differ."""


class StartupError(V2gError, RuntimeError):
    """The running system could not be brought up as the station file says."""
