"""The three networks of the synthetic pack, small enough to train on a CPU in minutes.

Detector: SCRFD's shape (InsightFace): strides 8, 16, 32, two anchors a cell, distances in strides; outputs are
scores, then boxes, then landmarks, finest stride first. Embedder: 112 x 112 to an embedding of 128 numbers. Liveness: 96 x 96
to three shares as MiniFASNet's, the second that of a person.
Inputs are RGB, float32, NCHW.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

STRIDES = (8, 16, 32)
ANCHORS = 2
DIMENSION = 128


class Block(nn.Module):
    """Convolution, batch normalisation, rectifier."""

    def __init__(self, inside: int, outside: int, *, stride: int = 1, kernel: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inside, outside, kernel, stride, kernel // 2, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(outside)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Feature map to feature map."""
        return functional.relu(self.norm(self.conv(x)))


class Detector(nn.Module):
    """Picture (1, 3, H, W), H and W multiples of 32, to nine maps of candidates."""

    def __init__(self) -> None:
        super().__init__()
        self.to4 = nn.Sequential(Block(3, 16, stride=2), Block(16, 24, stride=2))
        self.to8 = nn.Sequential(Block(24, 32, stride=2), Block(32, 32))
        self.to16 = nn.Sequential(Block(32, 64, stride=2), Block(64, 64))
        self.to32 = nn.Sequential(Block(64, 80, stride=2), Block(80, 80))
        self.lateral = nn.ModuleList([nn.Conv2d(c, 40, 1) for c in (32, 64, 80)])
        self.smooth = nn.ModuleList(
            [
                Block(40, 40),
                nn.Sequential(Block(40, 40), Block(40, 40)),
                nn.Sequential(Block(40, 40), Block(40, 40)),
            ]
        )
        self.heads = nn.ModuleList([nn.Conv2d(40, ANCHORS * 15, 1) for _ in STRIDES])

    def maps(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Raw candidates of each stride: (B, cells * anchors, 15) = score logit, 4 distances, 10 offsets."""
        at8 = self.to8(self.to4(x))
        at16 = self.to16(at8)
        at32 = self.to32(at16)
        top = self.lateral[2](at32)
        middle = self.lateral[1](at16) + functional.interpolate(top, scale_factor=2.0, mode="nearest")
        fine = self.lateral[0](at8) + functional.interpolate(middle, scale_factor=2.0, mode="nearest")
        out = []
        for level, smooth, head in zip((fine, middle, top), self.smooth, self.heads, strict=True):
            raw = head(smooth(level)).permute(0, 2, 3, 1)
            out.append(raw.reshape(raw.shape[0], -1, 15))
        return out

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The nine outputs of the ONNX file, of one picture."""
        raw = [m.reshape(-1, 15) for m in self.maps(x)]
        return (
            *(torch.sigmoid(m[:, :1]) for m in raw),
            *(m[:, 1:5] for m in raw),
            *(m[:, 5:] for m in raw),
        )


class Embedder(nn.Module):
    """Aligned faces (B, 3, 112, 112) to embeddings (B, 128), not normalised."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            Block(3, 24, stride=2),
            Block(24, 32, stride=2),
            Block(32, 48, stride=2),
            Block(48, 64),
            Block(64, 96, stride=2),
            Block(96, 128, kernel=1),
        )
        self.pool = nn.Conv2d(128, 128, 7, groups=128)
        self.last = nn.Linear(128, DIMENSION)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Embeddings."""
        return self.last(self.pool(self.body(x)).flatten(1))


class Liveness(nn.Module):
    """Faces with their surroundings (B, 3, 96, 96) to logits (B, 3): a print, a person, a replay."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            Block(3, 12, stride=2),
            Block(12, 20, stride=2),
            Block(20, 28, stride=2),
            Block(28, 40, stride=2),
            Block(40, 48, stride=2),
        )
        self.last = nn.Linear(48 * 9, 3)

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """What is trained."""
        return self.last(self.body(x).flatten(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The shares that the ONNX file gives."""
        return functional.softmax(self.logits(x), dim=1)


def export(net: nn.Module, example: torch.Tensor, path: str, outputs: list[str], *, dynamic: bool) -> None:
    """Write `net` as ONNX, normalisations folded into the convolutions; it cannot be trained further."""
    net.eval()
    for module in net.modules():
        if isinstance(module, Block) and isinstance(module.norm, nn.BatchNorm2d):
            module.conv = fuse_conv_bn_eval(module.conv, module.norm)
            module.norm = nn.Identity()
    axes = {"input": {2: "height", 3: "width"} if dynamic else {0: "batch"}}
    if not dynamic:
        axes[outputs[0]] = {0: "batch"}
    torch.onnx.export(
        net,
        (example,),
        path,
        input_names=["input"],
        output_names=outputs,
        dynamic_axes=axes,
        opset_version=17,
        dynamo=False,
    )
