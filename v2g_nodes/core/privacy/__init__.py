"""Supply curves hidden from neighbours: keys that go round, and masks whose sum over the group is zero."""
