"""Handloom: real-time 3D hand tracking. `from tracker import HandTracker, Frame`."""
