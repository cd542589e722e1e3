"""Run a station: all processes of the plan that `./v2g up` also uses, without its live table and warm spare.

    ros2 launch v2g_nodes station.launch.py station:=/path/to/station.yaml start:=17:00

`--show-args` lists all arguments. A process that dies is started again; one that refuses its parameters (exit code 2)
ends the launch. Ctrl-C ends every process in good order.
"""

import os
import time

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable, Shutdown
from launch.events.process import ProcessExited
from launch_ros.actions import Node

from v2g_nodes.bringup_launch import ARGUMENTS, launch_processes


def on_exit(event: ProcessExited, context: LaunchContext) -> Shutdown | None:
    """Starting again does not help against a value that can't be used."""
    return Shutdown(reason=f"{event.process_name} refuses its parameters") if event.returncode == 2 else None


def processes(context: LaunchContext) -> list[SetEnvironmentVariable | Node]:
    """One action per process of the plan."""
    made = launch_processes(context.launch_configurations, os.environ, time.time())
    return [
        *(SetEnvironmentVariable(name, value) for name, value in made.environment.items()),
        *(Node(**node, on_exit=on_exit) for node in made.nodes),
    ]


def generate_launch_description() -> LaunchDescription:
    """Arguments and processes."""
    declared = [DeclareLaunchArgument(a.name, default_value=a.default, description=a.text) for a in ARGUMENTS]
    return LaunchDescription([*declared, OpaqueFunction(function=processes)])
