"""A single-threaded executor that keeps its wait set: about a third of the CPU per message of rclpy's own.

rclpy's `SingleThreadedExecutor` makes a new wait set, a task and a coroutine per callback, and asks every QoS event of
every topic each time. A managed node has some thirty of these, so a message costs it three to four times as much.
Here subscriptions and timers with plain callbacks are called straight from one wait set that lives until a node gains
or loses an entity. Everything else (services, clients, QoS events, guard conditions, tasks, coroutines) goes through
rclpy's own code, so it behaves as documented there. Measurements: docs/decisions/0002-executor-and-transport.md.
"""

from __future__ import annotations

import inspect
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, TypeAlias

from rclpy.context import Context
from rclpy.exceptions import InvalidHandle
from rclpy.executors import (
    Executor,
    ExternalShutdownException,
    ShutdownException,
    SingleThreadedExecutor,
    TimeoutException,
    TimeoutObject,
)
from rclpy.guard_condition import GuardCondition
from rclpy.impl.implementation_singleton import rclpy_implementation as _rclpy
from rclpy.node import Node
from rclpy.subscription import Subscription
from rclpy.task import Future, Task
from rclpy.timer import Timer

Handle: TypeAlias = Any  # rclpy's compiled objects have no types

EVENTS_PERIOD_S = 0.5  # QoS events (warnings about incompatible peers) are looked at this often
MESSAGES_PER_WAKE = 32  # of one subscription, so that a flood on one topic can't starve the others
CALLBACKS_PER_PASS = 64  # through rclpy's own code, for the same reason

# Kinds of entities, in the order in which a wait set wants their numbers.
_KINDS = ("subscription", "guard_condition", "timer", "client", "service")
_WAIT_SET_METHODS = ("clear_entities", "wait", "get_ready_entities", *(f"add_{kind}" for kind in _KINDS))


def make_executor(context: Context) -> Executor:
    """The fastest executor this rclpy allows: ours, or rclpy's own where its wait set looks different."""
    wait_set = getattr(_rclpy, "WaitSet", None)
    known = wait_set is not None and all(hasattr(wait_set, method) for method in _WAIT_SET_METHODS)
    return WaitSetExecutor(context=context) if known else SingleThreadedExecutor(context=context)


