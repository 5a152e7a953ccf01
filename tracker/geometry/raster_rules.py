"""Numbers on which every backend of the rasteriser must agree to draw the same picture."""

from typing import Final

BEHIND: Final = 1.002
"""An edge outlines a surface only if its 1/z is this much larger than the surface's behind it."""
HIDDEN: Final = 1.02
"""An edge is hidden if the pixel on its inner side shows something with 1/z this much larger."""
INSIDE_SLACK: Final = 1e-5
"""Closes the cracks that rounding leaves between neighbouring triangles (barycentric weight)."""
THINNEST_PX2: Final = 1e-9
"""Twice the area below which a triangle is a line, and turned to nobody."""
FLAT_PX2: Final = 2e-1
"""Twice the area below which a face seen at a pixel hands no gradient to its corners' places.

Such a sliver owns a pixel centre only by chance, and rounding would decide how large it is.
"""
