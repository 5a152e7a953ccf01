"""Floor 2: time. Sources of frames."""
