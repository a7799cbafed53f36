"""What the head that finds other road users is taught: maps of centres made from boxes, and the losses of its maps.

All of it is made on the device of the batch, without a loop over rows. A clip whose boxes are not known (a real
recording) teaches nothing.

Legend: B frames; K boxes of a frame at most; F numbers of a box (``reference.boxes.COLUMNS``); R, C rows and columns of
cells.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor
from torch.nn import functional as F

from worldmodel.perception.boxes import (
    AHEAD,
    CENTRE,
    DOWN,
    LOG_DISTANCE,
    LOG_HEIGHT,
    LOG_SCALE,
    LOG_WIDTH,
    RIGHT,
    STRIDE,
)

#: Standard deviation of a centre's bump: a share of the box, and at least so many cells.
_BUMP_SHARE, _BUMP_LEAST = 0.1, 0.5
#: Cells where a bump is at least this high are taught the box.
_TAUGHT = 0.3
#: Exponents of the loss of centres (Zhou et al., arXiv 1904.07850, equation 1).
_FOCUS, _NEARBY = 2, 4


@dataclasses.dataclass(frozen=True)
class BoxTarget:
    """What the maps of B frames ought to be.

    Attributes:
        centre: ``(B, R, C)`` 1 at the cell of a box's centre, falling off around it.
        weight: ``(B, R, C)`` how much a cell is taught the box it belongs to.
        boxes: ``(B, 5, R, C)`` of that box, as the maps ``right`` to ``log_distance``.
        ahead: ``(B, R, C)`` the bump of who is in the ego's way, of sum 1, or 0 everywhere.
        size: ``(B, 2, R, C)`` width and height of the box in cells.
        known: ``(B,)`` 1 where the boxes are known, else 0.
        count: ``(B,)`` boxes.
    """

    centre: Tensor
    weight: Tensor
    boxes: Tensor
    ahead: Tensor
    size: Tensor
    known: Tensor
    count: Tensor


def box_target(boxes_BKF: Tensor, known_B: Tensor, grid: tuple[int, int]) -> BoxTarget:
    """Targets of boxes in pixels of the network's pictures, rows of NaN where there is none.

    Args:
        boxes_BKF: as ``reference.boxes.COLUMNS``.
        known_B: whether the boxes of a frame are known at all.
        grid: rows and columns of cells.
    """
    rows, columns = grid
    is_box_BK = torch.isfinite(boxes_BKF[..., 0]) & known_B[:, None]
    box = torch.where(is_box_BK[..., None], torch.nan_to_num(boxes_BKF), 0)
    left, top, right, bottom = (box[..., :4] / STRIDE).unbind(-1)
    wide, high = (right - left).clamp(min=0.1), (bottom - top).clamp(min=0.1)
    x, y = (left + right) / 2, (top + bottom) / 2
    column = x.floor().clamp(0, columns - 1)[..., None]
    row = y.floor().clamp(0, rows - 1)[..., None]
    across, down = (torch.arange(n, device=box.device, dtype=box.dtype) for n in (columns, rows))
    spread_x, spread_y = ((_BUMP_SHARE * size).clamp(min=_BUMP_LEAST)[..., None] for size in (wide, high))
    bump_BKC = torch.exp(-(((across - column) / spread_x) ** 2) / 2)
    bump_BKR = torch.exp(-(((down - row) / spread_y) ** 2) / 2) * is_box_BK[..., None]
    bump_BKRC = bump_BKR[..., None] * bump_BKC[:, :, None]
    centre, owner = bump_BKRC.max(dim=1)
    # Of the box that each cell belongs to.
    told_BK5 = torch.stack([x, y, wide, high, box[..., 4].clamp(min=0.2)], dim=-1)
    index = owner.flatten(1)[..., None].expand(-1, -1, told_BK5.shape[-1])
    told = told_BK5.gather(1, index).transpose(1, 2).unflatten(2, grid)
    middle = torch.stack(torch.broadcast_tensors(across + 0.5, down[:, None] + 0.5))
    ahead = (bump_BKRC * (box[..., 7] > 0)[..., None, None]).amax(dim=1)
    return BoxTarget(
        centre=centre,
        weight=centre * (centre > _TAUGHT),
        boxes=torch.cat([told[:, :2] - middle, told[:, 2:].log()], dim=1),
        ahead=ahead / ahead.sum(dim=(1, 2), keepdim=True).clamp(min=1e-6),
        size=told[:, 2:4],
        known=known_B.to(box.dtype),
        count=is_box_BK.sum(dim=1),
    )


def box_losses(maps_BLRC: Tensor, target: BoxTarget) -> dict[str, Tensor]:
    """Losses of the maps, each a mean over what is known and 0 where nothing is.

    Centres: focal loss. Boxes: distances of centre and size as shares of the box, so that a small box counts as much as
    a large one. Distance: Laplace likelihood of its logarithm, weighted as ``perception_loss`` does. Who is ahead:
    cross-entropy over all cells.
    """
    boxes = target.count.sum().clamp(min=1)
    logit = maps_BLRC[:, CENTRE]
    found = logit.sigmoid()
    is_centre = (target.centre > 1 - 1e-6).to(logit.dtype)
    hit = -((1 - found) ** _FOCUS) * F.logsigmoid(logit) * is_centre
    miss = -((1 - target.centre) ** _NEARBY) * found**_FOCUS * F.logsigmoid(-logit) * (1 - is_centre)
    centre = ((hit + miss) * target.known[:, None, None]).sum() / boxes
    taught = target.weight.sum().clamp(min=1)
    # Slices, because a list of indices would have to be carried to the device and waited for.
    place = (maps_BLRC[:, RIGHT : DOWN + 1] - target.boxes[:, :2]).abs() / target.size.clamp(min=0.5)
    size = (maps_BLRC[:, LOG_WIDTH : LOG_HEIGHT + 1] - target.boxes[:, 2:4]).abs()
    box = ((place + size).sum(dim=1) * target.weight).sum() / taught
    scale = maps_BLRC[:, LOG_SCALE].exp()
    error = (maps_BLRC[:, LOG_DISTANCE] - target.boxes[:, 4]).abs()
    distance = (((error / scale + scale.log()) * scale.detach().sqrt()) * target.weight).sum() / taught
    towards = maps_BLRC[:, AHEAD].flatten(1).log_softmax(dim=1)
    somebody = target.ahead.sum(dim=(1, 2))
    ahead = -(target.ahead.flatten(1) * towards).sum() / somebody.sum().clamp(min=1)
    return {"centre": centre, "box": box, "distance": distance, "ahead": ahead}
