"""Floor 5: worlds that run, and what drives in them. Calls point down, to the model, the datasets and the reference.

``session``: the learned world, frame by frame. ``rollout``: the engine, the same for every world. ``policies``: who
drives. ``profile``: scripted motion. ``starting`` and ``footage``: where a drive starts. ``recorder``, ``drive_io`` and
``outputs``: a drive on disk. ``make_drive`` and ``reference_film``: two modes of ``rollout.py``. ``env`` and
``registration``: Gymnasium. ``documents``: YAML with lines in its errors. ``scenario``, ``staging``, ``mining``:
scenario files, brought to life, found. ``edits``, ``courses``, ``branching``: what if. ``overlay``, ``chart``,
``views``, ``keeping``: to look at and to keep.

It is imported with the package itself, so nothing is imported here.
"""
