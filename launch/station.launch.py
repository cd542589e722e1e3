"""Run a station: all processes of the plan that `./v2g up` also uses, without its live table and warm spare.

    ros2 launch v2g_nodes station.launch.py station:=/path/to/station.yaml start:=17:00

`--show-args` lists all arguments. Ctrl-C ends every process in good order.
"""

import os
import time

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch_ros.actions import Node

from v2g_nodes.bringup_launch import ARGUMENTS, launch_node, node_environment, plan_from_text


def processes(context: LaunchContext) -> list[SetEnvironmentVariable | Node]:
    """One action per process of the plan."""
    plan = plan_from_text(context.launch_configurations)
    started = time.time()
    environment = node_environment(plan.station, os.environ)
    return [
        *(SetEnvironmentVariable(name, value) for name, value in environment.items()),
        *(Node(**launch_node(process, started)) for process in plan.processes),
    ]


def generate_launch_description() -> LaunchDescription:
    """Arguments and processes."""
    declared = [DeclareLaunchArgument(a.name, default_value=a.default, description=a.text) for a in ARGUMENTS]
    return LaunchDescription([*declared, OpaqueFunction(function=processes)])
