"""The window and the constants of structural similarity (Wang et al. 2004), for both of its twins."""

from typing import Final

import numpy as np

RADIUS: Final = 5
SIGMA_PX: Final = 1.5
C1: Final = 0.01**2
C2: Final = 0.03**2
"""Keep dark and flat regions from dividing by zero; for values between 0 and 1."""

_BELL: Final = np.exp(-0.5 * (np.arange(-RADIUS, RADIUS + 1) / SIGMA_PX) ** 2)
WINDOW: Final = _BELL / _BELL.sum()
"""(11,) weights along one axis; they sum to 1."""
