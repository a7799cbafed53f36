"""Who drives: one small protocol (``policy``), and the drivers that obey it, by name (``library``).

They see observations, never a world; what they say becomes motion in ``geometry.motion`` alone.
"""
