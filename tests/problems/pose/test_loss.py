# SPDX-License-Identifier: Apache-2.0
"""The training loss, and the mirror images it adds."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from solver_core import render  # noqa: E402
from solver_core.frames import matrix_from_pose  # noqa: E402
from solver_core.mesh import Mesh  # noqa: E402
from solver_core.problems.pose.crop import crop_poses  # noqa: E402
from solver_core.problems.pose.loss import MIRRORED_NUMBERS, MIRRORED_STEP, loss, make_loss  # noqa: E402

pytestmark = pytest.mark.torch
ROW = np.array([0])


class FixedOutput(torch.nn.Module):
    def __init__(self, output):
        super().__init__()
        self.output = torch.tensor(output)

    def forward(self, image, vector):
        return self.output.expand(len(vector), *self.output.shape)


def mirrored(case):
    """The mirror image of a scene: mesh, poses and mask reflected at the plane x = 0 of the camera."""
    flip = np.diag([-1.0, 1.0, 1.0, 1.0])
    mesh = Mesh(np.ascontiguousarray(case.mesh.vertices * [-1, 1, 1], np.float32), case.mesh.faces)
    return mesh, case.mask[:, ::-1], lambda pose: flip @ matrix_from_pose(pose) @ flip


def features_and_target(mesh, mask, camera, start, truth):
    from solver_core.frames import pose_from_matrix

    cropped = crop_poses([mesh], [mask.astype(np.float32)], [camera])
    turn = np.eye(4)
    turn[:3, :3] = cropped.virtual_from_camera[0]
    x, x_true = pose_from_matrix(turn @ start)[None], pose_from_matrix(turn @ truth)[None]
    problem = cropped.problem
    features = problem.features(x, problem.forward(x, ROW), cropped.observation, ROW)
    return features, problem.output_from_step(problem.manifold.difference(x, x_true), x, ROW)


def test_mirrored_numbers_and_target_are_those_of_the_mirror_image(chair_case):
    mesh, mask, mirror = mirrored(chair_case)
    start, truth = matrix_from_pose(chair_case.start), matrix_from_pose(chair_case.truth)

    features, target = features_and_target(chair_case.mesh, chair_case.mask, chair_case.camera, start, truth)
    other, other_target = features_and_target(mesh, mask, chair_case.camera, mirror(chair_case.start), mirror(chair_case.truth))

    np.testing.assert_allclose(other_target, target * MIRRORED_STEP.numpy(), atol=1e-6)
    np.testing.assert_allclose(other.vector, features.vector * MIRRORED_NUMBERS.numpy(), atol=0.05)  # ties at pixel centres
    assert np.abs(other.image - features.image[:, :, ::-1]).mean() < 0.005


def test_loss_is_smallest_at_the_target():
    target = torch.tensor([[0.5, 0.0, 0.0, 0.0, 0.1, 0.2]])
    image, vector = torch.zeros(1, 7, 64, 64), torch.zeros(1, len(MIRRORED_NUMBERS))

    at_target = loss(FixedOutput(target[0].tolist()), image, vector, {"target": target})
    beside = loss(FixedOutput((target[0] + 0.1).tolist()), image, vector, {"target": target})

    assert 0 < at_target < 0.01
    assert beside > 0.2


@pytest.mark.parametrize(("settings", "is_right"), [({}, False), ({"mirrored": True}, False), ({"mirrored": False}, True)])
def test_mirror_images_are_learned_from_unless_the_recipe_says_not(settings, is_right):
    target = torch.tensor([[0.0, 0.5, 0.0, 0.0, 0.1, 0.2]])  # a turn to one side
    image, vector = torch.zeros(1, 7, 64, 64), torch.zeros(1, len(MIRRORED_NUMBERS))
    always_so = FixedOutput(target[0].tolist())

    found = make_loss(None, settings, None)(always_so, image, vector, {"target": target})

    assert (found < 0.01) == is_right


def test_loss_of_proposals_is_that_of_the_best_and_small_only_if_it_says_so():
    target = torch.tensor([[0.0, 0.0, 0.0, 0.0, 0.1, 0.2]])  # its own mirror image
    right, wrong = target[0].tolist(), (target[0] + torch.tensor([1.0, 0, 0, 0, 0, 0])).tolist()
    image, vector = torch.zeros(1, 7, 64, 64), torch.zeros(1, len(MIRRORED_NUMBERS))

    def of(*proposals: list[float]) -> float:
        return float(loss(FixedOutput(proposals), image, vector, {"target": target}))

    sure, unsure, missed = (
        of([*right, 3.0], [*wrong, -3.0]),
        of([*right, -3.0], [*wrong, 3.0]),
        of([*wrong, 3.0], [*wrong, 3.0]),
    )
    assert sure < 0.05
    assert sure < unsure < missed
    assert missed > 1


def test_render_is_symmetric_for_the_mirrored_mesh(chair_case):
    mesh, mask, mirror = mirrored(chair_case)
    camera = chair_case.camera

    seen = render.render_depth([mesh], mirror(chair_case.truth)[None], camera.intrinsics[None], camera.height, camera.width)

    assert np.mean(np.isfinite(seen[0]) != mask) < 1e-3
