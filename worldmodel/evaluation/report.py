"""Scores as files for machines and for people: ``report.json``, and ``report.html`` that needs nothing beside it.

The page holds a table of scores beside their floors and controls, curves second by second, and the drives themselves as
films: true above, generated below. Knows scores and pictures, nothing of how they came about.

Shapes: T frames; H, W pixels.
"""

from __future__ import annotations

import base64
import html
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from worldmodel.datasets.video import FrameSequence, StreamingVideoWriter
from worldmodel.evaluation.film import write_film
from worldmodel.evaluation.library import Library
from worldmodel.simulation.chart import Curve, line_chart
from worldmodel.simulation.overlay import tile, way_ahead
from worldmodel.simulation.recorder import write_json
from worldmodel.simulation.sheet import grid, labelled, write_png
from worldmodel.types import Drive, FrameArray

#: Key of a score, how people call it, and how its numbers are written.
ROWS = {
    "speed": ("speed error", ".2f"),
    "yaw": ("yaw rate error", ".4f"),
    "path": ("way off (ADE)", ".2f"),
    "drift": ("stays like true video", ".0%"),
    "objects": ("users come and go unexplained", ".2f"),
    "near_copy": ("copies of training frames", ".1%"),
    "psnr": ("likeness at 1 s (PSNR)", ".2f"),
    "surprise": ("the model's own surprise", ".4f"),
    "diversity": ("how far seeds part at 5 s", ".2f"),
}
#: What is told beside the score of other road users.
OBJECT_PARTS = {
    "pop_ins": "appear from nothing, in a minute in sight",
    "vanishings": "vanish into nothing, in a minute in sight",
    "flicker": "share of boxes that last less than 0.3 s",
    "track_s": "seconds that one is followed",
    "users": "in sight at a time",
    "passed": "passed or met, in a minute",
    "passing": "pass, in a minute",
    "ahead_share": "share of frames with somebody ahead",
    "gap_m": "gap to him, m",
    "gap_change_mps": "change of the gap, m/s",
}
#: Films shown on the page.
_SHOWN = 4
STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:1100px;margin:2em auto;padding:0 1em;color:#222}
table{border-collapse:collapse;margin:1em 0}td,th{border-bottom:1px solid #ddd;padding:.3em .8em;text-align:right}
td:first-child,th:first-child{text-align:left}img,video{max-width:100%}small{color:#666}"""


def film_of(folder: Path, generated: FrameArray, true: Drive, context: int) -> None:
    """Write ``film.mp4``, generated frames ``(T, H, W, 3)`` below the true ones they stand for, and ``sheet.png``.

    The generated frames alone are in ``frames.mp4``.
    """
    dt_s, first = float(np.median(np.diff(true.t_s))), context - 1
    motion = true.motion[first:]
    last = len(generated) - 1

    def pictures() -> Iterator[FrameArray]:
        for t, frame in enumerate(generated):
            way, told = way_ahead(motion, t, dt_s), motion[min(t, last - 1)]
            both = [("true", np.asarray(true.frames[first + t])), ("generated", frame)]
            shown = [tile(f, true.camera, title, t_s=t * dt_s, told=told, way=way) for title, f in both]
            yield np.concatenate(shown)

    sheet = {round(share * last) for share in (0.05, 0.25, 0.5, 1.0)}
    write_film(folder / "film.mp4", pictures(), fps=1 / dt_s, on_sheet=sheet)
    alone = StreamingVideoWriter(folder / "frames.mp4", *generated.shape[1:3], fps=1 / dt_s, crf=20)
    for frame in generated:
        alone.write(frame)
    alone.finish()


def copies_sheet(folder: Path, score: Mapping[str, Any], library: Library) -> None:
    """Write ``copies.png``: the worst pairs of each kind, each generated frame beside the training frame it is like."""
    rows = []
    for kind in (None, "clips", "pixels"):
        found = score if kind is None else score.get(kind, {})
        for worst in found.get("worst", ()):
            made = FrameSequence(folder / f"drive_{worst['drive']:03d}" / "frames.mp4")[worst["frame"]]
            title = f"{kind or 'features'} {worst['distance']:.2f}: drive {worst['drive']}, frame {worst['frame']}"
            trained = library.picture(worst["library_frame"])
            path, at = library.place(worst["library_frame"])
            rows.append(np.concatenate([labelled(made, title), labelled(trained, f"{path.stem}, {at}")], axis=1))
    write_png(folder / "copies.png", grid(rows, columns=3))


def write_report(out: Path, results: Mapping[str, Mapping[str, Any]], settings: Mapping[str, Any]) -> None:
    """Write both files.

    Args:
        out: folder; that of each model holds its drives.
        results: scores by name of the model; the first model's are the report's top-level keys.
        settings: of the run.
    """
    first = next(iter(results.values()))
    models = {name: dict(scores) for name, scores in results.items()}
    write_json(out / "report.json", dict(first) | {"models": models, "settings": dict(settings)})
    temporary = out / ".report.html.partial"
    temporary.write_text(page(out, results, settings), encoding="utf-8")
    os.replace(temporary, out / "report.html")


def page(out: Path, results: Mapping[str, Mapping[str, Any]], settings: Mapping[str, Any]) -> str:
    """The report as one page of html."""
    parts = ["<!doctype html><meta charset=utf-8><title>How true is a drive</title>", f"<style>{STYLE}</style>"]
    parts.append("<h1>How true is a drive</h1><p>The judge's error on true video is the <b>floor</b> of each score; ")
    parts.append("<i>shuffled</i> and the others are controls. Intervals are 95 % over drives.</p>")
    if len(results) > 1:
        parts.append(_side_by_side(results))
    for name, scores in results.items():
        parts += [f"<h2>{html.escape(name)}</h2>", _table(scores)]
        parts += [f'<p><img src="{_png(chart)}"></p>' for chart in _charts(scores)]
        if (copies := out / name / "copies.png").is_file():
            data = base64.b64encode(copies.read_bytes()).decode()
            parts.append("<p><small>what comes nearest to the training set, beside the training frame</small><br>")
            parts.append(f'<img src="data:image/png;base64,{data}"></p>')
        for place in sorted((out / name).glob("drive_*"))[:_SHOWN]:
            film = base64.b64encode((place / "film.mp4").read_bytes()).decode()
            parts.append(f"<p><small>{place.name}</small><br>")
            parts.append(f'<video controls loop muted src="data:video/mp4;base64,{film}"></video></p>')
    rows = "".join(f"<tr><td>{html.escape(str(k))}<td>{html.escape(str(v))}" for k, v in settings.items())
    return "\n".join([*parts, f"<h2>Settings</h2><table>{rows}</table>"])


def lines_of(scores: Mapping[str, Any]) -> list[list[str]]:
    """The table of scores: name, value with its interval, floor, controls, drives."""
    lines = []
    for key, (label, style) in ROWS.items():
        score = scores[key]
        if score["value"] is None:
            lines.append([label, "-", "-", str(score.get("why", "")), "0"])
            continue
        low, high = (_number(bound, style) for bound in score["interval"])
        value = f"{_number(score['value'], style)} ({low} to {high}) {score['unit']}"
        lines.append([label, value, _number(score["floor"], style), _beside(score, style), str(score["n"])])
        lines += _more_lines(key, score, style)
    return lines


def _more_lines(key: str, score: Mapping[str, Any], style: str) -> Iterator[list[str]]:
    """What stands below a score: slopes and lag of probes, copies of clips and in pixels, other likenesses."""
    for part, words in (OBJECT_PARTS if key == "objects" else {}).items():
        yield from _row(f"– {words}", score["parts"][part], style)
    for factor, slope in score.get("gain_slope", {}).items():
        true, ratio = _number(slope["true"], ".2f"), _number(slope["ratio"], ".2f")
        label = f"… slope when scaled by {factor}"
        yield [label, _number(slope["value"], ".2f"), true, f"ratio {ratio}", str(slope["n"])]
    if response := score.get("response"):
        lag, floor = (_number(r["lag_frames"], ".1f") for r in (response, response["floor"]))
        yield ["… lag behind a step, frames", lag, floor, "", str(response["n"])]
    for name, label, other in (
        ("tags", "… inside the band of its tags", ".0%"),
        ("clips", "… of 1-s clips", ".1%"),
        ("pixels", "… in aligned pixels", ".1%"),
        ("ssim", "… SSIM", ".3f"),
        ("moving_error", "… error where it moves, grey levels", ".1f"),
    ):
        if part := score.get(name):
            yield from _row(label, part, other)
    if "best_of_n" in score:
        label = f"… best of {score['samples']} (mean of them)"
        yield [label, f"{_number(score['best_of_n'], style)} ({_number(score['mean_of_n'], style)})", "", "", ""]


def _row(label: str, score: Mapping[str, Any], style: str) -> Iterator[list[str]]:
    floor, beside = _number(score["floor"], style), _beside(score, style)
    yield [label, _number(score["value"], style), floor, beside, str(score["n"])]


def _beside(score: Mapping[str, Any], style: str) -> str:
    return ", ".join(f"{name} {_number(score[name], style)}" for name in score["controls"])


def _side_by_side(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Models beside each other, one column each."""
    head = "<tr><th>" + "".join(f"<th>{html.escape(name)}" for name in results)
    rows = []
    for key, (label, style) in ROWS.items():
        cells = "".join(f"<td>{_number(scores[key]['value'], style)}" for scores in results.values())
        rows.append(f"<tr><td>{html.escape(label)}{cells}")
    return f"<h2>Models</h2><table>{head}{''.join(rows)}</table>"


def _table(scores: Mapping[str, Any]) -> str:
    head = "<tr>" + "".join(f"<th>{word}" for word in ("", "generated", "floor", "controls", "drives"))
    rows = ["<tr>" + "".join(f"<td>{html.escape(cell)}" for cell in line) for line in lines_of(scores)]
    return f"<table>{head}{''.join(rows)}</table>"


def _charts(scores: Mapping[str, Any]) -> Iterator[FrameArray]:
    for key, label in (("speed", "speed error, m/s"), ("yaw", "yaw rate error, rad/s")):
        by_second = scores[key]["by_second"]
        yield _chart(by_second, label)
    users = scores["objects"].get("by_second", {})
    for name, label in (("users", "other road users in sight"), ("gap_m", "gap to who is ahead, m")):
        by_side = {side: users[side][name] for side in users if any(y is not None for y in users[side][name])}
        if by_side:
            yield _chart(by_side, f"{label}, second by second")
    curves = scores["drift"].get("by_second")
    for name in ("sharpness", "contrast", "lanes", "features") if curves else ():
        yield _chart({side: curves[side][name] for side in curves}, f"{name}, second by second")
    inside = {"of these drives": scores["drift"], "of their tags": scores["drift"].get("tags", {})}
    inside = {name: band["inside_by_second"] for name, band in inside.items() if "inside_by_second" in band}
    if inside:
        yield _chart(inside, "share of drives still inside the band")
    for key in ("speed", "yaw"):
        if response := scores[key].get("response"):
            answers = {"generated": response["curve"], "true": response["floor"]["curve"]}
            yield _chart(answers, f"{key} after a step, in steps; it comes at frame 8")
    if by_frame := scores["surprise"].get("by_frame"):
        yield _chart(by_frame, "surprise, frame by frame")


def _chart(by_side: Mapping[str, Sequence[float | None]], label: str) -> FrameArray:
    curves = [
        Curve(side, np.arange(len(y), dtype=np.float64), np.array([np.nan if v is None else v for v in y]), i > 0)
        for i, (side, y) in enumerate(by_side.items())
    ]
    return line_chart(curves, title=label, y_label="")


def _png(picture: FrameArray) -> str:
    _, data = cv2.imencode(".png", picture[..., ::-1])
    return "data:image/png;base64," + base64.b64encode(data.tobytes()).decode()


def _number(value: float | None, style: str) -> str:
    return "-" if value is None or not math.isfinite(value) else format(value, style)
