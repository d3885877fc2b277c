"""How large and how fast: methods, judges and data, each measured in a process of its own."""
