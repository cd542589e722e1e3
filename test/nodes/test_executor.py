"""Our executor serves everything a managed node has, as rclpy's own does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import pytest
import rclpy
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.srv import GetParameters
from rclpy.context import Context
from rclpy.exceptions import InvalidHandle
from rclpy.executors import ShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from v2g_nodes.msg import Curve

from v2g_nodes.nodes import executor as executor_module
from v2g_nodes.nodes.executor import WaitSetExecutor, make_executor

Untyped: TypeAlias = Any  # what rclpy and the generated messages are to the type checker

LONG_S = 20.0  # a test that waits this long has failed
QOS = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)


@pytest.fixture
def context(ros_domain_id: int) -> Iterator[Context]:
    context = Context()
    rclpy.init(context=context, domain_id=ros_domain_id)
    yield context
    context.try_shutdown()


class Bench:
    """A node under test in our executor, and a helper node in rclpy's own, both turned by this thread."""

    def __init__(self, context: Context) -> None:
        self.node = LifecycleNode("tested", context=context)
        self.helper = Node("helper", context=context)
        self.executor = WaitSetExecutor(context=context)
        self.executor.add_node(self.node)
        self.other = SingleThreadedExecutor(context=context)
        self.other.add_node(self.helper)

    def until(self, condition: Callable[[], bool]) -> None:
        end_s = time.monotonic() + LONG_S
        while not condition():
            assert time.monotonic() < end_s, "nothing happened"
            self.executor.spin_once(0.01)
            self.other.spin_once(0)

    def call(self, service: type[Any], name: str, request: object) -> Untyped:
        client = self.helper.create_client(service, name)
        self.until(client.service_is_ready)
        future = client.call_async(request)
        self.until(future.done)
        return future.result()

    def publisher(self, topic: str) -> Untyped:
        publisher = self.helper.create_publisher(Curve, topic, QOS)
        self.until(lambda: publisher.get_subscription_count() > 0 and self.node.count_publishers(topic) > 0)
        return publisher

    def close(self) -> None:
        self.executor.shutdown()
        self.other.shutdown()
        self.node.destroy_node()
        self.helper.destroy_node()


@pytest.fixture
def bench(context: Context) -> Iterator[Bench]:
    bench = Bench(context)
    yield bench
    bench.close()


