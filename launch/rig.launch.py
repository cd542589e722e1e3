"""Run a station of EK3 hardware on a CAN-FD bus, or one host's part of it. Nothing is energised before `v2g arm`.

    ros2 launch v2g_nodes rig.launch.py station:=/path/to/station.yaml max_kw:=0.5

Bring the bus up first (`v2g doctor --station FILE` prints the lines); `dry_run:=true` listens only.
"""

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import ThisLaunchFileDir

from v2g_nodes.bringup_launch import RIG_ARGUMENTS, check_rig


def check(context: LaunchContext) -> None:
    """A rig runs hardware only."""
    check_rig(context.launch_configurations)


def generate_launch_description() -> LaunchDescription:
    """Arguments, what a rig asks of them, and the station's file, which reads them."""
    declared = [DeclareLaunchArgument(a.name, default_value=a.default, description=a.text) for a in RIG_ARGUMENTS]
    station = PythonLaunchDescriptionSource([ThisLaunchFileDir(), "/station.launch.py"])
    return LaunchDescription([*declared, OpaqueFunction(function=check), IncludeLaunchDescription(station)])
