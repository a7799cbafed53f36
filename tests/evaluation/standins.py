"""Networks of the published signatures, with random weights: the true ones are the user's."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Inception(nn.Module):
    """As ``inception-2015-12-05.pt``: uint8 images in, features out, of its own size whatever theirs is."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 5, stride=4)

    def forward(self, img: Tensor, return_features: bool = False) -> Tensor:
        assert img.dtype == torch.uint8
        x = F.interpolate(img.float() / 128 - 1, [36, 36], mode="bilinear", align_corners=False)
        assert return_features
        return torch.relu(self.conv(x)).mean(dim=(2, 3))


class I3d(nn.Module):
    """As ``i3d_torchscript.pt``: videos of 0 to 255 in, logits out."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv3d(3, 6, 3, stride=2)

    def forward(self, x: Tensor, rescale: bool = False, resize: bool = False, return_features: bool = False) -> Tensor:
        assert rescale
        assert resize
        assert return_features
        x = x / 255 * 2 - 1
        x = F.interpolate(x, [x.shape[2], 24, 24], mode="trilinear", align_corners=False)
        return self.conv(x).mean(dim=(2, 3, 4))


class Vgg(nn.Module):
    """As ``vgg16.pt`` with LPIPS: images of 0 to 255 in, what the distance is taken of out."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, img: Tensor, resize_images: bool = True, return_lpips: bool = False) -> Tensor:
        assert not resize_images
        assert return_lpips
        return self.conv(img / 255).flatten(1) / img[0].numel() ** 0.5


def save(name: str, folder: Path) -> Path:
    """A stand-in for ``fid``, ``fvd`` or ``lpips`` as a TorchScript file."""
    torch.manual_seed(0)
    network = {"fid": Inception, "fvd": I3d, "lpips": Vgg}[name]()
    path = folder / f"{name}.pt"
    torch.jit.script(network).save(str(path))
    return path
