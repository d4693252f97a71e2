# SPDX-License-Identifier: Apache-2.0
"""A small chair of our own: no symmetry but left and right, thin parts, a hole."""

from typing import NamedTuple

import numpy as np
import pytest

from solver_core import render
from solver_core.frames import Camera, matrix_from_pose
from solver_core.manifolds import SE3
from solver_core.mesh import Mesh
from solver_core.views import view_rotation

BOX_CORNERS = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], dtype=float)
BOX_FACES = np.array(
    [
        [0, 1, 3],
        [0, 3, 2],
        [4, 6, 7],
        [4, 7, 5],
        [0, 4, 5],
        [0, 5, 1],
        [2, 3, 7],
        [2, 7, 6],
        [0, 2, 6],
        [0, 6, 4],
        [1, 5, 7],
        [1, 7, 3],
    ]
)
CHAIR_BOXES = [  # low corner, size; z up
    ((-0.25, -0.25, 0.40), (0.5, 0.5, 0.05)),
    ((-0.25, 0.20, 0.45), (0.5, 0.05, 0.5)),
    *(((x, y, 0.0), (0.05, 0.05, 0.4)) for x in (-0.25, 0.20) for y in (-0.25, 0.20)),
    ((0.20, -0.25, 0.60), (0.05, 0.45, 0.05)),  # one arm rest only
]


class PoseCase(NamedTuple):
    mesh: Mesh
    camera: Camera
    mask: np.ndarray
    truth: np.ndarray
    start: np.ndarray


def make_case(mesh: Mesh, camera: Camera, truth: np.ndarray, step: np.ndarray) -> PoseCase:
    """A mask rendered at `truth` (7,), and a start that is `step` (6,) away."""
    seen = render.render_depth([mesh], matrix_from_pose(truth[None]), camera.intrinsics[None], camera.height, camera.width)
    return PoseCase(mesh, camera, np.isfinite(seen[0]), truth, SE3().retract(truth[None], step[None])[0])


@pytest.fixture(scope="session")
def chair() -> Mesh:
    vertices = [np.asarray(low) + BOX_CORNERS * size for low, size in CHAIR_BOXES]
    faces = [BOX_FACES + 8 * index for index in range(len(CHAIR_BOXES))]
    return Mesh.checked(np.concatenate(vertices), np.concatenate(faces)).unit().mesh


@pytest.fixture
def chair_case(chair: Mesh) -> PoseCase:
    """The chair 2.7 diagonals away, seen from the front right; the start is turned by 17 degrees and shifted."""
    wxyz = view_rotation(np.array([0.6]), np.array([0.4]), np.array([0.1]))[0]
    truth = np.concatenate([wxyz, [0.05, -0.03, -2.7]])
    return make_case(chair, Camera.from_fov(160, 160, np.radians(30)), truth, np.array([0.2, 0.2, -0.1, 0.02, 0.01, 0.03]))


@pytest.fixture(scope="session")
def cup() -> Mesh:
    """A closed drum around z with one handle, towards x, without which no turn about z would be told."""
    angle = np.linspace(0, 2 * np.pi, 33)[:-1]
    ring = 0.25 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    drum = np.concatenate([np.column_stack([ring, np.full(32, z)]) for z in (-0.3, 0.3)] + [[[0, 0, -0.3], [0, 0, 0.3]]])
    here, next_ = np.arange(32), np.roll(np.arange(32), -1)
    sides = np.concatenate([[here, next_, 32 + next_], [here, 32 + next_, 32 + here]], axis=1)
    ends = np.concatenate([[next_, here, 0 * here + 64], [32 + here, 32 + next_, 0 * here + 65]], axis=1)
    handle = np.array([0.2, -0.04, -0.05]) + BOX_CORNERS * [0.35, 0.08, 0.25]
    faces = np.concatenate([sides.T, ends.T, 66 + BOX_FACES]).astype(np.int32)
    return Mesh(np.concatenate([drum, handle]).astype(np.float32), faces)
