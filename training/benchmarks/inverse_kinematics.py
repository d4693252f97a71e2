# SPDX-License-Identifier: Apache-2.0
"""Time of inverse kinematics on one core at NumPy run time, and in batches with torch on two, beside their limits.

python -m training.benchmarks.ik
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

os.environ["OMP_NUM_THREADS"] = "1"  # before NumPy is loaded

import numpy as np
import torch

import solver_core as sc
from solver_core import rotations
from solver_core.network.torch_modules import TorchNetwork
from solver_core.network.weights import load_weights, shipped_weights
from solver_core.problems.inverse_kinematics.features import INPUT_LAYOUT
from solver_core.problems.inverse_kinematics.files.bodies import human
from solver_core.problems.inverse_kinematics.skeleton.kinematics import forward_kinematics
from solver_core.problems.inverse_kinematics.solver.guide import Trained

BATCH = 256
REPEATS = 15


def make_targets(count: int) -> np.ndarray:
    """(F, N, 3) positions of poses around the mean pose, facing anywhere.

    Joints deviate half as far as in motions, because here each does so on its own.
    """
    body, rng = human(), np.random.default_rng(0)
    turns = 0.5 * rng.normal(size=(count, body.skeleton.num_joints, 1, 3))
    x = rotations.multiply(body.mean_pose, rotations.wxyz_from_rotvec((turns @ body.axes)[:, :, 0]))
    x[:, body.skeleton.joint_of_node[body.skeleton.root]] = rotations.random_wxyz(rng, count)
    offsets = np.broadcast_to(body.skeleton.offsets, (count, *body.skeleton.offsets.shape))
    return forward_kinematics(body.skeleton, offsets, x).positions


def in_torch() -> Trained:
    """The shipped networks in torch."""
    stages, info = load_weights(shipped_weights("inverse_kinematics"), "inverse_kinematics", INPUT_LAYOUT)
    networks = [TorchNetwork(info.spec) for _ in stages]
    for network, weights in zip(networks, stages, strict=True):
        network.load_numpy_weights(weights)
    return Trained(human(), [network.predict for network in networks])


def median_ms(function: Callable[[], object]) -> float:
    """Median time of a warm call."""
    function()
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        function()
        times.append(time.perf_counter() - started)
    return 1e3 * float(np.median(times))


def main() -> None:
    torch.set_num_threads(2)
    skeleton, targets, trained = human().skeleton, make_targets(BATCH), in_torch()
    numbers = [
        ("4 steps, one frame, NumPy", median_ms(lambda: sc.solve_inverse_kinematics(targets[0], skeleton, refine=False)), 4),
        ("4 steps + refine, one frame, NumPy", median_ms(lambda: sc.solve_inverse_kinematics(targets[0], skeleton)), None),
    ]
    for name, is_refined, limit in (("4 steps", False, 1), ("4 steps + refine", True, 3)):
        batch_ms = median_ms(lambda: sc.solve_inverse_kinematics(targets, skeleton, refine=is_refined, trained=trained))  # noqa: B023
        numbers.append((f"{name}, a frame of {BATCH}, torch", batch_ms / BATCH, limit))
    for name, value, limit in numbers:
        print(f"{name:40s} {value:8.2f} ms   limit {'-' if limit is None else f'{limit} ms'}")


if __name__ == "__main__":
    main()
