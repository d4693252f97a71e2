# SPDX-License-Identifier: Apache-2.0
"""Training loss of the lighting networks. [torch]"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import nn

from solver_core.network.spec import LEAK, NetworkSpec
from solver_core.network.torch_modules import TorchNetwork
from solver_core.problems.lighting.features import NUM_NUMBERS, RELIEF

SMOOTH = 1e-2  # rounds the tip of the norm; in units of a typical residual
# Signs under exchange of left and right: directions and positions turn their x round.
MIRRORED_LIGHT = torch.tensor([-1.0, 1.0, 1.0])
MIRRORED_NUMBERS = torch.cat([MIRRORED_LIGHT, MIRRORED_LIGHT, torch.ones(NUM_NUMBERS - 6)])
MIRRORED_CHANNELS = torch.tensor([1.0, 1.0, 1.0, 1.0, -1.0, 1.0, 1.0, 1.0, 1.0])  # the fifth is the x of normals


def make_loss(spec: NetworkSpec, settings: dict[str, Any], generator: torch.Generator) -> LightingLoss:
    """Loss for a network; settings: those of [network].  generator: of the decoder's first weights."""
    weight = settings.get("depth_weight", 0.0)
    return LightingLoss(DepthDecoder(spec, generator) if weight else None, weight)


class LightingLoss(nn.Module):
    """Mean length of the error, over the batch and its mirror images; with a decoder, that of depth beside it.

    Lengths, not squares: where two lights fit the median is one of them, the mean neither.
    """

    def __init__(self, decoder: DepthDecoder | None, depth_weight: float) -> None:
        super().__init__()
        self.decoder, self.depth_weight = decoder, depth_weight

    def forward(
        self, network: TorchNetwork, image: torch.Tensor | None, vector: torch.Tensor, inputs: dict[str, torch.Tensor]
    ) -> torch.Tensor:
        assert image is not None
        both = torch.cat([image, image.flip(3) * MIRRORED_CHANNELS.to(image)[:, None, None]])
        vector = torch.cat([vector, vector * MIRRORED_NUMBERS.to(vector)])
        target = torch.cat([inputs["target"], inputs["target"] * MIRRORED_LIGHT.to(vector)])
        maps = network.encode(both)
        error = network.decide(maps, vector).float() - target
        loss = (error.square().sum(dim=1) + SMOOTH**2).sqrt().mean()
        if self.decoder is not None:
            loss = loss + self.depth_weight * (self.decoder(maps).float() - both[:, RELIEF]).abs().mean()
        return loss


class DepthDecoder(nn.Module):
    """Depth from what the convolutions see, by a decoder with skip connections: the paper's auxiliary task.

    It makes the encoder learn shape where shape is not among the inputs, and is not kept after training.
    """

    def __init__(self, spec: NetworkSpec, generator: torch.Generator) -> None:
        super().__init__()
        widths = [channels for channels, _ in spec.convolutions]
        layers = [nn.Conv2d(deep + shallow, shallow, 3, padding=1) for deep, shallow in pairwise(reversed(widths))]
        self.last = nn.Conv2d(widths[0], 1, 3, padding=1)
        for layer in (*layers, self.last):
            nn.init.kaiming_normal_(layer.weight, a=LEAK, generator=generator)
        self.layers = nn.ModuleList(layers)
        self.image_size = spec.image_size

    def forward(self, maps: list[torch.Tensor]) -> torch.Tensor:
        """(B, H, W) depth as features give it, from the maps of TorchNetwork.encode."""
        x = maps[-1]
        for layer, skipped in zip(self.layers, maps[-2::-1], strict=True):
            x = nn.functional.interpolate(x, size=skipped.shape[2:])
            x = nn.functional.leaky_relu(layer(torch.cat([x, skipped], dim=1)), LEAK)
        return self.last(nn.functional.interpolate(x, size=(self.image_size, self.image_size)))[:, 0]
