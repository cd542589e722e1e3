"""The file in which a simulated module's state survives a restart of its process."""

from __future__ import annotations

from pathlib import Path

from v2g_nodes.core.errors import InputError
from v2g_nodes.sim.ek3_module import Ek3Plant

STATE_BYTES = 2048  # what comes after the state is blank; three times its usual length


class KeptState:
    """Where the state of one module is kept.

    Args:
        path: of the file; empty = nowhere.
    """

    def __init__(self, path: str) -> None:
        self._file = Path(path) if path else None

    def restore(self, plant: Ek3Plant, now_s: float) -> None:
        """Let a plant take up the state that was kept, if there is one.

        Args:
            plant: the module.
            now_s: now, on the clock of Ek3Plant.to_state [s].

        Raises:
            InputError: the file holds something else or can't be read.
        """
        if self._file is None or not self._file.exists():
            return
        try:
            plant.from_state(self._file.read_text(encoding="utf-8"), now_s)
        except (OSError, InputError) as error:
            raise InputError(f"state_file {self._file}: {error}") from error

    def keep(self, text: str) -> None:
        """Write a state: once within a page, so a killed process leaves the old or the new, never half.

        Raises:
            OSError: it can't be kept.
        """
        if self._file is None:
            return
        content = text.encode().ljust(STATE_BYTES)
        try:
            with self._file.open("r+b", buffering=0) as kept:
                kept.write(content)
        except FileNotFoundError:  # the first time: made beside, for a new file is empty at first
            partial = self._file.with_suffix(".part")
            partial.write_bytes(content)
            partial.replace(self._file)
