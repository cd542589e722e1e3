"""`v2g stop`: emergency stop of the station that runs in this ROS domain."""

from __future__ import annotations

from typing import Annotated

import typer

from v2g_nodes.cli.operate import module_ids, operate
from v2g_nodes.cli.output import Json


def stop(
    station: Annotated[
        str | None, typer.Option(metavar="FILE", help="Station file; says which modules must confirm.")
    ] = None,
    json: Json = None,
) -> None:
    """Stop all modules at once: mode SAFE, power to zero, until `v2g arm`.

    Reaches every module of the domain, not those of the file alone. Exit code 1 when one does not confirm.
    """
    operate(station, module_ids(station, None), lambda operator: operator.stop(), "stop", "stopped", json)
