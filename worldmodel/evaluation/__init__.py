"""Floor 6: puts metrics and perception to work on recorded drives of any world. Knows nothing of how they were made.

``reading``: what the pixels of a drive say. ``check``: that against what the drive was told. ``control``: true video
of the reference world to set beside it. ``parting``: two drives from one beginning. ``replay``, ``whatif``: scenarios
again, beside the recording and beside the true world (``judging`` reads, ``comparing`` compares, ``scenario_runs`` runs
folders of them).
"""
