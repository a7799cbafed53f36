"""Floor 1: pure functions on arrays that say how good something is. Knows nothing of worlds, networks or files.

``image``: single images and pairs. ``path``: displacement of paths. ``signs``: turning as told.
``intervals``: how sure a mean is. ``ranks``: whether two worlds order policies alike. ``frechet``: how far two sets of
features lie apart. ``band``: whether a drive still looks like true ones. ``neighbours``: whether it is copied.
``leaving``: when a continuation leaves its recording.
"""
