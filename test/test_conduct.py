from __future__ import annotations

from v2g_nodes.core.conduct import QUARANTINE_MAX_NS, QUARANTINE_NS, Conduct

BEAT = 50_000_000


class Talk:
    """A neighbour's messages, one heartbeat apart."""

    def __init__(self) -> None:
        self.conduct = Conduct()
        self.now_ns = 0
        self.sequence = 0

    def say(self, fault: str = "", times: int = 1) -> None:
        for _ in range(times):
            self.now_ns += BEAT
            self.sequence += 1
            assert not self.conduct.repeats(self.sequence, self.now_ns)
            self.conduct.judge(fault, self.now_ns)

    def until_readmitted(self) -> int:
        begun_ns = self.now_ns
        while self.conduct.excluded:
            self.say()
        return self.now_ns - begun_ns


def test_three_faults_in_a_row_exclude_and_two_do_not() -> None:
    talk = Talk()
    talk.say("nan", 2)
    assert not talk.conduct.excluded
    talk.say(times=6)
    talk.say("nan", 3)
    assert talk.conduct.excluded
    assert talk.conduct.fault == "nan"


def test_faults_now_and_then_do_no_harm() -> None:
    talk = Talk()
    for _ in range(500):
        talk.say("damaged")
        talk.say(times=3)
    assert not talk.conduct.excluded
    for _ in range(20):
        talk.say("damaged")
        talk.say(times=2)
    assert talk.conduct.excluded


def test_a_sequence_that_stands_still_excludes_and_a_copy_of_each_message_does_not() -> None:
    still, copied = Talk(), Talk()
    still.say()
    for n in range(9):
        assert not still.conduct.excluded, n
        assert still.conduct.repeats(still.sequence, still.now_ns)
    assert still.conduct.excluded
    for _ in range(200):
        copied.say()
        assert copied.conduct.repeats(copied.sequence, copied.now_ns)
    assert not copied.conduct.excluded


def test_another_life_counts_its_messages_anew() -> None:
    talk = Talk()
    talk.conduct.lives(1)
    talk.say(times=20)
    talk.sequence = 5
    talk.conduct.lives(2)
    talk.say(times=20)
    assert not talk.conduct.excluded
    talk.conduct.lives(2)
    assert talk.conduct.repeats(talk.sequence, talk.now_ns)


def test_who_is_sane_again_is_readmitted_after_a_quarantine_that_grows() -> None:
    talk = Talk()
    pauses = []
    for _ in range(8):
        talk.say("nan", 4)
        pauses.append(talk.until_readmitted())
    assert pauses == [min(QUARANTINE_NS << k, QUARANTINE_MAX_NS) for k in range(8)]


def test_faults_in_quarantine_begin_it_again() -> None:
    talk = Talk()
    talk.say("nan", 3)
    talk.say(times=30)
    talk.say("nan")
    assert talk.until_readmitted() == QUARANTINE_NS


def test_a_minute_of_good_conduct_makes_the_quarantine_short_again() -> None:
    talk = Talk()
    for _ in range(4):
        talk.say("nan", 3)
        talk.until_readmitted()
    talk.say(times=QUARANTINE_MAX_NS // BEAT)
    talk.say("nan", 3)
    assert talk.until_readmitted() == QUARANTINE_NS
