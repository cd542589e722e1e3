"""What `v2g doctor` finds out by listening to the bus: who is there, who is missing, who is no good."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median

from v2g_nodes.canbus.codec import Codec
from v2g_nodes.canbus.identifier import MODULES_MAX, controller_slot, device_slot, module_of, slot_name
from v2g_nodes.canbus.link_state import LinkState
from v2g_nodes.canbus.verdict import CHECK, STALE, VERSION
from v2g_nodes.cli.bus_reader import UNPROVEN, Reading
from v2g_nodes.cli.finding import NOTE, OK, WRONG, Finding

CLOCK_LIMIT_MS = 500  # of an offset; with keys frames beyond 2 s are refused, and a clock that is off drifts on
LOAD_HIGH = 0.5  # of the bus; beyond it low priorities begin to wait
CAUSES = {CHECK: " (damaged, forged or of another can.key_file)", STALE: " (played back, or its clock is off)"}
SAME_VERSION = "bring firmware and ek3.dbc to the same version"
POWER_STEP_KW = 2e-4  # resolution of a rating on the bus


@dataclass
class _Speaker:
    frames: int = 0
    leads_ms: list[int] = field(default_factory=list)
    versions: set[int] = field(default_factory=set)
    buses: set[str] = field(default_factory=set)
    heartbeat: Mapping[str, float] | None = None
    commanded: int = 0


class BusHealth:
    """Gathers readings of a few seconds.

    Args:
        ratings_kw: of the station file, by module id; empty = not known.
    """

    def __init__(self, ratings_kw: Mapping[int, float]) -> None:
        self._ratings_kw = ratings_kw
        self._speakers: dict[int, _Speaker] = defaultdict(_Speaker)
        self._refused: Counter[tuple[str, str, str]] = Counter()  # verdict, message, sender
        self._lost: Counter[int] = Counter()
        self._time_leads_ms: list[float] = []

    def add(self, reading: Reading) -> None:
        """Take in a frame."""
        source = reading.identifier.source
        if reading.verdict == UNPROVEN:
            return
        if not reading.accepted and reading.verdict != VERSION:
            self._refused[reading.verdict, reading.name or f"0x{reading.identifier.code:02X}", slot_name(source)] += 1
            return
        speaker = self._speakers[source]
        speaker.frames += 1
        speaker.buses.add(reading.bus)
        speaker.versions.add(reading.payload[0])
        if not reading.accepted:
            return
        self._lost[source] += reading.lost
        if reading.stamp_lead_ms is not None:
            speaker.leads_ms.append(reading.stamp_lead_ms)
        if reading.name == "HEARTBEAT":
            speaker.heartbeat = reading.signals
        elif reading.name == "SETPOINT" and reading.signals is not None:
            speaker.commanded += int(reading.signals["enable"])
        elif reading.name == "TIME_SYNC" and reading.signals is not None:
            self._time_leads_ms.append(reading.signals["unix_ms"] - reading.unix_ns / 1e6)

    def findings(self, links: Mapping[str, LinkState], load: Mapping[str, float], seconds: float) -> list[Finding]:
        """All of them.

        Args:
            links: how the tool's own link is, by bus.
            load: occupied share of each bus, mean.
            seconds: listened to.
        """
        found = [_of_link(bus, state) for bus, state in links.items()]
        found += [_of_load(bus, share) for bus, share in load.items() if links[bus].up]
        if not self._speakers and not self._refused:
            silent = f"nobody has said anything in {seconds:g} s"
            return [*found, Finding("bus", WRONG if self._ratings_kw else NOTE, silent,
                                    "is the hardware powered, and the bus the right one (can.channel)?")]
        found += self._of_devices()
        found += self._of_others()
        found += self._of_time()
        return found + self._of_frames()

    def _of_devices(self) -> list[Finding]:
        heard = {slot for slot in self._speakers if 1 <= slot <= MODULES_MAX}
        found = []
        for slot in sorted(heard | {device_slot(k) for k in self._ratings_kw}):
            what = f"module {slot}"
            if slot not in heard:
                found.append(Finding(what, WRONG, "silent, but in the station file",
                                     "is it powered, on this bus, with this slot?"))
                continue
            found += self._of_speaker(slot, what)
            if self._ratings_kw and slot not in self._ratings_kw:
                found.append(Finding(what, WRONG, "speaks, but is not in the station file",
                                     "add it to modules, or give it another slot"))
            beat = self._speakers[slot].heartbeat
            if beat is None:
                found.append(Finding(what, NOTE, "no heartbeat heard yet", "listen longer: --seconds 5"))
            else:
                found += self._of_heartbeat(slot, what, beat)
        return found

    def _of_heartbeat(self, slot: int, what: str, beat: Mapping[str, float]) -> list[Finding]:
        choices = {signal.name: signal.choices for signal in Codec.load().spec("HEARTBEAT").signals}
        state, bus = (choices[key].get(int(beat[key]), f"{beat[key]:g}") for key in ("state", "bus"))
        found = [Finding(what, OK, f"/ek3_{slot:02d}: {state}, bus {bus}, {beat['p_max_kw']:.2f} kW, "
                         f"{beat['errors']:.0f} errors, life {int(beat['life']):08x}")]
        ours = Codec.load().version
        if int(beat["dbc_version"]) != ours:
            text = f"has version {beat['dbc_version']:.0f} of ek3.dbc, we {ours}"
            found.append(Finding(what, WRONG, text, SAME_VERSION))
        if state == "tripped":
            found.append(Finding(what, NOTE, "has tripped", "look at its FAULT frames (v2g can dump), then: v2g arm"))
        if bus == "B":
            found.append(Finding(what, NOTE, "speaks on the backup bus", "look at bus A: cable, termination, errors"))
        rating_kw = self._ratings_kw.get(slot)
        if rating_kw is not None and abs(beat["p_max_kw"] - rating_kw) > POWER_STEP_KW:
            found.append(Finding(what, WRONG, f"says {beat['p_max_kw']:.2f} kW, the station file {rating_kw:.2f} kW",
                                 "correct p_max_kw in the file"))
        return found

    def _of_others(self) -> list[Finding]:
        """Bridges, controllers, tools, and who else speaks."""
        found, words = [], []
        for slot in sorted(slot for slot in self._speakers if slot > MODULES_MAX):
            module = module_of(slot)
            found += self._of_speaker(slot, slot_name(slot))
            if slot_name(slot).startswith("slot "):
                found.append(Finding(slot_name(slot), NOTE, "speaks, but this slot has no use", "who is it?"))
            elif module is None or not self._ratings_kw or module in self._ratings_kw:
                words.append(slot_name(slot))
            else:
                found.append(Finding(slot_name(slot), WRONG, "speaks for a module that is not in the station file",
                                     "another station on this bus? give it another channel"))
        if words:
            found.append(Finding("hosts", OK, ", ".join(words)))
        energised = [k for k in range(1, MODULES_MAX + 1) if self._commanded(k)]
        if energised:
            found.append(Finding("armed", NOTE, f"set-points with enable: module {', '.join(map(str, energised))}"))
        return found

    def _commanded(self, k: int) -> int:
        slot = controller_slot(k)
        return self._speakers[slot].commanded if slot in self._speakers else 0

    def _of_speaker(self, slot: int, what: str) -> list[Finding]:
        """What is said of anybody: version and clock."""
        found, speaker, ours = [], self._speakers[slot], Codec.load().version
        others = sorted(speaker.versions - {ours})
        if others:
            found.append(Finding(what, WRONG, f"speaks version {others[0]} of the wire contract, we {ours}",
                                 SAME_VERSION))
        if speaker.leads_ms and abs(median(speaker.leads_ms)) > CLOCK_LIMIT_MS:
            found.append(Finding(what, WRONG, f"its clock is {median(speaker.leads_ms):+.0f} ms off ours",
                                 "is there a TIME_SYNC, and is this host's clock right (chronyc tracking)?"))
        if self._lost[slot]:
            found.append(Finding(what, NOTE, f"{self._lost[slot]} frames lost", "look at errors and load of the bus"))
        return found

    def _of_time(self) -> list[Finding]:
        worst = max((median(s.leads_ms) for s in self._speakers.values() if s.leads_ms), key=abs, default=None)
        found = [] if worst is None else [Finding("clocks", OK, f"stamps are {worst:+.0f} ms off ours at most")]
        if not self._time_leads_ms:
            return [*found, Finding("time sync", NOTE, "nobody sends it", "the bridge of a running station does")]
        lead_ms = median(self._time_leads_ms)
        level = OK if abs(lead_ms) <= CLOCK_LIMIT_MS else WRONG
        return [*found, Finding("time sync", level, f"{len(self._time_leads_ms)} heard, {lead_ms:+.0f} ms off ours",
                                "" if level == OK else "set the clock of the host of the bridge (chronyc tracking)")]

    def _of_frames(self) -> list[Finding]:
        found = []
        for (word, name, who), count in self._refused.most_common(10):
            text = f"{count} x {name} of {who}: {word}{CAUSES.get(word, '')}"
            found.append(Finding("refused", WRONG, text, "see v2g can dump"))
        total = sum(speaker.frames for speaker in self._speakers.values())
        return [*found, Finding("frames", OK, f"{total} good ones of {len(self._speakers)} speakers")]


def _of_link(bus: str, state: LinkState) -> Finding:
    if not state.up:
        return Finding(f"bus {bus}", WRONG, state.text or "is not up", "see the interface above")
    if state.errors or state.foreign:
        text = f"{state.errors} error frames, {state.foreign} frames of other kinds than ours"
        return Finding(f"bus {bus}", NOTE, text, "look at cable, termination and bit rates; at who else is on this bus")
    return Finding(f"bus {bus}", OK, "up")


def _of_load(bus: str, share: float) -> Finding:
    text = f"{share:.1%} busy (every frame with the most stuff bits it can have)"
    if share > LOAD_HIGH:
        return Finding(f"bus {bus}", WRONG, text, "fewer modules per bus, or a longer dispatch.heartbeat_ms")
    return Finding(f"bus {bus}", OK, text)
