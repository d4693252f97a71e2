# SPDX-License-Identifier: Apache-2.0
"""Training loss of the inverse kinematics networks. [torch]"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch

from solver_core.network.spec import NetworkSpec
from solver_core.network.torch_modules import Loss, TorchNetwork
from solver_core.problems.inverse_kinematics.skeleton.skeleton import Skeleton
from solver_core.problems.inverse_kinematics.training.torch_kinematics import forward_kinematics, matrix_from_rotvec

POSITION_WEIGHT = 4.0  # radians a metre: makes 0.6 degrees weigh as much as 0.3 cm
SMOOTH = 1e-4  # rounds the tip of the norms, radians and metres


def make_loss(spec: NetworkSpec, settings: dict[str, Any], generator: torch.Generator) -> Loss:
    """The same loss for every network."""
    return loss


def loss(
    network: TorchNetwork, image: torch.Tensor | None, vector: torch.Tensor, inputs: dict[str, torch.Tensor]
) -> torch.Tensor:
    """Mean angle of the joints plus mean distance of the nodes that the step leaves: lengths, as in the measured errors."""
    output = network(image, vector)
    with torch.autocast(vector.device.type, enabled=False):  # half precision would place the feet to a centimetre
        turns = output.float().unflatten(1, (-1, 1, 3))  # (B, J, 1, 3)
        step = matrix_from_rotvec((turns @ inputs["axes"]).squeeze(2))
        local = inputs["estimate"] @ step
        skeleton = _skeleton(tuple(inputs["parents"][0].int().tolist()))
        positions = forward_kinematics(skeleton, inputs["offsets"], local)
        wanted = forward_kinematics(skeleton, inputs["offsets"], inputs["truth"])
        # The Frobenius norm of a difference of rotations is sqrt(2) times the angle, for small ones.
        angles = _length((local - inputs["truth"]).flatten(2)) / 2**0.5
        return angles.mean() + POSITION_WEIGHT * _length(positions - wanted).mean()


@functools.cache
def _skeleton(parents: tuple[int, ...]) -> Skeleton:
    return Skeleton([str(node) for node in range(len(parents))], parents, np.zeros((len(parents), 3)))


def _length(vectors: torch.Tensor) -> torch.Tensor:
    return (vectors.square().sum(dim=-1) + SMOOTH**2).sqrt()
