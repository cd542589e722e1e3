"""First-order lag given by its open-loop response time."""

from __future__ import annotations

import math
from collections.abc import Sequence

from v2g_nodes.core.checks import check_count, check_range


class Lag:
    """dy/dt = (x - y) / tau with tau = T / ln 10, so that a step is 90 % there after T.

    Stepped by the trapezoidal rule, x even between two steps; a step of 2 tau or longer, at which the rule would
    swing, has settled.

    Args:
        response_s: open-loop response time T [s]; 0 = none.

    Raises:
        InputError: negative or not finite.
    """

    def __init__(self, response_s: float) -> None:
        check_range("response_s", response_s, 0.0, math.inf, "s")
        self._two_tau_s = 2.0 * response_s / math.log(10.0)
        self._input = self._output = 0.0

    @property
    def output(self) -> float:
        """The latest output."""
        return self._output

    def reset(self, value: float) -> None:
        """Settled at this value."""
        self._input = self._output = value

    def update(self, wanted: float, dt_s: float) -> float:
        """Output after dt.

        Args:
            wanted: input from now on.
            dt_s: since the last step [s].
        """
        two_tau = self._two_tau_s
        if dt_s >= two_tau:
            self._output = wanted
        elif dt_s > 0.0:
            pull = dt_s * (wanted + self._input)
            self._output = (pull + (two_tau - dt_s) * self._output) / (two_tau + dt_s)
        self._input = wanted
        return self._output

    def state(self) -> tuple[float, ...]:
        """What the next step depends on."""
        return self._input, self._output

    def restore(self, values: Sequence[float]) -> None:
        """Go on from a state, as `state` gave it.

        Raises:
            InputError: not as many values.
        """
        check_count("state of a lag", values, 2)
        self._input, self._output = values
