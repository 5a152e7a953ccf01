"""Programs: one file, one typed function each."""
