"""Floor 2: files. Meshes, skeletons and tables of tracked hands."""
