"""What start-up waits for, step by step, with a word on what is missing when it does not come."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from v2g_nodes.cli.host_pool import HostPool
from v2g_nodes.cli.logs import Logs
from v2g_nodes.cli.processes import Host
from v2g_nodes.core.errors import InputError, StartupError

PUMP_S = 0.1  # longest wait, so that signals and deaths are seen
SCOUT_MARGIN_S = 10.0  # for an answer after the time asked for


class Startup:
    """Waits for hosts while they come up.

    Args:
        pool: of the hosts.
        hosts: by role; none of them may end.
        watcher: the host that can see the graph.
        logs: for the last words of one that ended.
        on_step: called with a few words about what is waited for.
    """

    def __init__(
        self, pool: HostPool, hosts: Mapping[str, Host], watcher: Host, logs: Logs, on_step: Callable[[str], None]
    ) -> None:
        self._pool, self._hosts, self._watcher, self._logs, self._on_step = pool, hosts, watcher, logs, on_step

    def wait_for(self, event: str, names: Iterable[str], seconds: float, what: str) -> None:
        """Wait until all these hosts have said something.

        Raises:
            StartupError: names those that have not.
            KeyboardInterrupt: a stop was asked for.
        """
        hosts = [self._hosts[name] for name in names]

        def missing() -> list[str]:
            return [host.name for host in hosts if event not in host.said]

        def done() -> bool:
            self._on_step(f"{len(hosts) - len(missing())} of {len(hosts)} {what}")
            return not missing()

        self._wait(done, seconds, lambda: f"after {seconds:g} s not {event}: {', '.join(missing())}")

    def scout(self, names: list[str], seconds: float) -> None:
        """Look for nodes of these names in the graph.

        Raises:
            InputError: there are some.
            StartupError: no answer.
            KeyboardInterrupt: a stop was asked for.
        """
        host = self._watcher
        self._on_step("looking for nodes of the same names")
        host.send("scout", seconds=seconds, names=names)
        self._wait(lambda: "scout" in host.said, seconds + SCOUT_MARGIN_S,
                   lambda: f"{host.name} did not say which nodes there are already")
        found = host.said["scout"].get("found", [])
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
        host = self._watcher

        def missing() -> list[Any] | None:
            links = host.said.get("link", {}).get("missing")
            return None if links is None else [link for link in links if not later & {link[1], link[2]}]

        def done() -> bool:
            links = missing()
            self._on_step("looking at the graph" if links is None else f"{len(links)} edges of the graph missing")
            return links == []

        def what() -> str:
            links = missing()
            if not links:
                return f"{host.name} did not say whether the graph is complete"
            topic, publisher, subscriber = links[0]
            more = f" (and {len(links) - 1} more)" if len(links) > 1 else ""
            return f"after {seconds:g} s an edge of the graph is missing: {topic}, {publisher} to {subscriber}{more}"

        self._wait(done, seconds, what)

    def _wait(self, done: Callable[[], bool], seconds: float, what: Callable[[], str]) -> None:
        until_s = time.monotonic() + seconds
        while not done():
            if self._pool.stop_signals.requested:
                raise KeyboardInterrupt
            for host in self._hosts.values():
                if host.poll():
                    text = str(host.said.get("error", {}).get("text", "")) or self._logs.last_words(host.name)
                    raise StartupError(f"{host.name} {host.end_text} while starting{f': {text}' if text else ''}")
            if time.monotonic() > until_s:
                raise StartupError(what())
            self._pool.pump(PUMP_S)
