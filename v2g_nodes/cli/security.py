"""`v2g security init`: keys and a policy for every process of a station, and whether they can be used here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from v2g_nodes.bringup import Overrides, ProcessPlan, process_plan, resolve_station
from v2g_nodes.bringup_dds import ros_domain
from v2g_nodes.bringup_launch import ENCLAVES, enclave_of
from v2g_nodes.cli.keystore import make_keystore
from v2g_nodes.cli.node_topics import Rights, node_rights, operator_rights, passing_rights, recorder_rights, union
from v2g_nodes.cli.output import Json, check_writable, emit
from v2g_nodes.cli.supervisor import SPARE
from v2g_nodes.core.errors import InputError
from v2g_nodes.station import station_hosts

TRIED_S = 60.0
TRY = """
import os
import rclpy
try:
    rclpy.init()
    rclpy.create_node("probe")
except Exception as error:
    print("refused:", " ".join(str(error).split()), flush=True)
else:
    print("joined", flush=True)
os._exit(0)
"""
INSTEAD = ("keep the station to itself instead: network.discovery localhost, or network.interface on a network of its "
           "own (VLAN) with a firewall that lets only its hosts in (UDP 7400 to 7400 + 250 x domain + 249)")


def init(
    station: Annotated[
        str | None, typer.Option(metavar="FILE", help="Station file. [default: the default station]")
    ] = None,
    modules: Annotated[int | None, typer.Option(help="Modules of the default station. [default: 8]")] = None,
    output: Annotated[
        str, typer.Option("-o", "--output", metavar="DIR", help="Folder of the keystore, new or to be renewed.")
    ] = "keystore",
    json: Json = None,
) -> None:
    """Make a keystore (SROS2) with one enclave per process: it may publish and hear what its nodes need, nothing more.

    For ROS_DOMAIN_ID as it is set now, and for modules packed into processes as on this machine; with network.packing
    never they are the same everywhere. Exit code 1 where the middleware installed has no DDS-Security: the keystore is
    then good for hosts whose ROS 2 has it (a distribution's has), and says what to do here instead.
    """
    check_writable(json)
    folder, domain = Path(output), ros_domain(os.environ)
    enclaves = station_enclaves(_plans(station, modules))
    try:
        make_keystore(folder, enclaves, domain)
    except OSError as error:
        raise InputError(f"--output {output}: {error.strerror or error}, allowed is a folder that can be written to"
                         ) from error
    reason = why_no_security(folder)
    figures = {"keystore": str(folder.resolve()), "domain": domain, "enclaves": sorted(enclaves),
               "supported": not reason, "verdict": reason or "ok"}
    if json is not None:
        emit(figures, json, "security")
    print(f"v2g │ {folder}: {len(enclaves)} enclaves for ROS domain {domain}", file=sys.stderr)
    if not reason:
        print(f"v2g │ to use it: export ROS_SECURITY_ENABLE=true ROS_SECURITY_STRATEGY=Enforce "
              f"ROS_SECURITY_KEYSTORE={folder.resolve()}", file=sys.stderr)
        raise typer.Exit(0)
    print(f"v2g: error: not in force here: {reason}; {INSTEAD}", file=sys.stderr)
    raise typer.Exit(1)


def _plans(station: str | None, modules: int | None) -> list[ProcessPlan]:
    """One plan for each host."""
    options = Overrides(modules=modules)
    resolved = resolve_station(station, options)
    hosts = station_hosts(resolved) or (None,)
    return [process_plan(resolved, Overrides(host=host)) for host in hosts]


def station_enclaves(plans: list[ProcessPlan]) -> dict[str, Rights]:
    """Rights of every process by the name of its enclave; the spare, which takes over any role, may do what all may.

    Args:
        plans: one for each host.
    """
    found: dict[str, Rights] = {}
    for plan in plans:
        here = {}
        for process in plan.processes:
            if process.is_ros:
                # before it has its role, its one node is called _host_NAME_NUMBER
                here[process.name] = union([passing_rights(f"_host_{process.name}"), *map(node_rights, process.nodes)])
        here[SPARE] = union([passing_rights(f"_host_{SPARE}"), *here.values()])
        for name, rights in here.items():
            enclave = enclave_of(name)
            found[enclave] = union([rights, *([found[enclave]] if enclave in found else [])])
    ids = [module.id for module in plans[0].station.modules]
    return {**found, f"{ENCLAVES}/operator": operator_rights(ids), f"{ENCLAVES}/recorder": recorder_rights()}


def why_no_security(keystore: Path) -> str:
    """Try to join as the operator would, with security enforced; why it fails, empty when it does not.

    Args:
        keystore: with the enclaves.
    """
    environment = {**os.environ, "ROS_SECURITY_ENABLE": "true", "ROS_SECURITY_STRATEGY": "Enforce",
                   "ROS_SECURITY_KEYSTORE": str(keystore.resolve()),
                   "ROS_SECURITY_ENCLAVE_OVERRIDE": f"{ENCLAVES}/operator"}
    try:
        tried = subprocess.run([sys.executable, "-c", TRY], env=environment, stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, text=True, check=False, timeout=TRIED_S)
    except subprocess.TimeoutExpired:
        return f"joining with security took longer than {TRIED_S:g} s"
    if tried.stdout.strip() == "joined":
        return ""
    return tried.stdout.strip().removeprefix("refused: ") or f"joining with security ended with {tried.returncode}"
