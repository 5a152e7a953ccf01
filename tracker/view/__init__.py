"""Floor 2: pictures. Renderers, overlays and contact sheets."""
