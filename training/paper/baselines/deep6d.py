# SPDX-License-Identifier: Apache-2.0
"""Deep6D: a network that gives joint rotations from positions in one go, without feedback. [torch]

Zhou et al. 2019, "On the Continuity of Rotation Representations in Neural Networks", sec. 5.3: each rotation is two
columns of its matrix, made orthonormal by Gram and Schmidt.  All nodes get one, end sites too.
"""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save
from torch import nn

from solver_core import rotations
from solver_core.errors import WeightsError
from solver_core.loop import Iteration
from solver_core.problems.inverse_kinematics.files.bodies import human
from solver_core.problems.inverse_kinematics.problem import KinematicProblem, Targets
from solver_core.problems.inverse_kinematics.sampler import KinematicSampler
from solver_core.problems.inverse_kinematics.skeleton.skeleton import Skeleton
from solver_core.problems.inverse_kinematics.training.torch_kinematics import forward_kinematics
from solver_core.solution import Solution, StopReason
from solver_core.writing import write_bytes

logger = logging.getLogger(__name__)

WIDTH = 1024
WARMUP_ITERATIONS = 100
LOG_EVERY = 500


@dataclass(frozen=True)
class Deep6DSettings:
    """A training run.  position_weight: of the mean squared error of positions, in metres, beside that of rotation matrices."""

    iterations: int = 20_000
    batch_size: int = 256
    learning_rate: float = 1e-3
    position_weight: float = 10.0
    seed: int = 1


class Deep6D(nn.Module):
    """Positions (B, N, 3), metres, the root at the origin, to local rotation matrices (B, N, 3, 3)."""

    def __init__(self, num_nodes: int) -> None:
        super().__init__()
        hidden = [layer for width in (3 * num_nodes, WIDTH, WIDTH) for layer in (nn.Linear(width, WIDTH), nn.LeakyReLU())]
        self.layers = nn.Sequential(*hidden, nn.Linear(WIDTH, 6 * num_nodes))

    def forward(self, positions: torch.Tensor) -> torch.Tensor:
        return orthonormal(self.layers(positions.flatten(1)).unflatten(1, (-1, 2, 3)))


def orthonormal(columns: torch.Tensor) -> torch.Tensor:
    """(..., 3, 3) rotation matrices whose first column points along columns[..., 0, :] and whose second is near the other."""
    x = nn.functional.normalize(columns[..., 0, :], dim=-1)
    z = nn.functional.normalize(torch.linalg.cross(x, columns[..., 1, :]), dim=-1)
    return torch.stack([x, torch.linalg.cross(z, x), z], dim=-1)


def loss(
    skeleton: Skeleton, found: torch.Tensor, truth: torch.Tensor, offsets: torch.Tensor, position_weight: float
) -> torch.Tensor:
    """Mean squared errors of matrices (B, J, 3, 3) and, weighted, of where they put the nodes; offsets: (B, N, 3)."""
    placed, wanted = (forward_kinematics(skeleton, offsets, local) for local in (found, truth))
    of_positions = nn.functional.mse_loss(placed, wanted)
    return nn.functional.mse_loss(found, truth) + position_weight * of_positions


def train(sampler: KinematicSampler, settings: Deep6DSettings, weights: Path) -> Deep6D:
    """Trains on the sampler's poses with the hip at the origin, and writes the weights."""
    torch.manual_seed(settings.seed)
    skeleton = sampler.body.skeleton
    joints = torch.from_numpy(skeleton.joints)
    network = Deep6D(skeleton.num_nodes)
    optimizer = torch.optim.Adam(network.parameters(), settings.learning_rate)
    rng = np.random.default_rng(settings.seed)
    started, losses = time.monotonic(), []
    for iteration in range(settings.iterations):
        progress = iteration / settings.iterations
        warmup = min(1.0, (iteration + 1) / WARMUP_ITERATIONS)
        optimizer.param_groups[0]["lr"] = settings.learning_rate * warmup * 0.5 * (1 + math.cos(math.pi * progress))
        samples = sampler.draw(rng, settings.batch_size)
        assert isinstance(samples.problem, KinematicProblem)
        truth = torch.from_numpy(rotations.matrix_from_wxyz(samples.x_true))
        positions, offsets = torch.from_numpy(samples.observation.positions), torch.from_numpy(samples.problem.offsets)
        found = network(positions)[:, joints]
        value = loss(skeleton, found, truth, offsets, settings.position_weight)
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        optimizer.step()
        losses.append(float(value.detach()))
        if (iteration + 1) % LOG_EVERY == 0:
            elapsed = time.monotonic() - started
            logger.info("iteration %d: loss %.6f, %.0f s", iteration + 1, np.mean(losses[-LOG_EVERY:]), elapsed)
    write_bytes(weights, save(network.state_dict()), "weights")
    return network


def load(weights: Path) -> Deep6D:
    """The network for the human from a file that `train` wrote.  Raises WeightsError."""
    network = Deep6D(human().skeleton.num_nodes)
    try:
        network.load_state_dict(load_file(weights))
    except (OSError, RuntimeError) as error:
        raise WeightsError(f"cannot use the weights {weights}: {error}") from error
    return network


@torch.inference_mode()
def deep6d(network: Deep6D, problem: KinematicProblem, targets: Targets, x0: np.ndarray) -> Solution:
    """Solution in one step; where it starts does not matter."""
    started = time.perf_counter()
    local = network(torch.from_numpy(targets.positions))[:, torch.from_numpy(problem.skeleton.joints)]
    x = rotations.wxyz_from_matrix(local.numpy()).astype(x0.dtype)
    rows, done = np.arange(len(x0)), np.ones(len(x0), dtype=bool)
    history = []
    for index, estimate in enumerate((x0, x)):
        energy = problem.energy(problem.forward(estimate, rows), targets, rows)
        seconds = index * (time.perf_counter() - started)
        history.append(Iteration(index, estimate, None, energy, index * np.ones(len(x)), done, done, seconds))
    return Solution(x, history[-1].energy, [StopReason.MAX_STEPS] * len(x), history, history[-1].seconds)
