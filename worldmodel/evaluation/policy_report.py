"""Pages about policies: a table of scores with intervals, the drives, and films to look at. Knows html, no drives.

A page needs nothing beside it: films are inside it.
"""

from __future__ import annotations

import base64
import html
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from worldmodel.evaluation.policy_scores import Scored
from worldmodel.evaluation.report import STYLE
from worldmodel.metrics.driving import SCORES
from worldmodel.metrics.intervals import Interval
from worldmodel.simulation.trials import Kind
from worldmodel.types import FloatArray

#: How a view of (world, account) is called.
TITLES: dict[tuple[Kind, str], str] = {
    ("learned", "judge"): "learned world, by the judge",
    ("true", "truth"): "true world, by the truth",
    ("true", "judge"): "true world, by the judge",
}


def write_page(path: Path, title: str, parts: Sequence[str]) -> None:
    """Write a page of html parts under a temporary name first."""
    head = f"<!doctype html><meta charset=utf-8><title>{html.escape(title)}</title><style>{STYLE}</style>"
    temporary = path.with_name(f".{path.name}.partial")
    temporary.write_text("\n".join([head, f"<h1>{html.escape(title)}</h1>", *parts]), encoding="utf-8")
    os.replace(temporary, path)


def score_table(rows: Mapping[str, Scored]) -> str:
    """Scores of several policies, or of one by several accounts, a row each."""
    heads = ["", *(f"{label} {'↑' if way == 'up' else '↓'}" for label, way in SCORES.values())]
    lines = [[*heads, "drives", "broke down", "world fell apart"]]
    for name, scores in rows.items():
        cells = [number(interval) for interval in scores.intervals().values()]
        fallen = f"{scores.fallen} of {len(scores.falls)}" if scores.falls else "not watched"
        broke = sum(b is not None for b in scores.broke_down)
        lines.append([name, *cells, str(len(scores.scores)), str(broke), fallen])
    return table(lines)


def drive_table(scores: Scored) -> str:
    """One policy's drives, a row each."""
    lines = [["scenario", "composite", "metres", "failed", "at s", "marks"]]
    for index, (name, score) in enumerate(zip(scores.names, scores.scores)):
        failed = [word for word in ("collision", "off_road") if score[word]]
        marks = [scores.broke_down[index] or ""]
        if scores.falls and scores.falls[index].second is not None:
            fall = scores.falls[index]
            marks.append(f"the world fell apart at {fall.second} s ({fall.statistic})")
        at = "" if math.isnan(score["failed_s"]) else f"{score['failed_s']:.1f}"
        composite, metres = f"{score['composite']:.2f}", f"{score['progress_m']:.0f}"
        lines.append([name, composite, metres, " and ".join(failed) or "no", at, "; ".join(filter(None, marks))])
    return table(lines)


def table(lines: Sequence[Sequence[str]]) -> str:
    """An html table whose first line is its head."""
    head = "".join(f"<th>{html.escape(cell)}" for cell in lines[0])
    rows = ("<tr>" + "".join(f"<td>{html.escape(cell)}" for cell in line) for line in lines[1:])
    return f"<div style='overflow-x:auto'><table><tr>{head}{''.join(rows)}</table></div>"


def number(interval: Interval, digits: int = 3) -> str:
    """A value and its interval; a dash where it is not known."""
    if not math.isfinite(interval.value):
        return "-"
    value = f"{interval.value:.{digits}g}"
    bounds = (interval.low, interval.high)
    return (
        value
        if not all(map(math.isfinite, bounds))
        else (f"{value} ({bounds[0]:.{digits}g} to {bounds[1]:.{digits}g})")
    )


def film(path: Path | None, caption: str) -> str:
    """A film inside the page; where none was kept, a word that says so."""
    words = f"<small>{html.escape(caption)}</small><br>"
    if path is None:
        return f"<p>{words}<small>(no film was kept: films=false)</small></p>"
    data = base64.b64encode(path.read_bytes()).decode()
    source = f"data:video/mp4;base64,{data}"
    return f'<p>{words}<video controls loop muted width=512 src="{source}"></video></p>'


def scatter(x: FloatArray, y: FloatArray, names: Sequence[str], *, title: str, x_label: str, y_label: str) -> str:
    """Two scores of every policy against each other, as svg: points with names, and the diagonal."""
    known = np.concatenate([np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)])
    known = known[np.isfinite(known)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    margin = 0.08 * (high - low) or 0.5
    low, high = low - margin, high + margin
    size, left = 380, 60

    def place(value: float, upward: bool) -> float:
        share = (value - low) / (high - low)
        return size - share * size + 24 if upward else left + share * size

    parts = [f'<svg width="{size + left + 170}" height="{size + 70}" font-family="system-ui" font-size="10">']
    parts.append(f'<rect x="{left}" y="24" width="{size}" height="{size}" fill="none" stroke="#aaa"/>')
    parts.append(f'<line x1="{left}" y1="{size + 24}" x2="{left + size}" y2="24" stroke="#ccc" stroke-dasharray="4"/>')
    parts.append(f'<text x="{left}" y="14" font-size="13">{html.escape(title)}</text>')
    for share in (0.1, 0.5, 0.9):
        value = low + share * (high - low)
        parts.append(f'<text x="{place(value, False):.0f}" y="{size + 38}" text-anchor="middle">{value:.3g}</text>')
        parts.append(f'<text x="{left - 6}" y="{place(value, True):.0f}" text-anchor="end">{value:.3g}</text>')
    parts.append(f'<text x="{left + size / 2}" y="{size + 56}" text-anchor="middle">{html.escape(x_label)}</text>')
    middle = 24 + size / 2
    parts.append(
        f'<text x="12" y="{middle}" text-anchor="middle" transform="rotate(-90 12 {middle})">'
        f"{html.escape(y_label)}</text>"
    )
    for a, b, name in zip(x, y, names):
        if math.isfinite(a) and math.isfinite(b):
            at = place(float(a), False), place(float(b), True)
            parts.append(f'<circle cx="{at[0]:.1f}" cy="{at[1]:.1f}" r="4" fill="#0072b2" fill-opacity="0.8"/>')
            parts.append(f'<text x="{at[0] + 6:.1f}" y="{at[1] + 3:.1f}">{html.escape(name)}</text>')
    return "".join([*parts, "</svg>"])


def settings_table(settings: Mapping[str, Any]) -> str:
    """What a run was made with."""
    return "<h2>Settings</h2>" + table([["", ""], *([str(key), str(value)] for key, value in settings.items())])
