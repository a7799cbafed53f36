"""How sure the judge must be before a failure counts: chosen on true drives, where the truth is known.

A reader trained where failures are rare says so with small probabilities; one half is no natural threshold. It is
chosen on true drives alone, never on a learned world's, and for each half of the scenarios on the other half's drives,
so that no drive is scored by what was chosen on it. Knows drives that were kept.

Shapes: T frames.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from worldmodel.evaluation.keeping_drives import DEFAULT_CERTAINTY, TRUTH, Certainty, KeptDrive, account_of, held
from worldmodel.metrics.calibration import best_threshold
from worldmodel.metrics.driving import failure_of

#: So many drives with a failure of a kind, and without, are needed to choose a threshold for it.
LEAST_DRIVES = 4
#: A failure may be seen so long before and after it happens.
_EARLY_S, _LATE_S = 0.5, 2.0


def choose(drives: Sequence[KeptDrive]) -> Certainty:
    """The certainty that tells failures of true drives best from everything before them.

    A kind with fewer than ``LEAST_DRIVES`` drives on either side keeps one half.
    """
    chosen = {}
    for kind in ("collision", "off_road"):
        seen, calm = [], []
        for drive in drives:
            at = failure_of(account_of(drive, TRUTH))
            signal, dt_s = held(drive, kind), float(np.median(np.diff(drive.columns["t_s"])))
            before = signal if at is None else signal[: max(0, at - round(_EARLY_S / dt_s))]
            if len(before):
                calm.append(before.max())
            if at is not None and drive.columns[f"truth.{kind}"][at] > 0.5:
                seen.append(signal[max(0, at - round(_EARLY_S / dt_s)) : at + round(_LATE_S / dt_s) + 1].max())
        enough = min(len(seen), len(calm)) >= LEAST_DRIVES
        chosen[kind] = best_threshold(np.array(seen), np.array(calm)) if enough else getattr(DEFAULT_CERTAINTY, kind)
    return Certainty(**chosen)


def cross_chosen(true_drives: Sequence[KeptDrive]) -> dict[str, Certainty]:
    """By scenario, the certainty chosen on the true drives of the other half of the scenarios."""
    names = sorted({drive.path.stem for drive in true_drives})
    halves = [set(names[::2]), set(names[1::2])]
    by_half = [choose([drive for drive in true_drives if drive.path.stem in half]) for half in halves]
    return {name: by_half[1 if name in halves[0] else 0] for name in names}


def words(certainties: Mapping[str, Certainty]) -> str:
    """For a report: what was chosen."""
    found = sorted({dataclasses.astuple(certainty) for certainty in certainties.values()})
    shown = "; ".join(f"collision {a:.3g}, off the road {b:.3g}" for a, b in found)
    return (
        "The judge has seen a failure when its probability, held for a while, is above a threshold that was chosen on "
        f"true drives of the other half of the scenarios ({shown}; one half where there were too few failures for it)."
    )
