# SPDX-License-Identifier: Apache-2.0
"""What the network sees of a pose and its targets; nothing changes when the whole body is turned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from solver_core import rotations
from solver_core.errors import ConfigError
from solver_core.kernel.tree import damped_step
from solver_core.network.spec import NetworkSpec
from solver_core.problem import Features
from solver_core.problems.inverse_kinematics.files.bodies import human, read_body
from solver_core.problems.inverse_kinematics.observation import NOISE_SCALE, Targets
from solver_core.problems.inverse_kinematics.skeleton.body import Body
from solver_core.problems.inverse_kinematics.skeleton.kinematics import Posture
from solver_core.problems.inverse_kinematics.skeleton.skeleton import Skeleton

INPUT_LAYOUT = "inverse_kinematics 2: pose; least squares step; target residual weight and log length of each node"
HINT_TRUST = 0.02  # the linear model leaves a seventh of the residual, roughly
HINT_DAMPING = 1e-6  # square metres; below this float32 loses the weakest directions
MAX_HINT = 2.0  # standard deviations; far from the answer the linear step can be any size


def network_spec(settings: dict[str, Any]) -> NetworkSpec:
    """Network for these features.  settings: `hidden`, widths; `rig`, a body file (body.py) instead of the human."""
    unknown = set(settings) - {"hidden", "rig"}
    if unknown:
        raise ConfigError(f"unknown key {sorted(unknown)[0]!r} in [network]; known: hidden, rig")
    skeleton = trained_body(settings).skeleton
    outputs = 3 * skeleton.num_joints
    return NetworkSpec(outputs, tuple(settings["hidden"]), num_features(skeleton), skip=True)


def num_features(skeleton: Skeleton) -> int:
    """K: pose and step of each joint, and eight numbers of each node."""
    return 6 * skeleton.num_joints + 8 * skeleton.num_nodes


def trained_body(settings: dict[str, Any]) -> Body:
    """The body that [network] or [sampling] settings ask for."""
    return read_body(Path(settings["rig"])) if "rig" in settings else human()


def features(
    body: Body, offsets: np.ndarray, x: np.ndarray, posture: Posture, residuals: np.ndarray, observation: Targets
) -> Features:
    """Numbers (B, K) as INPUT_LAYOUT names them, in the root's frame and of order one.

    The pose is relative to the mean pose, and the step is what damped least squares would do next.  Both are rotations,
    so they hardly depend on the lengths of the bones.  residuals: (B, N, 3), 0 counts for targets that are not given.
    """
    skeleton, batch = body.skeleton, len(x)
    mean_pose = body.mean_pose.astype(x.dtype)
    relative = rotations.multiply(rotations.inverse(mean_pose), x)
    root = skeleton.joint_of_node[skeleton.root]
    relative[:, root] = [1, 0, 0, 0]
    pose = np.where(relative[..., :1] < 0, -relative[..., 1:], relative[..., 1:])

    axes = body.axes.astype(x.dtype) @ posture.orientations.swapaxes(2, 3)
    precision = observation.precision
    # Steps count in standard deviations of motions, so that damping by the noise's variance is what Bayes asks for.
    expected = (precision * (HINT_TRUST * (residuals**2).sum(axis=-1) + observation.noise**2)).sum(axis=-1)
    damping = HINT_DAMPING + expected / precision.sum(axis=-1)
    hint = damped_step(skeleton, posture.positions, axes, residuals, precision, damping)
    hint /= np.maximum(1, np.linalg.norm(hint, axis=-1, keepdims=True) / MAX_HINT)

    given = (observation.weights > 0)[..., None]
    residuals_root = given * (residuals @ posture.orientations[:, root])
    targets_root = given * (posture.positions @ posture.orientations[:, root]) + residuals_root
    certainty = given[..., 0] / (1 + observation.noise / NOISE_SCALE)
    lengths = np.linalg.norm(offsets, axis=-1)
    log_lengths = np.log(np.maximum(lengths, 1e-6) / np.maximum(skeleton.bone_lengths, 1e-6))
    log_lengths[:, skeleton.root] = 0
    parts = (2 * pose, hint, 2 * targets_root, 10 * residuals_root, certainty, 5 * log_lengths)
    return Features(None, np.concatenate([part.reshape(batch, -1) for part in parts], axis=1).astype(np.float32))
