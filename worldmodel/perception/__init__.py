"""Floor 3: reads a drive back from its pixels. Knows nothing of the worlds that made them.

``plane``: speed and yaw rate by plain geometry. ``lanes``: markings in single frames. ``ground``: the plane they share.
"""