def test_ours_is_chosen_and_rclpys_is_the_fallback(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(make_executor(context), WaitSetExecutor)
    monkeypatch.setattr(executor_module, "_rclpy", object())
    fallback = make_executor(context)
    assert type(fallback) is SingleThreadedExecutor


def test_messages_with_and_without_information(bench: Bench) -> None:
    plain: list[int] = []
    stamped: list[tuple[int, int]] = []

    def with_information(message: Untyped, information: dict[str, int]) -> None:
        stamped.append((message.module_id, information["source_timestamp"]))

    bench.node.create_subscription(Curve, "/a", lambda message: plain.append(message.module_id), QOS)
    bench.node.create_subscription(Curve, "/a", with_information, QOS)
    publisher = bench.publisher("/a")
    bench.until(lambda: publisher.get_subscription_count() == 2)
    for k in range(1, 6):
        publisher.publish(Curve(module_id=k))
    bench.until(lambda: len(plain) == 5 and len(stamped) == 5)
    assert plain == [1, 2, 3, 4, 5]
    assert [k for k, _ in stamped] == plain
    assert all(stamp > 0 for _, stamp in stamped)


def test_several_messages_in_one_turn(bench: Bench) -> None:
    got: list[int] = []
    bench.node.create_subscription(Curve, "/a", lambda message: got.append(message.module_id), QOS)
    publisher = bench.publisher("/a")
    for k in range(1, 6):
        publisher.publish(Curve(module_id=k))
    time.sleep(0.3)  # for them to arrive, not for anything to be measured
    bench.executor.spin_once(LONG_S)
    bench.executor.spin_once(0)
    assert got == [1, 2, 3, 4, 5]


def test_services_of_lifecycle_and_parameters(bench: Bench) -> None:
    bench.node.declare_parameter("gain", 2.5)
    request = ChangeState.Request(transition=Transition(id=Transition.TRANSITION_CONFIGURE))
    assert bench.call(ChangeState, "/tested/change_state", request).success
    values = bench.call(GetParameters, "/tested/get_parameters", GetParameters.Request(names=["gain"])).values
    assert values[0].double_value == 2.5


def test_clients(bench: Bench) -> None:
    bench.helper.declare_parameter("gain", 1.5)
    client = bench.node.create_client(GetParameters, "/helper/get_parameters")
    bench.until(client.service_is_ready)
    future = client.call_async(GetParameters.Request(names=["gain"]))
    bench.until(future.done)
    assert future.result().values[0].double_value == 1.5


def test_timers_follow_ros_time(bench: Bench) -> None:
    calls: list[int] = []
    bench.node.set_parameters([Parameter("use_sim_time", value=True)])
    bench.node.create_timer(0.1, lambda: calls.append(bench.node.get_clock().now().nanoseconds))
    clock = bench.helper.create_publisher(Clock, "/clock", 10)
    bench.until(lambda: clock.get_subscription_count() > 0)
    for tenth in range(1, 31):
        message = Clock()
        message.clock.sec, message.clock.nanosec = 100 + tenth // 10, tenth % 10 * 100_000_000
        clock.publish(message)
        bench.until(lambda at=message.clock: bench.node.get_clock().now().seconds_nanoseconds() == (at.sec, at.nanosec))
        bench.executor.spin_once(0)
    assert 25 <= len(calls) <= 31  # none of them from the wall clock, which went on by less than a second
    assert all(now_ns % 100_000_000 == 0 for now_ns in calls)


def test_timers_that_are_cancelled_stay_quiet(bench: Bench) -> None:
    calls: list[int] = []
    quiet = bench.node.create_timer(0.001, lambda: calls.append(1))
    quiet.cancel()
    others: list[int] = []
    bench.node.create_timer(0.005, lambda: others.append(1))
    bench.until(lambda: len(others) >= 3)
    assert calls == []


def test_a_timer_cancelled_by_another_callback_of_the_same_turn_stays_quiet(bench: Bench) -> None:
    calls: list[int] = []
    bench.node.create_timer(0.001, lambda: second.cancel())  # noqa: PLW0108 - it does not exist yet
    second = bench.node.create_timer(0.001, lambda: calls.append(1))
    time.sleep(0.01)  # both are due then
    bench.executor.spin_once(LONG_S)
    bench.executor.spin_once(LONG_S)
    assert second.is_canceled()
    assert calls == []


def test_coroutines_go_through_rclpy(bench: Bench) -> None:
    got: list[int] = []

    async def receive(message: Untyped) -> None:
        got.append(message.module_id)

    bench.node.create_subscription(Curve, "/a", receive, QOS)
    bench.publisher("/a").publish(Curve(module_id=3))
    bench.until(lambda: got == [3])


def test_tasks_and_guard_conditions_wake_it_from_another_thread(bench: Bench) -> None:
    me, ran_in = threading.current_thread(), []
    guard = bench.node.create_guard_condition(lambda: ran_in.append(threading.current_thread()))
    bench.executor.spin_once(0)
    threading.Timer(0.05, lambda: bench.executor.create_task(lambda: ran_in.append(threading.current_thread()))).start()
    bench.until(lambda: len(ran_in) == 1)
    threading.Timer(0.05, guard.trigger).start()
    bench.until(lambda: len(ran_in) == 2)
    assert ran_in == [me, me]


def test_entities_that_come_and_go(bench: Bench) -> None:
    first: list[Any] = []
    second: list[Any] = []

    def replace_subscription(message: Untyped) -> None:
        first.append(message)
        bench.node.destroy_subscription(subscription)
        bench.node.create_subscription(Curve, "/b", second.append, QOS)

    subscription = bench.node.create_subscription(Curve, "/a", replace_subscription, QOS)
    publisher = bench.publisher("/a")
    for _ in range(3):
        publisher.publish(Curve())
    bench.until(lambda: bool(first))
    later = bench.publisher("/b")
    later.publish(Curve())
    bench.until(lambda: bool(second))
    assert len(first) == 1


def test_destroying_entities_from_another_thread_while_it_waits(bench: Bench) -> None:
    stop = threading.Event()

    def turn() -> None:
        while not stop.is_set():
            bench.executor.spin_once(0.05)

    thread = threading.Thread(target=turn)
    thread.start()
    for k in range(30):
        subscription = bench.node.create_subscription(Curve, f"/t{k}", lambda _: None, QOS)
        timer = bench.node.create_timer(0.001, lambda: None)
        time.sleep(0.002)
        bench.node.destroy_subscription(subscription)
        bench.node.destroy_timer(timer)
    stop.set()
    thread.join(LONG_S)
    assert not thread.is_alive()


def test_an_exception_comes_out(bench: Bench) -> None:
    def fail(_: object) -> None:
        raise ValueError("callback failed")

    bench.node.create_subscription(Curve, "/a", fail, QOS)
    bench.publisher("/a").publish(Curve())
    with pytest.raises(ValueError, match="callback failed"):
        bench.until(lambda: False)
    bench.executor.create_task(lambda: fail(None))
    with pytest.raises(ValueError, match="callback failed"):
        bench.until(lambda: False)


def test_removed_nodes_are_not_served(bench: Bench) -> None:
    calls: list[int] = []
    bench.node.create_timer(0.001, lambda: calls.append(1))
    bench.until(lambda: bool(calls))
    bench.executor.remove_node(bench.node)
    bench.executor.spin_once(0)
    count = len(calls)
    for _ in range(20):
        bench.executor.spin_once(0.002)
    assert len(calls) == count


def test_shutting_down_ends_a_wait_of_another_thread(bench: Bench) -> None:
    ended: list[str] = []

    def turn() -> None:
        try:
            while True:
                bench.executor.spin_once()
        except ShutdownException:
            ended.append("shut down")

    thread = threading.Thread(target=turn)
    thread.start()
    time.sleep(0.05)  # most likely inside the wait then
    assert bench.executor.shutdown(LONG_S)
    thread.join(LONG_S)
    assert ended == ["shut down"]
    with pytest.raises(ShutdownException):
        bench.executor.spin_once(0)


def test_an_entity_destroyed_under_rclpys_pass_is_passed_over(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[Any] = []
    bench.node.create_subscription(Curve, "/a", heard.append, QOS)
    passes = bench.executor.wait_for_ready_callbacks

    def destroyed(**_: object) -> None:
        monkeypatch.setattr(bench.executor, "wait_for_ready_callbacks", passes)
        raise InvalidHandle("destruction was requested")

    monkeypatch.setattr(bench.executor, "wait_for_ready_callbacks", destroyed)
    bench.executor._run_rclpy_pass()
    bench.publisher("/a").publish(Curve())
    bench.until(lambda: bool(heard))
