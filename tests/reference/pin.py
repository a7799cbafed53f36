"""Write the pinned frames anew: ``python tests/reference/pin.py``. Only where the pictures are meant to change."""

import numpy as np
from test_pictures import PINNED, pinned_frames

np.savez_compressed(PINNED, **pinned_frames())
print(f"{PINNED}: {PINNED.stat().st_size / 1e3:.0f} kB")
