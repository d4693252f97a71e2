# SPDX-License-Identifier: Apache-2.0
"""Overlaps that are counted around the object are those of the whole picture."""

import numpy as np
import pytest

from addon.solves.observed import Observed, extent
from solver_core import render
from solver_core.frames import Camera
from solver_core.mesh import Mesh

CUBE = Mesh.checked(
    np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)]),
    np.array(
        [
            *([0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1]),
            *([2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3]),
        ]
    ),
)
CAMERA = Camera(1600, 1200, 2100, 2100, 790, 610)


def at(x, y, z=-4.0):
    pose = np.eye(4)
    pose[:3, 3] = x, y, z
    return pose


def seen(pose):
    depth = render.render_depth([CUBE], pose[None], CAMERA.intrinsics, CAMERA.height, CAMERA.width)[0]
    return np.isfinite(depth)


@pytest.mark.parametrize(
    "pose",
    [at(0.02, 0.01), at(0.5, -0.1), at(1.4, 1.0), at(2.5, 0), at(0, 0, -0.3), at(0, 0, 2)],
    ids=["near", "beside", "cut_by_the_border", "out_of_view", "around_the_camera", "behind"],
)
def test_overlap_is_that_of_all_pixels(pose):
    mask = seen(at(0, 0))
    observed = Observed.of(mask.astype(np.float32), (CAMERA.width, CAMERA.height))

    iou = observed.iou(CUBE, pose, CAMERA)

    assert observed.every == 2  # it is 600 pixels across
    expected = np.count_nonzero(mask & seen(pose)) / np.count_nonzero(mask | seen(pose))
    assert iou == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("every", [1, 2, 3])
def test_the_true_pose_overlaps_in_all_that_is_counted(every):
    observed = Observed.of(seen(at(0.2, 0.1, -6.0 / every)).astype(np.float32), (CAMERA.width, CAMERA.height))

    assert observed.every == every
    assert observed.iou(CUBE, at(0.2, 0.1, -6.0 / every), CAMERA) > 0.9999


def test_nothing_overlaps_with_nothing():
    observed = Observed.of(np.zeros((CAMERA.height, CAMERA.width), np.float32), (CAMERA.width, CAMERA.height))

    assert extent(observed.is_object) == (slice(0, 0), slice(0, 0))
    assert observed.iou(CUBE, at(0, 0), CAMERA) == 0
