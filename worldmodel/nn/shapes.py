"""Shape annotations, where jaxtyping is installed; without it (on bare GPU nodes) they are just words.

With it, ``pytest --jaxtyping-packages=worldmodel,beartype.beartype`` checks every one of them as the tests run.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING or importlib.util.find_spec("jaxtyping") is not None:
    from jaxtyping import Bool, Float, Int
else:

    class Float:
        """Stands for an array of some shape."""

        def __class_getitem__(cls, _: Any) -> type:
            return object

    Bool = Int = Float

__all__ = ["Bool", "Float", "Int"]
