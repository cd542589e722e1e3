"""Run one module of a station, for a machine of its own: module, droop and optimizer.

    ros2 launch v2g_nodes module.launch.py module:=3 station:=/path/to/station.yaml

Such machines hear each other only with `network: {discovery: subnet}` in the station file.
"""

import os
import time

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch_ros.actions import Node

from v2g_nodes.bringup_launch import MODULE_ARGUMENTS, launch_node, module_plan_from_text, node_environment


def processes(context: LaunchContext) -> list[SetEnvironmentVariable | Node]:
    """One action per process of the module."""
    plan = module_plan_from_text(context.launch_configurations)
    started = time.time()
    environment = node_environment(plan.station, os.environ)
    return [
        *(SetEnvironmentVariable(name, value) for name, value in environment.items()),
        *(Node(**launch_node(process, started)) for process in plan.processes),
    ]


def generate_launch_description() -> LaunchDescription:
    """Arguments and processes."""
    declared = [DeclareLaunchArgument(a.name, default_value=a.default, description=a.text) for a in MODULE_ARGUMENTS]
    return LaunchDescription([*declared, OpaqueFunction(function=processes)])
