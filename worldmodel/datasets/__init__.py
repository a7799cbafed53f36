"""Floor 2: driving on disk. Public datasets and your own recordings become episodes; episodes become training windows.

``readers/*`` know one publisher's layout each (``source`` says what they hand over); ``timing`` chooses real frames and
makes motion from frame to frame, ``steering`` infers it where only the wheel was logged, ``alignment`` checks it
against the pictures; ``prepare`` joins them; ``episodes`` and ``lerobot`` are the format, ``video`` the files,
``windows`` what training draws. Knows nothing of networks or worlds.

``windows`` can be imported without a video codec or parquet; nothing is imported here for that reason.
"""