class WaitSetExecutor(SingleThreadedExecutor):
    """Executes all ready callbacks per wake-up, in one thread.

    One difference to rclpy's executors: `spin_once` runs everything that is ready, not one callback.
    """

    def __init__(self, *, context: Context | None = None) -> None:
        self._changed = True
        self._stopped = False
        self._attention: GuardCondition | None = None
        self._spinning = threading.RLock()
        super().__init__(context=context)
        self._attention = GuardCondition(callback=None, callback_group=None, context=self.context)
        self._held = ExitStack()
        self._wait_set: Handle = None
        self._fill: list[tuple[Callable[[Handle], None], Handle]] = []
        self._subscriptions: list[tuple[Handle, Subscription, bool, Callable[..., object]]] = []
        self._timers: list[tuple[Handle, Callable[[], object]]] = []
        self._guards: list[tuple[Handle, Callable[[], object] | None]] = []
        self._others: list[tuple[str, Handle]] = []
        self._other_kinds: tuple[str, ...] = ()
        self._other_pointers: frozenset[int] = frozenset()
        self._events_due_s = 0.0

    def wake(self) -> None:
        """Look at the nodes again; safe from any thread. rclpy calls this when an entity comes or goes."""
        self._changed = True
        self._notify()
        super().wake()

    def add_node(self, node: Node) -> bool:
        """As rclpy's."""
        added: bool = super().add_node(node)
        self.wake()
        return added

    def remove_node(self, node: Node) -> None:
        """As rclpy's."""
        super().remove_node(node)
        self.wake()

    def create_task(self, callback: Callable[..., object], *args: object, **kwargs: object) -> Task:
        """As rclpy's: run `callback` in the executor's thread; safe from any thread."""
        task = super().create_task(callback, *args, **kwargs)
        self._notify()
        return task

    def shutdown(self, timeout_sec: float | None = None) -> bool:
        """As rclpy's; lets go of every entity."""
        self._stopped = True
        self._notify()
        # Entities must not go while a wait of another thread looks at them.
        wait_s = -1 if timeout_sec is None or timeout_sec < 0 else timeout_sec
        if not self._spinning.acquire(timeout=wait_s):
            return False
        try:
            done: bool = super().shutdown(timeout_sec)
            self._held.close()
            self._wait_set, self._fill = None, []
            if self._attention is not None:
                self._attention.destroy()
                self._attention = None
        finally:
            self._spinning.release()
        return done

    def spin_once(self, timeout_sec: float | TimeoutObject | None = None) -> None:
        """Wait for work and run all of it.

        Args:
            timeout_sec: longest wait [s]; None or negative waits for ever, 0 does not wait.
        """
        seconds = timeout_sec.timeout if isinstance(timeout_sec, TimeoutObject) else timeout_sec
        with self._spinning:
            if self._stopped:
                raise ShutdownException
            if self._changed:
                self._rebuild()
            slow_work = self._wait(-1 if seconds is None or seconds < 0 else int(seconds * 1e9))
            now_s = time.monotonic()
            if slow_work or now_s >= self._events_due_s:
                self._events_due_s = now_s + EVENTS_PERIOD_S
                self._run_rclpy_pass()

    def spin_once_until_future_complete(self, future: Future, timeout_sec: float | TimeoutObject | None = None) -> None:
        """As rclpy's."""
        future.add_done_callback(lambda _: self.wake())
        self.spin_once(timeout_sec)

    def _notify(self) -> None:
        attention = self._attention
        if attention is None:
            return
        try:
            attention.trigger()
        except InvalidHandle:  # another thread has just shut the executor down
            return

    def _rebuild(self) -> None:
        """Take a new wait set for what the nodes have now, and hold the handles so that none dies inside a wait."""
        self._changed = False
        self._held.close()
        self._subscriptions, self._timers, self._guards, self._others = [], [], [], []
        for node in self.get_nodes():
            for subscription in node.subscriptions:
                if self._hold(subscription.handle):
                    self._add_subscription(subscription)
            for timer in node.timers:
                if self._hold(timer.handle):
                    self._add_timer(timer)
            for kind, entities in (("service", node.services), ("client", node.clients)):
                self._others.extend((kind, entity.handle) for entity in entities if self._hold(entity.handle))
            for guard in node.guards:
                if self._hold(guard.handle):
                    self._guards.append((guard.handle, guard.callback))
        self._other_kinds = tuple(sorted({kind for kind, _ in self._others}))
        self._other_pointers = frozenset(handle.pointer for _, handle in self._others)
        if self._attention is not None:
            self._new_wait_set(self._attention)

    def _hold(self, handle: Handle) -> bool:
        try:
            self._held.enter_context(handle)
        except InvalidHandle:  # destroyed since the node listed it
            return False
        return True

    def _add_subscription(self, subscription: Subscription) -> None:
        if inspect.iscoroutinefunction(subscription.callback):
            self._others.append(("subscription", subscription.handle))
            return
        callback_type = getattr(subscription, "_callback_type", Subscription.CallbackType.MessageOnly)
        message_only = callback_type is Subscription.CallbackType.MessageOnly
        entry = (subscription.handle, subscription, message_only, subscription.callback)
        self._subscriptions.append(entry)

    def _add_timer(self, timer: Timer) -> None:
        if inspect.iscoroutinefunction(timer.callback):
            self._others.append(("timer", timer.handle))
        else:
            self._timers.append((timer.handle, timer.callback))

    def _new_wait_set(self, attention: GuardCondition) -> None:
        handles: dict[str, list[Handle]] = {kind: [] for kind in _KINDS}
        for kind, handle in self._others:
            handles[kind].append(handle)
        handles["subscription"] += [handle for handle, *_ in self._subscriptions]
        handles["timer"] += [handle for handle, _ in self._timers]
        handles["guard_condition"] += [attention.handle, *(handle for handle, _ in self._guards)]
        sizes = [len(handles[kind]) for kind in _KINDS]
        self._wait_set = _rclpy.WaitSet(*sizes, 0, self.context.handle)
        # A wait set forgets what was not ready, so it is filled again before every wait.
        self._fill = [(getattr(self._wait_set, f"add_{kind}"), handle) for kind in _KINDS for handle in handles[kind]]

    def _wait(self, timeout_ns: int) -> bool:
        """Wait and run ready subscriptions and timers; True when rclpy's own code has something to do."""
        wait_set, attention = self._wait_set, self._attention
        if attention is None:
            raise ShutdownException
        wait_set.clear_entities()
        for add, handle in self._fill:
            add(handle)
        wait_set.wait(timeout_ns)
        if self._stopped:
            raise ShutdownException
        if not self.context.ok():
            raise ExternalShutdownException
        guards = wait_set.get_ready_entities("guard_condition")
        self._schedule_guards(guards)
        slow_work = bool(guards) or any(
            not self._other_pointers.isdisjoint(wait_set.get_ready_entities(kind)) for kind in self._other_kinds
        )
        self._run_timers(wait_set.get_ready_entities("timer"))
        self._run_subscriptions(wait_set.get_ready_entities("subscription"))
        return slow_work

    def _schedule_guards(self, ready: list[int]) -> None:
        # A wait takes the trigger, so rclpy's own code would not see it any more.
        for handle, callback in self._guards:
            if callback is not None and handle.pointer in ready:
                self.create_task(callback)

    def _run_timers(self, ready: list[int]) -> None:
        if not ready:
            return
        for handle, callback in self._timers:
            if self._changed:  # a callback made or destroyed something; what is ready now is still so at the next turn
                return
            if handle.pointer in ready and handle.is_timer_ready():
                handle.call_timer()
                callback()

    def _run_subscriptions(self, ready: list[int]) -> None:
        if not ready:
            return
        for handle, subscription, message_only, callback in self._subscriptions:
            if handle.pointer not in ready:
                continue
            for _ in range(MESSAGES_PER_WAKE):
                if self._changed:
                    return
                taken = handle.take_message(subscription.msg_type, subscription.raw)
                if taken is None:
                    break
                if message_only:
                    callback(taken[0])
                else:
                    callback(*taken)

    def _run_rclpy_pass(self) -> None:
        """One pass of rclpy's own code over whatever is ready."""
        for _ in range(CALLBACKS_PER_PASS):
            try:
                handler, _entity, _node = self.wait_for_ready_callbacks(timeout_sec=0)
            except TimeoutException:
                return
            except InvalidHandle:  # another thread has destroyed what rclpy was about to look at
                break
            handler()
            error = handler.exception()
            if error is not None:
                raise error
        self._notify()
