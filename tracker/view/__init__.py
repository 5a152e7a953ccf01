"""Floor 2: pictures. Renderers, overlays, contact sheets, and the views of a live run."""
