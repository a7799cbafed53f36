"""Policies by name. Knows which there are, not what they do."""

from __future__ import annotations

import difflib
from collections.abc import Callable

from worldmodel.simulation.policies.keeper import LaneKeeper
from worldmodel.simulation.policies.oracle import OracleKeeper
from worldmodel.simulation.policies.policy import Policy
from worldmodel.simulation.policies.simple import Constant, Random

#: Name to the function that makes it.
POLICIES: dict[str, Callable[[], Policy]] = {
    "constant": Constant,
    "random": Random,
    "lane-keeper": LaneKeeper,
    "oracle-keeper": OracleKeeper,
}


def open_policy(name: str) -> Policy:
    """A new policy of that name.

    Raises:
        ValueError: there is none; with the nearest name.
    """
    if name not in POLICIES:
        close = difflib.get_close_matches(name, POLICIES, n=1)
        remedy = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(POLICIES)}"
        raise ValueError(f"policy: no policy is called {name!r}; {remedy}")
    return POLICIES[name]()
