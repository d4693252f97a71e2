"""Training loss of the lighting networks. [torch]"""

from __future__ import annotations

import torch

from solver_core.network.torch_modules import TorchNetwork

SMOOTH = 1e-2  # rounds the tip of the norm; in units of a typical residual


def loss(
    network: TorchNetwork, image: torch.Tensor | None, vector: torch.Tensor, inputs: dict[str, torch.Tensor]
) -> torch.Tensor:
    """Mean length of the error.  Lengths, not squares: where two lamps fit the median is one of them, the mean neither."""
    error = network(image, vector).float() - inputs["target"]
    return (error.square().sum(dim=1) + SMOOTH**2).sqrt().mean()
