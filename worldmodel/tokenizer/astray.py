"""How far the road in a picture has gone astray from where its map says that it lies, and how that is put right.

A learned world draws each picture from the last, and what it gets a little wrong it goes on from: the road ahead bends
to whoever drives. Where a map is known (``geometry.road``), a small network sees the picture along both edges of the
road, row by row, and says where they really are. What it says of all rows is drawn together into an offset, a heading
and a curvature, weighed by how sure it is of each row, against how far roads go astray at all: the mean of a Gaussian
posterior, as of a Kalman filter. When the picture is moved, a part of that is put right, along the road alone: what
lies beyond it tells how the ego turns, and stays. Nothing is put right while the ego stands, nor once it has left the
road of its map: what a world shows there is no more of that road, and would be torn about.
Legend: E edges, K points of a map, R rows on the ground, J places across an edge; else as of the package.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from worldmodel.geometry.reprojection import reproject
from worldmodel.geometry.road import BEHIND
from worldmodel.nn.shapes import Float
from worldmodel.types import Camera

#: Where the network looks: so many rows from near to far, evenly in the logarithm; across each edge places so far
#: apart, each the mean of several.
NEAR_M, FAR_M, ROWS = 7.0, 70.0, 20
PLACES, APART_M, FINER = 25, 0.25, 4
#: Coefficients are metres to the left: at the ego, and at this distance for a heading and for a curvature.
UNIT_M = 30.0
#: All that is to be is put right when the ego comes so far, and less when it does not; how far beyond the road's edges
#: all of it moves along, and over how much farther, sideways and ahead, that ends.
_FULL_M, _VERGE_M, _ENDS_M, _ENDS_AHEAD_M = 0.5, 2.0, 3.0, 30.0
#: How far roads go astray before it is learned, and how much a row counts, of which there are more than tell apart.
_ASTRAY_M, _COUNTS = (0.15, 0.3, 0.3), 0.25
#: Where an edge is to be said to be, in places; the weight of what all rows say together in what is learned.
_BLUR, _TOGETHER = 0.7, 5.0


class Astray(NamedTuple):
    """What is read of a picture.

    Attributes:
        coefficients_B3: metres by which the road lies to the left of its map, see ``UNIT_M``.
        edges_BER: metres to the left at which the map has each edge, at ``distances_m``; NaN where it has none.
    """

    coefficients_B3: Tensor
    edges_BER: Tensor


class AstrayNetwork(nn.Module):
    """From what a picture shows along both edges to where they are, and what that says of the whole road."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(10, width, (3, 5), padding=(1, 2)), nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1), nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=2, dilation=2), nn.SiLU(),
            nn.Conv2d(width, 1, 1),
        )  # fmt: skip
        #: Of how far roads go astray, and of how much a row counts.
        self.log_astray = nn.Parameter(torch.log(torch.tensor(_ASTRAY_M)))
        self.log_counts = nn.Parameter(torch.full((1,), math.log(_COUNTS)))

    def forward(
        self, frames_BCHW: Tensor, edges_BER: Tensor, height_m_B: Tensor, camera: Camera
    ) -> tuple[Float[Tensor, "b r j"], Float[Tensor, "b 3"]]:
        """Logits of where the edges are, ``(B, R, J)`` from right to left, and coefficients ``(B, 3)`` of them all.

        Args:
            frames_BCHW: in [-1, 1].
            edges_BER: of the map, see ``Astray``.
            height_m_B: of the camera; finite.
            camera: of the frames.
        """
        logits_BRJ = self.layers(_along_edges(frames_BCHW, edges_BER, height_m_B, camera))[:, 0].float()
        with torch.autocast(frames_BCHW.device.type, enabled=False):
            return logits_BRJ, self._together(logits_BRJ, torch.isfinite(edges_BER).all(dim=1))

    def _together(self, logits_BRJ: Tensor, known_BR: Tensor) -> Tensor:
        """The coefficients of what is said of the rows that are known."""
        share_BRJ, places_J = logits_BRJ.softmax(dim=-1), _places(logits_BRJ.device)
        mean_BR = (share_BRJ * places_J).sum(dim=-1)
        variance_BR = (share_BRJ * (places_J - mean_BR[..., None]).square()).sum(dim=-1)
        counts_BR = torch.where(known_BR, self.log_counts.exp() / (variance_BR + (APART_M / 4) ** 2), 0)
        basis_R3 = _basis(distances_m(logits_BRJ.device))
        precision_B33 = torch.einsum("br,ri,rj->bij", counts_BR, basis_R3, basis_R3)
        precision_B33 = precision_B33 + torch.diag((-2 * self.log_astray).exp())
        seen_B3 = torch.einsum("br,ri,br->bi", counts_BR, basis_R3, mean_BR)
        return torch.linalg.solve(precision_B33, seen_B3)


