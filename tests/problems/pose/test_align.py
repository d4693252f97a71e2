# SPDX-License-Identifier: Apache-2.0
"""The closed-form translation."""

import numpy as np
import pytest

from solver_core.frames import Camera
from solver_core.manifolds import SE3
from solver_core.problems.pose.crop import crop_poses, turn_pose
from solver_core.problems.pose.sampler import align

from .conftest import make_case


def aligned_error(case) -> float:
    cropped = crop_poses([case.mesh], [case.mask.astype(np.float32)], [case.camera])
    x = align(cropped, turn_pose(cropped.virtual_from_camera, case.start[None]))
    return float(SE3().distance(x, turn_pose(cropped.virtual_from_camera, case.truth[None]))[0])


@pytest.mark.parametrize("step", [(0.05, 0.1, 0.3), (-0.3, 0.2, -0.6), (2.0, 2.0, 1.5), (0.0, 0.0, -0.85)])
def test_translation_is_recovered_when_the_rotation_is_right(chair_case, step):
    case = make_case(chair_case.mesh, chair_case.camera, chair_case.truth, np.array([0, 0, 0, *step]))

    assert aligned_error(case) < 0.02  # a box of whole pixels


def test_cut_side_gives_no_equation(chair_case):
    camera = Camera(160, 160, 300.0, 300.0, 130.0, 80.0)
    case = make_case(chair_case.mesh, camera, chair_case.truth, np.array([0, 0, 0, -0.02, 0.01, 0.05]))

    assert case.mask[:, -1].any()
    assert aligned_error(case) < 0.02
