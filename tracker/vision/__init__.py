"""Floor 1: one frame in, hands out. No threads, no windows."""