def distances_m(device: torch.device) -> Tensor:
    """``(R,)`` metres ahead of the rows."""
    return torch.exp(torch.linspace(math.log(NEAR_M), math.log(FAR_M), ROWS, device=device))


def astray(
    network: AstrayNetwork, frames_BCHW: Tensor, road_BEK2: Tensor, height_m_B: Tensor, camera: Camera
) -> Astray:
    """How far the road in pictures lies from where the map has it; not astray where the map is not known, nor where the
    ego is beyond its edges, and less and less on the way there.

    Args:
        network: says so.
        frames_BCHW: in [-1, 1].
        road_BEK2: windows of maps, in the axes of each picture; NaN where not known.
        height_m_B: of the camera; finite.
        camera: of the frames.
    """
    edges_BER = _at_rows(road_BEK2.float())
    _, coefficients_B3 = network(frames_BCHW.float(), edges_BER, height_m_B.float(), camera)
    return Astray(coefficients_B3 * on_road(road_BEK2)[:, None], edges_BER)


def put_right(
    found: Astray, inverse_depth_BHW: Tensor, displacement_m_B: Tensor, camera: Camera, *, share: float
) -> Tensor:
    """``(B, H, W)`` by how much farther left, per metre ahead, the earlier picture has what belongs into the later.

    Args:
        found: in the earlier pictures.
        inverse_depth_BHW: in 1/m, of what the later ones will show.
        displacement_m_B: of the motion in between; finite.
        camera: of the pictures.
        share: of it that is put right when the ego comes ``_FULL_M``, and less when it does not.
    """
    inverse_BHW = inverse_depth_BHW.float().clamp(min=1e-3)
    off_m_BHW = beside(found, 1 / inverse_BHW + displacement_m_B[:, None, None], camera)
    return share * pace(displacement_m_B)[:, None, None] * off_m_BHW * inverse_BHW


def pace(displacement_m_B: Tensor) -> Tensor:
    """How much of what is to be put right is, when the ego comes so far."""
    return (displacement_m_B.abs() / _FULL_M).clamp(max=1)


def on_road(road_BEK2: Tensor) -> Tensor:
    """1 where the ego is on the road of windows of maps ``(B, E, K, 2)``, 0 from ``_VERGE_M`` beyond its edges on."""
    left_m_B, right_m_B = road_BEK2[:, :, BEHIND, 1].float().unbind(1)
    beyond_m_B = torch.nan_to_num(torch.maximum(-left_m_B, right_m_B), nan=torch.inf)
    return (1 - beyond_m_B / _VERGE_M).clamp(0, 1)


