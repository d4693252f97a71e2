# SPDX-License-Identifier: Apache-2.0
"""The same network of a number a pixel in torch, for training. [torch]"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from solver_core.network.hourglass import HourglassSpec
from solver_core.network.spec import LEAK


class TorchHourglass(nn.Module):
    """Images (B, C, H, W) to numbers (B, H, W); an untrained one gives almost 0."""

    def __init__(self, spec: HourglassSpec, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.spec = spec
        layers = {}
        for name, (_, _, channels, width) in spec.layers():
            layer = nn.Conv2d(channels, width, 3, 2 if name.startswith("down") else 1, padding=1)
            nn.init.kaiming_normal_(layer.weight, a=LEAK, generator=generator)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
            layers[name] = layer
        with torch.no_grad():
            layers["last"].weight.mul_(0.01)
        self.layers: Any = nn.ModuleDict(layers)  # type checkers are not told what it holds
        self.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        levels, x = [images], images
        for level in range(len(self.spec.widths)):
            x = self._rectified(self._rectified(x, f"down{level}"), f"level{level}")
            levels.append(x)
        levels.pop()
        for level in reversed(range(len(levels))):
            x = torch.cat([nn.functional.interpolate(x, scale_factor=2), levels[level]], dim=1)
            x = self._rectified(x, f"up{level - 1}" if level else "fine")
        return self.layers["last"](x)[:, 0]

    def _rectified(self, images: torch.Tensor, name: str) -> torch.Tensor:
        return nn.functional.leaky_relu(self.layers[name](images), LEAK)

    def to_numpy_weights(self) -> dict[str, np.ndarray]:
        """Weights in the layout of HourglassSpec.layers."""
        weights = {}
        for name, layer in self.layers.items():
            weights[f"{name}.weight"] = layer.weight.detach().permute(2, 3, 1, 0).contiguous().numpy().copy()
            weights[f"{name}.bias"] = layer.bias.detach().numpy().copy()
        return weights
