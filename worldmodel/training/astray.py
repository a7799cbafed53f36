"""The stage that teaches where a road has gone astray from its map: true frames, and maps moved beside their road.

Legend: B frames, E edges, K points of a map; C H W as of a picture.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from worldmodel.geometry.camera import NOMINAL_HEIGHT_M, canonical_camera
from worldmodel.nn.noise import hand_over
from worldmodel.tokenizer.astray import AstrayNetwork, astray_loss, total_loss
from worldmodel.tokenizer.tokenizer import Tokenizer, to_network
from worldmodel.training.config import TrainConfig
from worldmodel.training.stages import Stage

#: Standard deviations of what maps are moved by (``tokenizer.astray.UNIT_M``), the median and the spread of how many
#: times that: mostly a little, as what is put right in every frame does not go far.
_OFF_M, _TIMES, _SPREAD = (0.4, 0.8, 0.2), 0.5, 0.7
#: Frames that are seen as the tokenizer makes them, as those of a rollout are, and those seen blurred; how much
#: brighter, by a factor and a summand, how much noisier at most.
_RECONSTRUCTED_SHARE, _BLURRED_SHARE, _CONTRAST, _BRIGHTNESS, _NOISE = 0.25, 0.3, 0.25, 0.15, 0.04


class AstrayStage(Stage):
    """Frames and their maps → how well it is read by how much those were moved.

    Args:
        config: of the run.
        network: to be trained.
        tokenizer: of whose making the network sees some of the frames.
    """

    name = "astray"
    network: AstrayNetwork

    def __init__(self, config: TrainConfig, network: AstrayNetwork, tokenizer: Tokenizer) -> None:
        super().__init__(config, config.astray_stage)
        self.network, self._kept = network, [tokenizer]  # in a list: it is not trained
        self._camera = canonical_camera(config.tokenizer.height_px, config.tokenizer.width_px)

    def on_fit_start(self) -> None:
        """Lightning's hook: the tokenizer goes where the network is."""
        self._kept[0].to(self.device)

    def training_step(self, batch: Any, _: int) -> Tensor:
        """One ``BoxedBatch`` of windows of a single uint8 frame."""
        generator, frames_BCHW = self.generator(), to_network(batch.frames[:, 0]).float()
        rows = len(frames_BCHW)

        def normal(*shape: int) -> Tensor:
            return hand_over(torch.randn(rows, *shape, generator=generator), frames_BCHW.device)

        times_B1 = _TIMES * torch.exp(_SPREAD * normal(1))
        off_B3 = times_B1 * normal(3) * torch.tensor(_OFF_M, device=frames_BCHW.device)
        height_m_B = torch.nan_to_num(batch.camera_height_m.float(), nan=NOMINAL_HEIGHT_M)
        args = (self.network, self._seen(frames_BCHW, normal), batch.road[:, 0], height_m_B, self._camera)
        each, together = astray_loss(*args, off_B3=off_B3)
        loss = total_loss(each, together)
        self.log("each", each, prog_bar=True)
        self.log("together", together, prog_bar=True)
        self.log("loss", loss, prog_bar=True)
        self.log_speed(rows, 0.0)
        return loss

    def _seen(self, frames_BCHW: Tensor, normal: Any) -> Tensor:
        """Frames as rollouts might show them; the first are kept as they are, others once or twice made anew."""
        seen, tokenizer = frames_BCHW.clone(), self._kept[0]
        first = round((1 - _RECONSTRUCTED_SHARE) * len(seen))
        with torch.no_grad():
            for start in (first, (first + len(seen)) // 2):
                if start == len(seen):  # of a small batch
                    break
                seen[start:] = tokenizer.decode(tokenizer.encode(seen[start:])).to(seen.dtype).clamp(-1, 1)
        seen = seen * torch.exp(_CONTRAST * normal(1, 1, 1)) + _BRIGHTNESS * normal(1, 1, 1)
        seen = seen + _NOISE * torch.sigmoid(normal(1, 1, 1)) * normal(*seen.shape[1:])
        blurred = torch.arange(len(seen), device=seen.device) % 10 < 10 * _BLURRED_SHARE
        return torch.where(blurred[:, None, None, None], F.avg_pool2d(seen, 3, 1, 1), seen)
