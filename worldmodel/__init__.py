"""A learned driving simulator. See the README for a map of the house; calls point downward only.

Importing it makes the environments known to Gymnasium, where that is installed, so that
``gymnasium.make("worldmodel:Drive-v0")`` finds them; nothing else is imported.
"""

import contextlib

__version__ = "0.1.0"

with contextlib.suppress(ModuleNotFoundError):
    from worldmodel.simulation.registration import register_envs

    register_envs()
