# SPDX-License-Identifier: Apache-2.0
"""Training loss of the pose networks. [torch]"""

from __future__ import annotations

from typing import Any

import torch

from solver_core.network.spec import NetworkSpec
from solver_core.network.torch_modules import Loss, TorchNetwork
from solver_core.problems.pose.features import NUM_NUMBERS

SHIFT_WEIGHT = 1.0
DEPTH_WEIGHT = 0.5
# Signs under exchange of left and right: rotations about y and z and shifts along x turn round.
MIRRORED_STEP = torch.tensor([1.0, -1.0, -1.0, -1.0, 1.0, 1.0])
# As do, of the six entries of the rotation, those that tell left from right on one side only; they are in the same places.
MIRRORED_NUMBERS = torch.cat([MIRRORED_STEP, MIRRORED_STEP, torch.ones(3), MIRRORED_STEP, torch.ones(NUM_NUMBERS - 21)])
LOSERS_WEIGHT, DOUBT_WEIGHT = 0.03, 0.05
SMOOTH = 1e-3  # rounds the tip of the norm; in units of a typical residual


def make_loss(spec: NetworkSpec, settings: dict[str, Any], generator: torch.Generator) -> Loss:
    """The same loss for every network.

    settings: `mirrored`, whether networks learn from mirror images, too, default true.  They double the samples where any
    object may come, and are wrong where one object is all that the network is to know.
    """
    return mirrored_loss if settings.get("mirrored", True) else loss


def mirrored_loss(
    network: TorchNetwork, image: torch.Tensor | None, vector: torch.Tensor, inputs: dict[str, torch.Tensor]
) -> torch.Tensor:
    """The loss over the batch and its mirror images: what mirror-image objects would show."""
    assert image is not None
    target = torch.cat([inputs["target"], inputs["target"] * MIRRORED_STEP.to(vector)])
    vector = torch.cat([vector, vector * MIRRORED_NUMBERS.to(vector)])
    return loss(network, torch.cat([image, image.flip(3)]), vector, {"target": target})


def loss(
    network: TorchNetwork, image: torch.Tensor | None, vector: torch.Tensor, inputs: dict[str, torch.Tensor]
) -> torch.Tensor:
    """Mean length of the error in rotation, image shift and log depth.

    Lengths, not squares: where a silhouette fits two poses the median is one of them, the mean is neither.  Of several
    proposals the best one learns, the others a little, so that none is left behind; and each, how likely it is the best.
    """
    target, output = inputs["target"], network(image, vector).float()
    if output.ndim == 2:
        return _length_of_error(output - target).mean()
    lengths = _length_of_error(output[:, :, :6] - target[:, None])  # (B, K)
    best, winner = lengths.min(dim=1)
    doubt = torch.nn.functional.cross_entropy(output[:, :, 6], winner)
    return (best + LOSERS_WEIGHT * lengths.mean(dim=1)).mean() + DOUBT_WEIGHT * doubt


def _length_of_error(error: torch.Tensor) -> torch.Tensor:
    rotation, shift, depth = error[..., :3], error[..., 3:5], error[..., 5:]
    return _length(rotation) + SHIFT_WEIGHT * _length(shift) + DEPTH_WEIGHT * _length(depth)


def _length(vectors: torch.Tensor) -> torch.Tensor:
    return (vectors.square().sum(dim=-1) + SMOOTH**2).sqrt()
