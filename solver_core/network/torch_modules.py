# SPDX-License-Identifier: Apache-2.0
"""The same network in torch, for training and for large batches. [torch]"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import nn

from solver_core.errors import ConfigError
from solver_core.network.numpy_forward import likeliest_first
from solver_core.network.spec import LEAK, NetworkSpec
from solver_core.problem import Features

HEADS_APART = 0.2  # of the deviation of a last layer's weights: how far proposals lie apart that start from one output


class TorchNetwork(nn.Module):
    """An update network: image (B, C, H, W) or None and vector (B, K), all of the features, to outputs (B, D).

    The last layer starts at a hundredth of its usual size, so that an untrained network proposes almost no step.
    """

    def __init__(self, spec: NetworkSpec, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.spec = spec
        channels = [spec.image_channels, *(out_channels for out_channels, _ in spec.convolutions)]
        convolutions = [
            nn.Conv2d(before, after, 3, stride, padding=1)
            for (before, after), (_, stride) in zip(pairwise(channels), spec.convolutions, strict=True)
        ]
        linears = [nn.Linear(a, b) for a, b in zip(*spec.linear_widths, strict=True)]
        for layer in (*convolutions, *linears):
            nn.init.kaiming_normal_(layer.weight, a=LEAK, generator=generator)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
        with torch.no_grad():
            linears[-1].weight.mul_(0.01)
        # A ModuleList does not tell type checkers what it holds.
        self.convolutions: Any = nn.ModuleList(convolutions)
        self.linears: Any = nn.ModuleList(linears)
        # The layout the features have; half the time of the other on a CPU.  torch's types lack the call.
        self.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    def forward(self, image: torch.Tensor | None, vector: torch.Tensor) -> torch.Tensor:
        return self.decide([] if image is None else self.encode(image), vector)

    def encode(self, image: torch.Tensor) -> list[torch.Tensor]:
        """What every convolution makes of an image (B, C, H, W), the finest first."""
        if self.spec.channels is not None:
            image = image[:, self.spec.channels]
        maps = []
        for layer in self.convolutions:
            image = nn.functional.leaky_relu(layer(image), LEAK)
            maps.append(image)
        return maps

    def decide(self, maps: list[torch.Tensor], vector: torch.Tensor) -> torch.Tensor:
        """Outputs (B, D), or proposals (B, K, D + 1), for what `encode` gave, if there is an image, and a vector (B, N)."""
        if self.spec.numbers is not None:
            vector = vector[:, self.spec.numbers]
        parts = [maps[-1].permute(0, 2, 3, 1).flatten(1)] if maps else []  # (B, H W C), the order NumPy flattens in
        if self.spec.vector_size:
            parts.append(vector)
        x = torch.cat(parts, dim=1)
        for layer in self.linears[:-1]:
            x = nn.functional.leaky_relu(layer(x), LEAK)
        if self.spec.skip:
            x = torch.cat([x, vector.to(x.dtype)], dim=1)
        x = self.linears[-1](x)
        return x if self.spec.proposals == 1 else x.unflatten(1, (self.spec.proposals, -1))

    @torch.inference_mode()
    def predict(self, features: Features) -> np.ndarray:
        """(B, D) outputs or (B, K, D) proposals for NumPy features, computed where the network lives."""
        image, vector = to_tensors(features, next(self.parameters()).device)
        output = self(image, vector).float().cpu().numpy()
        return output if self.spec.proposals == 1 else likeliest_first(output)

    def to_numpy_weights(self) -> dict[str, np.ndarray]:
        """Weights in the layout of NetworkSpec.layers."""
        weights = {}
        for index, layer in enumerate(self.convolutions):
            weights[f"convolution{index}.weight"] = _array(layer.weight.permute(2, 3, 1, 0))
            weights[f"convolution{index}.bias"] = _array(layer.bias)
        for index, layer in enumerate(self.linears):
            weights[f"linear{index}.weight"] = _array(layer.weight.T)
            weights[f"linear{index}.bias"] = _array(layer.bias)
        return weights

    @torch.no_grad()
    def load_numpy_weights(self, weights: dict[str, np.ndarray]) -> None:
        """Inverse of to_numpy_weights."""
        for index, layer in enumerate(self.convolutions):
            layer.weight.copy_(torch.from_numpy(weights[f"convolution{index}.weight"]).permute(3, 2, 0, 1))
            layer.bias.copy_(torch.from_numpy(weights[f"convolution{index}.bias"]))
        for index, layer in enumerate(self.linears):
            layer.weight.copy_(torch.from_numpy(weights[f"linear{index}.weight"]).T)
            layer.bias.copy_(torch.from_numpy(weights[f"linear{index}.bias"]))


@torch.no_grad()
def start_from(network: TorchNetwork, weights: dict[str, np.ndarray], spec: NetworkSpec) -> None:
    """Gives a fresh network the weights of a trained one of the same layers, whose spec is `spec`.

    The fresh one may see more numbers, at the end of the vector, and give proposals where the other gave one output: each
    starts as that output, as far off as the fresh last layer says.  Raises ConfigError where the layers differ otherwise.
    """
    fresh, last = network.to_numpy_weights(), len(spec.hidden)
    started = {}
    for name, new in fresh.items():
        old = weights.get(name)
        if old is not None and name.startswith(f"linear{last}.") and network.spec.proposals > 1 == spec.proposals:
            doubt = np.zeros((*old.shape[:-1], 1), np.float32)
            old = new * old.std() * HEADS_APART / max(new.std(), 1e-9) + np.tile(
                np.concatenate([old, doubt], axis=-1), network.spec.proposals
            )
        if old is not None and name == "linear0.weight" and len(old) < len(new):
            old = np.concatenate([old, np.zeros((len(new) - len(old), old.shape[1]), np.float32)])
        if old is None or old.shape != new.shape:
            raise ConfigError(f"the network cannot start from weights of another shape: {name} is {new.shape} here")
        started[name] = old
    network.load_numpy_weights(started)


# A problem's loss of a network for all the features, image and vector, and the problem's loss inputs; a scalar.
Loss = Callable[[TorchNetwork, torch.Tensor | None, torch.Tensor, dict[str, torch.Tensor]], torch.Tensor]

SMOOTH = 1e-2  # rounds the tip of the norm; in units of a typical residual


def error_length(
    network: TorchNetwork, image: torch.Tensor | None, vector: torch.Tensor, inputs: dict[str, torch.Tensor]
) -> torch.Tensor:
    """The loss of problems without one of their own: mean length of output - inputs["target"], (B, D) both."""
    error = network(image, vector).float() - inputs["target"]
    return (error.square().sum(dim=1) + SMOOTH**2).sqrt().mean()


def to_tensors(features: Features, device: torch.device) -> tuple[torch.Tensor | None, torch.Tensor]:
    """Features as tensors on a device, the image channels first."""
    image = None
    if features.image is not None:
        image = torch.from_numpy(features.image).to(device).permute(0, 3, 1, 2)
    return image, torch.from_numpy(features.vector).to(device)


def _array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy().astype(np.float32).copy()
