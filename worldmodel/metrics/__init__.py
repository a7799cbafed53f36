"""Floor 1: pure functions on arrays that say how good something is. Knows nothing of worlds, networks or files.

``image``: single images and pairs. ``path``: displacement of paths. ``signs``: turning as told.
``intervals``: how sure a mean is.
"""
