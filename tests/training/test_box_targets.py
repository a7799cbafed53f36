"""Targets of the head that finds road users: whoever says exactly what they say has found the boxes."""

import math

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from worldmodel.perception.boxes import AHEAD, CENTRE, LOG_SCALE, MAPS, STRIDE
from worldmodel.training.boxes import box_losses, box_target

GRID = (16, 32)


@st.composite
def box_rows(draw):
    """Boxes ``(K, 8)`` of one frame, padded with NaN, some cut by the border."""
    rows = np.full((5, 8), np.nan, np.float32)
    for i in range(draw(st.integers(0, 4))):
        left, top = draw(st.floats(0, 120)), draw(st.floats(0, 56))
        wide, high = draw(st.floats(3, 60)), draw(st.floats(3, 40))
        right, bottom = min(left + wide, 128.0), min(top + high, 64.0)
        rows[i] = (left, top, right, bottom, draw(st.floats(0.5, 90)), i + 1, 0, i == 0)
    return rows


def perfect_maps(target):
    """Maps that say what the target says, as surely as can be."""
    maps = torch.zeros(len(target.centre), len(MAPS), *GRID)
    maps[:, CENTRE] = torch.where(target.centre > 1 - 1e-6, 20.0, -20.0)
    maps[:, 1:6] = target.boxes
    maps[:, LOG_SCALE] = -5
    maps[:, AHEAD] = torch.where(target.ahead > 0, target.ahead, 1e-9).log()
    return maps


@given(box_rows())
def test_the_cell_of_a_centre_tells_its_box(rows):
    target = box_target(torch.from_numpy(rows)[None], torch.tensor([True]), GRID)
    boxes = rows[np.isfinite(rows[:, 0])]
    cells = {(int((b[1] + b[3]) / 2 / STRIDE), int((b[0] + b[2]) / 2 / STRIDE)) for b in boxes}
    cells = {(min(r, GRID[0] - 1), min(c, GRID[1] - 1)) for r, c in cells}
    assert {tuple(cell) for cell in (target.centre[0] > 1 - 1e-6).nonzero().tolist()} == cells
    for row, column in cells:
        x, y, wide, high, log_m = target.boxes[0, :, row, column].tolist()
        x, y, wide, high = (column + 0.5 + x) * STRIDE, (row + 0.5 + y) * STRIDE, math.exp(wide) * 4, math.exp(high) * 4
        told = np.array([x - wide / 2, y - high / 2, x + wide / 2, y + high / 2, math.exp(log_m)])
        assert np.abs(boxes[:, :5] - told).max(axis=1).min() < 0.02
    assert int(target.count) == len(boxes)
    assert abs(float(target.ahead.sum()) - (len(boxes) > 0)) < 1e-4


@given(box_rows())
def test_saying_what_is_true_costs_least(rows):
    target = box_target(torch.from_numpy(rows)[None], torch.tensor([True]), GRID)
    maps = perfect_maps(target)
    best = box_losses(maps, target)
    assert float(best["centre"]) < 1e-4
    assert float(best["box"]) < 1e-5
    worse = box_losses(maps + 0.5 * torch.randn(maps.shape, generator=torch.Generator().manual_seed(0)), target)
    assert all(float(worse[name]) >= float(best[name]) - 1e-4 for name in best)
    if len(rows[np.isfinite(rows[:, 0])]):
        assert float(worse["box"]) > 0.1


def test_boxes_that_are_not_known_teach_nothing_and_change_no_other_frame():
    rows = np.full((2, 3, 8), np.nan, np.float32)
    rows[:, 0] = (10, 10, 40, 30, 12, 1, 0, 1)
    maps = torch.randn(2, len(MAPS), *GRID, generator=torch.Generator().manual_seed(0)).requires_grad_()
    both = box_losses(maps, box_target(torch.from_numpy(rows), torch.tensor([True, False]), GRID))
    alone = box_losses(maps[:1], box_target(torch.from_numpy(rows[:1]), torch.tensor([True]), GRID))
    for name in both:
        assert torch.allclose(both[name], alone[name]), name
    torch.stack(list(both.values())).sum().backward()
    assert maps.grad[0].abs().any()
    assert not maps.grad[1].any()
