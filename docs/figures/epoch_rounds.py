"""One epoch on a ring of eight, frame by frame, without and with lost frames: the station's own agents."""

from __future__ import annotations

from collections.abc import Sequence

from drawing import ACCENT, COLD, axes, text_of

from v2g_nodes.cli.dispatch_trial import build_agents, random_instance
from v2g_nodes.core.dispatch.lockstep import LockstepAgent
from v2g_nodes.core.graph import adjacency
from v2g_nodes.core.types import Frame
from v2g_nodes.sim.network import LossyNetwork, play_epoch


class Watched:
    """An agent whose frames are noted."""

    def __init__(self, agent: LockstepAgent) -> None:
        self._agent = agent
        self.sent: list[tuple[int, bool]] = []
        self.agreed: int | None = None
        self._rounds: set[int] = set()

    def step(self, inbox: Sequence[Frame], now_ns: int) -> list[Frame]:
        """As the agent's."""
        frames = self._agent.step(inbox, now_ns)
        for frame in frames:
            self.sent.append((now_ns, frame.round in self._rounds))
            self._rounds.add(frame.round)
        if self.agreement is not None and self.agreed is None:
            self.agreed = now_ns
        return frames

    @property
    def agreement(self) -> object | None:
        """As the agent's."""
        return self._agent.agreement


def draw() -> str:
    """The figure."""
    figure, places = axes(2, 2.9)
    for axis, loss in zip(places, (0.0, 0.2), strict=True):
        instance = random_instance("ring", 8, seed=2, trial=0)
        agents = {k: Watched(agent) for k, agent in build_agents(instance, "supply_curve").items()}
        rounds = play_epoch(agents, LossyNetwork(adjacency(instance.group.members, instance.group.edges), loss, seed=5))
        for k, agent in agents.items():
            for again, color in ((False, ACCENT), (True, "#c3ccd4")):
                axis.plot([t for t, repeated in agent.sent if repeated is again], [k] * sum(
                    repeated is again for _, repeated in agent.sent), "s", color=color, markersize=6,
                    label=("sent again" if again else "new round") if k == 1 else None)
            axis.plot(agent.agreed, k, "|", color=COLD, markersize=13, markeredgewidth=2.2,
                      label="agreed" if k == 1 else None)
        axis.set_title(f"{loss:.0%} of the frames lost: {rounds} rounds")
        axis.set_xlabel("time in message delays")
        axis.set_yticks(range(1, 9))
        axis.set_ylabel("module")
        axis.grid(visible=False, axis="y")
    figure.legend(*places[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return text_of(figure)
