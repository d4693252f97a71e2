# SPDX-License-Identifier: Apache-2.0
"""What the pose network sees of an estimate and the observation."""

from __future__ import annotations

from typing import Any

import numpy as np

from solver_core import render, rotations
from solver_core.errors import ConfigError
from solver_core.kernel.contour import contour_points
from solver_core.kernel.crop import mask_channels
from solver_core.network.spec import NetworkSpec
from solver_core.problem import Features
from solver_core.problems.pose.contour import gauss_newton_step, mean_distance
from solver_core.problems.pose.likelihood import CUT, misfit
from solver_core.problems.pose.observation import PoseObservation

INPUT_LAYOUT = (
    "pose 3: sdf_observed sdf_estimate difference coverage mask depth evidence; "
    "gn4 gn16 distance overlap perspective rotation6 outline unexplained hidden"
)
CROP_SIZE = 64  # pixels of the square image the network sees
FILL = 0.72  # the mask's longer side takes this part of the crop; the rest shows how far an estimate sticks out
CROP_CUT_PX = CUT * FILL * CROP_SIZE
NUM_CHANNELS = 7
NUM_NUMBERS = 24
# What a network may look at, for comparison: channels and numbers.  "masks" are the paper's three, "observation" leaves out
# what the forward process makes of the estimate, for direct regression.
INPUTS = {
    "robust": (range(NUM_CHANNELS), range(NUM_NUMBERS)),
    "all": (range(NUM_CHANNELS), range(15)),
    "no depth": ((0, 1, 2, 3, 4, 6), range(15)),
    "masks": ((3, 4, 6), ()),
    "observation": ((0, 3, 6), range(14, 21)),
}
MAX_DISTANCE_PX = 16.0  # signed distances are cut here: a quarter of the crop
ROBUST_PX = (4.0, 16.0)  # scales of the two Gauss-Newton steps: close fit, and everything in reach
OUTPUT_SCALE = np.array([0.5, 0.5, 0.5, 0.1, 0.1, 0.1])  # radians, crop half widths, log depth: a typical first residual
MAX_OUTPUT = 3.0  # Gauss-Newton steps are cut at this many typical residuals


def network_spec(settings: dict[str, Any]) -> NetworkSpec:
    """Network for these features.

    settings: `convolutions`, a list of [channels, stride]; `hidden`, widths; `inputs`, a key of INPUTS, default "all";
    `proposals`, how many alternative steps it gives, default 1; `mirrored` is of the loss.
    """
    if set(settings) - {"inputs", "proposals", "mirrored"} != {"convolutions", "hidden"}:
        raise ConfigError(f"[network] must give convolutions and hidden, it gives {', '.join(sorted(settings)) or 'nothing'}")
    inputs = settings.get("inputs", "all")
    if inputs not in INPUTS:
        raise ConfigError(f"unknown inputs {inputs!r} in [network]; known: {', '.join(INPUTS)}")
    channels, numbers = INPUTS[inputs]
    return NetworkSpec(
        outputs=6,
        hidden=tuple(settings["hidden"]),
        vector_size=len(numbers),
        image_size=CROP_SIZE,
        image_channels=len(channels),
        convolutions=tuple((channels, stride) for channels, stride in settings["convolutions"]),
        channels=None if len(channels) == NUM_CHANNELS else tuple(channels),
        numbers=tuple(numbers),
        proposals=settings.get("proposals", 1),
    )


def output_scale(intrinsics: np.ndarray, height: int) -> np.ndarray:
    """(B, 6) SE3 step that an output of one stands for; shifts scale with the crop, so that zoom does not matter."""
    scale = np.tile(OUTPUT_SCALE, (len(intrinsics), 1))
    scale[:, 3:5] *= height / 2 / intrinsics[:, :2]
    return scale


def features(x: np.ndarray, depth: np.ndarray, observation: PoseObservation, intrinsics: np.ndarray) -> Features:
    """Images (B, 64, 64, 7) and numbers (B, 24), as INPUT_LAYOUT names them; all of order one.

    x: (B, 7).  depth: (B, 64, 64) of the render at x.  intrinsics: (B, 4) of the crop cameras.
    """
    estimated = render.signed_distance(np.isfinite(depth))
    coverage, evidence, observed = observation
    # Depth is relative to the object's centre, in units of its bounding-box diagonal, which is 1.
    image = mask_channels(observed, estimated, coverage, depth, evidence, -x[:, 6], MAX_DISTANCE_PX)
    return Features(image, _numbers(x, depth, observation, intrinsics))


def _numbers(x: np.ndarray, depth: np.ndarray, observation: PoseObservation, intrinsics: np.ndarray) -> np.ndarray:
    points = contour_points(x[:, 4:], depth, observation.distance, observation.evidence, intrinsics)
    scale = output_scale(intrinsics, depth.shape[1])
    steps = [gauss_newton_step(points, np.full(len(x), robust_px)) / scale for robust_px in ROBUST_PX]
    misfits = misfit(depth, observation, CROP_CUT_PX)
    return np.concatenate(
        [
            *(np.clip(step, -MAX_OUTPUT, MAX_OUTPUT) for step in steps),
            mean_distance(points, len(x))[:, None] / ROBUST_PX[0],
            misfits.overlap[:, None],
            1 / (1 - x[:, 6:]),  # strength of perspective: 0 far away, towards 1 close by
            rotations.matrix_from_wxyz(x[:, :4])[:, :2].reshape(len(x), 6),  # two rows: continuous, and the third follows
            np.stack(misfits[:3], axis=1),
        ],
        axis=1,
    ).astype(np.float32)
