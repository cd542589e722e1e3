"""`v2g arm`: let the modules of the station that runs in this ROS domain be energised; and the other way round."""

from __future__ import annotations

from typing import Annotated

import typer

from v2g_nodes.cli.operate import module_ids, operate
from v2g_nodes.cli.output import Json


def arm(
    station: Annotated[
        str | None, typer.Option(metavar="FILE", help="Station file; says which modules and how far to look.")
    ] = None,
    modules: Annotated[
        str | None, typer.Option(metavar="ID,ID,...", help="Only these. [default: all of the file, or all there are]")
    ] = None,
    off: Annotated[bool, typer.Option("--off", help="Disarm: they ramp to zero and may be armed again.")] = False,
    json: Json = None,
) -> None:
    """Arm the modules of a running station: release the e-stop, clear what has tripped, allow power.

    Hardware is never energised before this; simulated modules arm themselves. Exit code 1 when a module refuses or does
    not answer.
    """
    ids = module_ids(station, modules)
    operate(station, ids, lambda operator: operator.arm(not off), "disarm" if off else "arm",
            "disarmed" if off else "armed", json)
