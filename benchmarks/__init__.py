"""Measurements: `python -m benchmarks --list` names them. Nothing here is a test."""
