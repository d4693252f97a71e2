# SPDX-License-Identifier: Apache-2.0
"""Turns after which an object looks the same."""

import numpy as np
import pytest

from solver_core import rotations
from solver_core.mesh import Mesh
from solver_core.problems.pose.symmetry import Symmetries, errors_modulo, find_symmetries

from .conftest import BOX_CORNERS, BOX_FACES

TURN = rotations.wxyz_from_rotvec(np.array([0.4, -0.7, 0.2]))


def box(*size: float) -> Mesh:
    return Mesh.checked(BOX_CORNERS * size, BOX_FACES).unit().mesh


def prism(num_sides: int, top_radius: float = 0.4) -> Mesh:
    """A prism or a part of a cone about z."""
    angle = 2 * np.pi * np.arange(num_sides) / num_sides
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    rings = [np.column_stack([ring * radius, np.full(num_sides, z)]) for radius, z in ((0.4, 0.0), (top_radius, 1.0))]
    here, there = np.arange(num_sides), (np.arange(num_sides) + 1) % num_sides
    sides = [np.stack([here, there, here + num_sides], 1), np.stack([there, there + num_sides, here + num_sides], 1)]
    caps = [np.stack([here * 0 + start, here + start, there + start], axis=1) for start in (0, num_sides)]
    return Mesh.checked(np.concatenate(rings), np.concatenate([*sides, *caps])).unit().mesh


def turned(mesh: Mesh) -> Mesh:
    return Mesh.checked(rotations.rotate(TURN, mesh.vertices.astype(float)), mesh.faces).unit().mesh


@pytest.mark.parametrize(
    ("mesh", "count", "is_round"),
    [
        (box(1, 0.7, 0.4), 4, False),
        (box(1, 1, 0.4), 8, False),
        (box(1, 1, 1), 24, False),
        (prism(3), 6, False),
        (prism(6), 12, False),
        (prism(64), 2, True),  # turned over
        (prism(64, top_radius=0.2), 1, True),
        (turned(box(1, 0.7, 0.4)), 4, False),
        (turned(prism(64)), 2, True),
    ],
)
def test_symmetries_are_those_of_the_solid(mesh, count, is_round):
    found = find_symmetries(mesh)

    assert len(found.turns) == count
    assert (found.axis is not None) == is_round


def test_object_without_symmetry_has_none(chair):
    assert not find_symmetries(chair).is_any


def test_poses_that_look_the_same_put_the_vertices_onto_each_other():
    mesh = prism(3)
    pose = np.concatenate([TURN, [0.1, 0.2, -3.0]])

    same = find_symmetries(mesh).equivalents(pose, pose[:4])

    places = [rotations.rotate(one[:4], mesh.vertices.astype(float)) + one[4:] for one in same]
    for place in places[1:]:
        distance = np.linalg.norm(place[:, None] - places[0][None], axis=2).min(axis=1)
        assert distance.max() < 1e-5  # float32 vertices


def test_turn_about_a_round_axis_is_the_one_nearest_to_the_start():
    symmetries = Symmetries(axis=np.array([0.0, 0, 1]))
    pose = np.concatenate([TURN, [0.0, 0, -3]])
    spun = pose.copy()
    spun[:4] = rotations.multiply(pose[:4], rotations.wxyz_from_rotvec(np.array([0.0, 0, 2.5])))

    nearest = symmetries.nearest(spun, pose[:4])

    assert rotations.angle_between(nearest[:4], pose[:4]) < 1e-6


def test_errors_are_to_the_nearest_pose_that_looks_the_same():
    mesh = box(1, 0.7, 0.4)
    truth = np.concatenate([TURN, [0.0, 0, -3]])
    flipped = truth.copy()
    flipped[:4] = rotations.multiply(truth[:4], rotations.wxyz_from_rotvec(np.array([np.pi, 0, 0])))

    rotation_deg, translation, mssd = errors_modulo(find_symmetries(mesh), flipped, truth, mesh)

    assert rotation_deg < 1e-3
    assert translation < 1e-6
    assert mssd < 1e-5
    assert errors_modulo(Symmetries(), flipped, truth, mesh)[0] == pytest.approx(180)
