"""The launch files under the real launch: `launch_test launch_station.py`, or by test/system/test_launch.py.

Needs what comes with a ROS 2 distribution (launch, launch_ros, launch_testing) and the installed package.
"""

from __future__ import annotations

import os
import signal
import time
import unittest
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import launch_testing
import pytest
import rclpy
from launch import LaunchDescription
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_testing.actions import ReadyToTest
from lifecycle_msgs.srv import GetState
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

LAUNCH = Path(__file__).resolve().parents[2] / "launch"
LONG_S = 90.0  # a test that waits this long has failed
ANSWER_S = 5.0  # then it is asked again
OF_MODULE = ("module", "droop", "optimizer")
STATION = ("plant", "station_monitor", "market_planner", "grid_signal")

#: launch file, its arguments, which nodes there are then, and in which lifecycle state
CASES = (
    ("station", {"modules": "2", "topology": "line"},
     (*(f"/ek3_0{k}/{kind}" for k in (1, 2) for kind in OF_MODULE), *(f"/{kind}" for kind in STATION)), "active"),
    ("module", {"modules": "2", "topology": "line", "module": "2", "autostart": "false"},
     tuple(f"/ek3_02/{kind}" for kind in OF_MODULE), "unconfigured"),
)  # fmt: skip


@pytest.mark.launch_test
@launch_testing.parametrize("file, arguments, nodes, state", CASES)
def generate_test_description(
    file: str, arguments: dict[str, str], nodes: tuple[str, ...], state: str
) -> LaunchDescription:
    """One launch file."""
    source = PythonLaunchDescriptionSource(str(LAUNCH / f"{file}.launch.py"))
    return LaunchDescription([IncludeLaunchDescription(source, launch_arguments=arguments.items()), ReadyToTest()])


class TestNodes(unittest.TestCase):
    """While the processes run."""

    def setUp(self) -> None:
        """Look on from a node beside them."""
        self.context = Context()
        rclpy.init(context=self.context)
        self.node = Node("observer", context=self.context, start_parameter_services=False)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)

    def tearDown(self) -> None:
        """Leave the graph."""
        self.executor.shutdown()
        self.node.destroy_node()
        self.context.try_shutdown()

    def until(self, condition: Callable[[], Any], what: str) -> None:
        """Wait for something."""
        end_s = time.monotonic() + LONG_S
        while not condition():
            assert time.monotonic() < end_s, f"waited in vain until {what}"
            self.executor.spin_once(0.05)

    def states(self, names: tuple[str, ...]) -> Iterator[str]:
        """Lifecycle states; who is asked while it dies does not answer."""
        for name in names:
            client = self.node.create_client(GetState, f"{name}/get_state")
            self.until(client.service_is_ready, f"{name} is there")
            future = client.call_async(GetState.Request())
            self.executor.spin_until_future_complete(future, ANSWER_S)
            self.node.destroy_client(client)
            yield str(future.result().current_state.label) if future.done() else "no answer"

    def test_nodes_have_their_state_and_a_killed_process_comes_back(
        self, nodes: tuple[str, ...], state: str, proc_info: Any  # noqa: ANN401
    ) -> None:
        """All in one, as each launch takes its time."""
        self.until(lambda: {*self.states(nodes)} == {state}, f"all nodes are {state}")
        victim = next(name for name in proc_info.process_names() if "_opt" in name)
        first = self.pid_of(victim, proc_info)
        os.kill(first, signal.SIGKILL)
        self.until(lambda: self.pid_of(victim, proc_info) != first, "it is started again")
        self.until(lambda: {*self.states(nodes)} == {state}, f"all nodes are {state} again")

    @staticmethod
    def pid_of(name: str, proc_info: Any) -> int:  # noqa: ANN401
        """Process id of the latest process of a name."""
        return int(proc_info[name].pid)


@launch_testing.post_shutdown_test()
class TestEnd(unittest.TestCase):
    """When all is over."""

    def test_every_process_has_left_in_good_order(self, proc_info: Any) -> None:  # noqa: ANN401
        """But for the one that was killed, whose successor has."""
        launch_testing.asserts.assertExitCodes(proc_info)
