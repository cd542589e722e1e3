"""What became of a received frame, in one word each."""

OK = "ok"
LOST = "lost"  # accepted, but frames are missing before it
REPEATED = "repeated"  # the last one again
STALE = "stale"  # older than the last, or with keys: its time stamp is not now
CHECK = "check"  # CRC or MAC is wrong: damaged, forged, or another key
VERSION = "version"  # of the wire contract is another
LENGTH = "length"  # is not that of the message
RANGE = "range"  # a signal is outside its bounds
UNKNOWN = "unknown"  # no such message
DESTINATION = "destination"  # is someone else

ACCEPTED = (OK, LOST)
REFUSED = (REPEATED, STALE, CHECK, VERSION, LENGTH, RANGE, UNKNOWN, DESTINATION)
