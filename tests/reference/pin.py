"""Write the pinned frames anew: ``python tests/reference/pin.py``. Only where the pictures are meant to change.

Raise ``worldmodel.reference.WORLD_VERSION`` first: it is pinned with them.
"""

import numpy as np
from test_pictures import PINNED, pinned_frames

from worldmodel.reference import WORLD_VERSION

with np.load(PINNED) as before:
    assert before["version"] < WORLD_VERSION, "raise WORLD_VERSION: pictures that differ are another world"
np.savez_compressed(PINNED, version=np.array(WORLD_VERSION), **pinned_frames())
print(f"{PINNED}: {PINNED.stat().st_size / 1e3:.0f} kB")
