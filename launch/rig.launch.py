"""Run a station of EK3 hardware on a CAN-FD bus, or one host's part of it. Nothing is energised before `v2g arm`.

    ros2 launch v2g_nodes rig.launch.py station:=/path/to/station.yaml max_kw:=0.5

Bring the bus up first (`v2g doctor --station FILE` prints the lines); `dry_run:=true` listens only.
"""

import os
import time

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch_ros.actions import Node

from v2g_nodes.bringup_launch import RIG_ARGUMENTS, launch_node, node_environment, rig_plan_from_text


def processes(context: LaunchContext) -> list[SetEnvironmentVariable | Node]:
    """One action per process of the plan."""
    plan = rig_plan_from_text(context.launch_configurations)
    started = time.time()
    environment = node_environment(plan.station, os.environ)
    return [
        *(SetEnvironmentVariable(name, value) for name, value in environment.items()),
        *(Node(**launch_node(process, started)) for process in plan.processes),
    ]


def generate_launch_description() -> LaunchDescription:
    """Arguments and processes."""
    declared = [DeclareLaunchArgument(a.name, default_value=a.default, description=a.text) for a in RIG_ARGUMENTS]
    return LaunchDescription([*declared, OpaqueFunction(function=processes)])
