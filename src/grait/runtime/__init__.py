"""Files, locks, processes and the machine: what every stage needs and none is about."""