def beside(found: Astray, ahead_m_BHW: Tensor, camera: Camera) -> Tensor:
    """``(B, H, W)`` metres by which what pixels show so far ahead lies to the left of where it should: of the road.

    Less of what lies beyond its edges, and nothing of what lies well beyond.
    """
    off_m_BHW = (_basis(ahead_m_BHW.clamp(NEAR_M / 2, FAR_M)) * found.coefficients_B3[:, None, None]).sum(dim=-1)
    columns_W = torch.arange(camera.width_px, device=ahead_m_BHW.device)
    to_left_BHW = ahead_m_BHW * ((camera.cx_px - columns_W) / camera.fx_px)
    left_BHW, right_BHW = (_between_rows(edge_BR, ahead_m_BHW) for edge_BR in found.edges_BER.unbind(1))
    beyond_BHW = torch.maximum(to_left_BHW - left_BHW, right_BHW - to_left_BHW) - _VERGE_M
    share_BHW = (1 - beyond_BHW / _ENDS_M).clamp(0, 1) * (1 - (ahead_m_BHW - FAR_M) / _ENDS_AHEAD_M).clamp(0, 1)
    return torch.nan_to_num(share_BHW * off_m_BHW)


def lead_astray(
    frames_BCHW: Tensor, coefficients_B3: Tensor, road_BEK2: Tensor, inverse_depth_BHW: Tensor, camera: Camera
) -> Tensor:
    """Pictures whose road lies where ``coefficients_B3`` have it beside their maps, as a learned world would draw it.

    Args:
        frames_BCHW: true ones, in [-1, 1].
        coefficients_B3: metres to the left of the map, see ``UNIT_M``.
        road_BEK2: windows of maps, in the axes of each picture; nothing is moved where not known.
        inverse_depth_BHW: in 1/m, of the pictures.
        camera: of the pictures.
    """
    off_BR = (coefficients_B3[:, None] * _basis(distances_m(frames_BCHW.device))).sum(dim=-1)
    wrong = Astray(coefficients_B3, _at_rows(road_BEK2.float()) + off_BR[:, None])
    inverse_BHW = inverse_depth_BHW.float().clamp(min=1e-3)
    aside_BHW = -beside(wrong, 1 / inverse_BHW, camera) * inverse_BHW
    still_B = torch.zeros_like(coefficients_B3[:, 0])
    return reproject(frames_BCHW, torch.zeros_like(aside_BHW), still_B, camera, aside_BHW=aside_BHW)


def astray_loss(
    network: AstrayNetwork,
    frames_BCHW: Tensor,
    road_BEK2: Tensor,
    height_m_B: Tensor,
    camera: Camera,
    *,
    off_B3: Tensor,
) -> tuple[Tensor, Tensor]:
    """How badly rows are read, and how badly all of them together, of maps that are moved beside the road.

    Args:
        network: to be taught.
        frames_BCHW, road_BEK2, height_m_B, camera: as of ``astray``; the maps are true.
        off_B3: coefficients by which roads are to lie to the left of their maps.

    Returns:
        cross-entropy of the rows, and mean squared error of the road as an angle at ``UNIT_M``, in squared metres.
    """
    edges_BER = _at_rows(road_BEK2.float())
    ahead_R = distances_m(frames_BCHW.device)
    off_BR = (off_B3[:, None] * _basis(ahead_R)).sum(dim=-1)
    logits_BRJ, found_B3 = network(frames_BCHW, edges_BER - off_BR[:, None], height_m_B, camera)
    places_J = _places(frames_BCHW.device)
    wanted_BRJ = (-0.5 * ((places_J - off_BR[..., None]) / (_BLUR * APART_M)).square()).softmax(dim=-1)
    counts_BR = torch.isfinite(edges_BER).all(dim=1) & (off_BR.abs() <= places_J.max())
    entropy_BR = -(wanted_BRJ * logits_BRJ.log_softmax(dim=-1)).sum(dim=-1)
    each = (entropy_BR * counts_BR).sum() / counts_BR.sum().clamp(min=1)
    error_BR = ((found_B3 - off_B3)[:, None] * _basis(ahead_R)).sum(dim=-1) / (ahead_R / UNIT_M + 0.3)
    return each, (error_BR.square() * counts_BR).sum() / counts_BR.sum().clamp(min=1)


def total_loss(each: Tensor, together: Tensor) -> Tensor:
    """Both parts of ``astray_loss`` as one."""
    return each + _TOGETHER * together


