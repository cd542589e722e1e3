"""Run one module of a station, for a machine of its own: module, droop and optimizer, by station.launch.py.

    ros2 launch v2g_nodes module.launch.py module:=3 station:=/path/to/station.yaml

Such machines hear each other only with `network: {discovery: subnet}` in the station file.
"""

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import ThisLaunchFileDir

from v2g_nodes.bringup_launch import MODULE_ARGUMENTS, check_module


def check(context: LaunchContext) -> None:
    """One module only."""
    check_module(context.launch_configurations)


def generate_launch_description() -> LaunchDescription:
    """Arguments, what one module asks of them, and the station's file, which reads them."""
    declared = [DeclareLaunchArgument(a.name, default_value=a.default, description=a.text) for a in MODULE_ARGUMENTS]
    station = PythonLaunchDescriptionSource([ThisLaunchFileDir(), "/station.launch.py"])
    return LaunchDescription([*declared, OpaqueFunction(function=check), IncludeLaunchDescription(station)])
