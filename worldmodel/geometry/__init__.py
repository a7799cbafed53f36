"""Floor 1: where things are and how they move. Knows arrays and tensors, nothing of networks, files or worlds.

``camera``: pinhole cameras, the canonical view, warping into it. ``motion``: SE(2), the vehicle, dead reckoning.
``reprojection``: what a motion does to a picture.

Axes: the ground frame is x forwards, y left, z up (ISO 8855); the camera frame is x right, y down, z forwards.
"""