def _basis(ahead_m: Tensor) -> Tensor:
    """What each coefficient is worth at a distance, ``(..., 3)``."""
    x = ahead_m / UNIT_M
    return torch.stack([torch.ones_like(x), x, x * x], dim=-1)


def _places(device: torch.device) -> Tensor:
    """``(J,)`` metres to the left of an edge."""
    return (torch.arange(PLACES, device=device) - (PLACES - 1) / 2) * APART_M


def _at_rows(road_BEK2: Tensor) -> Tensor:
    """``(B, E, R)`` how far left each edge first crosses each row; NaN where it does not."""
    ahead_m, left_m = (x[:, :, None] for x in road_BEK2.unbind(-1))  # B, E, 1, K
    wanted_R1 = distances_m(road_BEK2.device)[:, None]
    crosses = (ahead_m[..., :-1] <= wanted_R1) & (wanted_R1 < ahead_m[..., 1:])
    share = (wanted_R1 - ahead_m[..., :-1]) / (ahead_m[..., 1:] - ahead_m[..., :-1])
    at = torch.lerp(left_m[..., :-1].expand_as(share), left_m[..., 1:].expand_as(share), share)
    first = crosses.int().argmax(dim=-1, keepdim=True)
    return torch.where(crosses.any(dim=-1), at.gather(-1, first)[..., 0], torch.nan)


def _between_rows(values_BR: Tensor, ahead_m_BHW: Tensor) -> Tensor:
    """``(B, H, W)`` values of the rows at any distance, the nearest or farthest row's outside of them."""
    at_BHW = torch.log(ahead_m_BHW.clamp(NEAR_M, FAR_M) / NEAR_M) / math.log(FAR_M / NEAR_M) * (ROWS - 1)
    below_BP = at_BHW.flatten(1).long().clamp(max=ROWS - 2)
    low_BP, high_BP = values_BR.gather(1, below_BP), values_BR.gather(1, below_BP + 1)
    return torch.lerp(low_BP, high_BP, at_BHW.flatten(1) - below_BP).view_as(ahead_m_BHW)


def _along_edges(frames_BCHW: Tensor, edges_BER: Tensor, height_m_B: Tensor, camera: Camera) -> Tensor:
    """``(B, 10, R, J)`` what the network sees: colours across the left and the right edge, whether each place is in the
    picture, how far away the row is, how wide the road; zeros where the map is not known."""
    ahead_R = distances_m(frames_BCHW.device)
    finer = (torch.arange(PLACES * FINER, device=ahead_R.device) - (PLACES * FINER - 1) / 2) * APART_M / FINER
    left_BERP = torch.nan_to_num(edges_BER)[..., None] + finer
    column_BERP = camera.cx_px - camera.fx_px * left_BERP / ahead_R[:, None]
    row_BERP = (camera.cy_px + camera.fy_px * height_m_B[:, None] / ahead_R)[:, None, :, None].expand_as(column_BERP)
    at = torch.stack([(column_BERP + 0.5) / camera.width_px, (row_BERP + 0.5) / camera.height_px], dim=-1) * 2 - 1
    colours = F.grid_sample(frames_BCHW, at.flatten(1, 2), padding_mode="border", align_corners=False)
    colours_BECRJ = colours.unflatten(2, (2, ROWS)).unflatten(-1, (PLACES, FINER)).mean(dim=-1).transpose(1, 2)
    inside_BERJ = (at.abs() <= 1).all(dim=-1).unflatten(-1, (PLACES, FINER)).float().mean(dim=-1)
    about_B2R = torch.stack(
        [torch.log(ahead_R / 22).expand(len(edges_BER), -1), torch.nan_to_num(edges_BER[:, 0] - edges_BER[:, 1]) / 8],
        dim=1,
    )
    parts = [colours_BECRJ.flatten(1, 2), inside_BERJ, about_B2R[..., None].expand(-1, -1, -1, PLACES)]
    known_B1R1 = torch.isfinite(edges_BER).all(dim=1)[:, None, :, None]
    return torch.cat(parts, dim=1) * known_B1R1
