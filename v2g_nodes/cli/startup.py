"""What start-up waits for, step by step, with a word on what is missing when it does not come."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from v2g_nodes.cli.host_pool import HostPool
from v2g_nodes.cli.processes import Event, Host
from v2g_nodes.core.errors import InputError, StartupError

PUMP_S = 0.1  # longest wait, so that signals and deaths are seen
SCOUT_MARGIN_S = 10.0  # for an answer after the time asked for


class Startup:
    """Waits for hosts while they come up. One that is killed meanwhile is missing until it has a successor.

    Args:
        pool: of the hosts.
        hosts: by role, as they are now.
        watcher: role of the host that can see the graph.
        tend: called again and again to look after the hosts; raises what ends the start.
        on_step: called with a few words about what is waited for.
    """

    def __init__(
        self, pool: HostPool, hosts: Mapping[str, Host], watcher: str, tend: Callable[[], None],
        on_step: Callable[[str], None],
    ) -> None:
        self._pool, self._hosts, self._watcher, self._tend, self._on_step = pool, hosts, watcher, tend, on_step

    def wait_for(self, event: str, names: Sequence[str], seconds: float, what: str) -> None:
        """Wait until all these hosts have said something.

        Raises:
            StartupError: names those that have not.
            KeyboardInterrupt: a stop was asked for.
        """
        def missing() -> list[str]:
            return [name for name in names if self._said(name, event) is None]

        def done() -> bool:
            self._on_step(f"{len(names) - len(missing())} of {len(names)} {what}")
            return not missing()

        self._wait(done, seconds, lambda: f"after {seconds:g} s not {event}: {', '.join(missing())}")

    def scout(self, names: list[str], seconds: float) -> None:
        """Look for nodes of these names in the graph.

        Raises:
            InputError: there are some.
            StartupError: no answer.
            KeyboardInterrupt: a stop was asked for.
        """
        self._on_step("looking for nodes of the same names")
        asked: set[int] = set()

        def answered() -> bool:
            host = self._hosts.get(self._watcher)
            if host is not None and host.warm and host.pid not in asked:
                asked.add(host.pid)
                host.send("scout", seconds=seconds, names=names)
            return self._said(self._watcher, "scout") is not None

        self._wait(answered, seconds + SCOUT_MARGIN_S,
                   lambda: f"{self._watcher} did not say which nodes there are already")
        found = (self._said(self._watcher, "scout") or {}).get("found", [])
        if found:
            domain = self._pool.environment.get("ROS_DOMAIN_ID") or "0"
            others = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
            raise InputError(f"ROS domain {domain}: node {found[0]}{others} is already running, allowed is a domain "
                             "without nodes of these names: stop them or choose another one (ROS_DOMAIN_ID=0..101)")

    def wait_for_graph(self, seconds: float, later: set[str]) -> None:
        """Wait until every edge of the graph is discovered.

        Args:
            seconds: how long.
            later: nodes that do not run yet.

        Raises:
            StartupError: names an edge that is missing.
            KeyboardInterrupt: a stop was asked for.
        """
        def missing() -> list[Any] | None:
            links = (self._said(self._watcher, "link") or {}).get("missing")
            return None if links is None else [link for link in links if not later & {link[1], link[2]}]

        def done() -> bool:
            links = missing()
            self._on_step("looking at the graph" if links is None else f"{len(links)} edges of the graph missing")
            return links == []

        def what() -> str:
            links = missing()
            if not links:
                return f"{self._watcher} did not say whether the graph is complete"
            topic, publisher, subscriber = links[0]
            more = f" (and {len(links) - 1} more)" if len(links) > 1 else ""
            return f"after {seconds:g} s an edge of the graph is missing: {topic}, {publisher} to {subscriber}{more}"

        self._wait(done, seconds, what)

    def _said(self, name: str, event: str) -> Event | None:
        """The last event of a kind that this role's host has told."""
        host = self._hosts.get(name)
        return None if host is None else host.said.get(event)

    def _wait(self, done: Callable[[], bool], seconds: float, what: Callable[[], str]) -> None:
        until_s = time.monotonic() + seconds
        while not done():
            if self._pool.stop_signals.requested:
                raise KeyboardInterrupt
            self._tend()
            if time.monotonic() > until_s:
                raise StartupError(what())
            self._pool.pump(PUMP_S)
