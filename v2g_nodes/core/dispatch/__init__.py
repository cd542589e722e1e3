"""How modules share out power: one file per algorithm behind one Agent protocol, and the reference."""
