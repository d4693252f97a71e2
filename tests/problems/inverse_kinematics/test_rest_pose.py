# SPDX-License-Identifier: Apache-2.0
"""A skeleton whose own rest pose is no standing figure, with a pose that counts as rest."""

import numpy as np
import pytest

import solver_core as sc
from solver_core import rotations
from solver_core.command.cli import main
from solver_core.errors import SetupError
from solver_core.problems.inverse_kinematics.files.bodies import human
from solver_core.problems.inverse_kinematics.files.bvh import read_bvh, write_bvh
from solver_core.problems.inverse_kinematics.skeleton.kinematics import forward_kinematics
from solver_core.problems.inverse_kinematics.skeleton.motion import Motion
from solver_core.problems.inverse_kinematics.skeleton.rest_pose import RestPose
from solver_core.problems.inverse_kinematics.skeleton.skeleton import Skeleton

SAME_DEG = 0.1  # numbers are rounded otherwise in other axes


@pytest.fixture
def curled() -> tuple[Skeleton, np.ndarray]:
    """The human with axes at random, which at rest is a heap of bones, and the rotations (N, 4) in which it stands."""
    body = human().skeleton
    axes = rotations.random_wxyz(np.random.default_rng(3), body.num_nodes)
    offsets, rest = body.offsets.copy(), np.tile([1.0, 0, 0, 0], (body.num_nodes, 1))
    for level in body.levels:
        offsets[level.nodes] = rotations.rotate(rotations.inverse(axes[level.parents]), body.offsets[level.nodes])
    above = np.where(body.parents[:, None] < 0, np.array([1.0, 0, 0, 0]), axes[body.parents])
    rest[body.joints] = rotations.multiply(rotations.inverse(above), axes)[body.joints]
    return Skeleton(body.names, body.parents, offsets), rest


@pytest.fixture
def walking(curled) -> Motion:
    """Five frames of the curled skeleton, near the mean pose."""
    skeleton, rest = curled
    rng = np.random.default_rng(4)
    of_human = human().mean_pose + 0.1 * rng.normal(size=(5, *human().mean_pose.shape))
    x = RestPose.checked(skeleton, rest).to_own(of_human / np.linalg.norm(of_human, axis=-1, keepdims=True))
    rotation = np.tile([1.0, 0, 0, 0], (5, skeleton.num_nodes, 1))
    rotation[:, skeleton.joints] = x
    return Motion(skeleton, rotation, np.tile([0.0, 1, 0], (5, 1)), 1 / 30, ("ZXY",) * skeleton.num_nodes, 0.01)


def test_both_skeletons_have_the_same_positions(curled):
    skeleton, rest = curled
    standing = RestPose.checked(skeleton, rest)
    x = rotations.random_wxyz(np.random.default_rng(0), 4, skeleton.num_joints)

    own = forward_kinematics(skeleton, np.tile(skeleton.offsets, (4, 1, 1)), standing.to_own(x))
    other = forward_kinematics(standing.skeleton, np.tile(standing.skeleton.offsets, (4, 1, 1)), x)

    np.testing.assert_allclose(standing.skeleton.offsets, human().skeleton.offsets, atol=1e-12)
    np.testing.assert_allclose(own.positions, other.positions, atol=1e-12)
    assert rotations.angle_between(standing.from_own(standing.to_own(x)), x).max() < 1e-6


@pytest.fixture
def expected(curled, walking) -> np.ndarray:
    """(F, N, 4) the answer of the human in its own axes, in those of the curled skeleton."""
    skeleton, rest = curled
    of_human = sc.solve_inverse_kinematics(walking.positions(), human().skeleton).rotations
    expected = of_human.copy()
    expected[:, skeleton.joints] = RestPose.checked(skeleton, rest).to_own(of_human[:, skeleton.joints])
    return expected


def test_the_pose_tells_how_joints_are_twisted(curled, walking, expected):
    skeleton, rest = curled
    steps = []

    without = sc.solve_inverse_kinematics(walking.positions(), skeleton)
    result = sc.solve_inverse_kinematics(walking.positions(), skeleton, rest=rest, on_step=steps.append)

    off = [np.rad2deg(rotations.angle_between(one.rotations, expected)).max() for one in (result, without)]
    assert off[0] < SAME_DEG
    assert off[1] > 10
    assert not any("no standing figure" in notice for notice in result.notices)
    shown = rotations.angle_between(steps[-1].x, result.rotations[:, skeleton.joints])
    assert shown.max() < 1e-3


def test_a_start_is_counted_as_the_result_is(curled, walking):
    skeleton, rest = curled

    result = sc.solve_inverse_kinematics(walking.positions(), skeleton, rest=rest, start=walking.rotations)

    assert np.rad2deg(rotations.angle_between(result.rotations, walking.rotations)).max() < 0.1


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda rest: rest[:-1], "shape"),
        (lambda rest: 2 * rest, "unit quaternions"),
        (lambda rest: np.full_like(rest, np.nan), "unit quaternions"),
        (lambda rest: "standing", "rest"),
    ],
)
def test_what_is_no_pose_is_refused(curled, walking, change, sentence):
    skeleton, rest = curled

    with pytest.raises(SetupError, match=sentence):
        sc.solve_inverse_kinematics(walking.positions(), skeleton, rest=change(rest))


def test_limits_are_refused(curled, walking):
    skeleton, rest = curled
    limits = np.tile([-np.pi, np.pi], (skeleton.num_nodes, 3, 1))

    with pytest.raises(SetupError, match="either limits or another rest pose"):
        sc.solve_inverse_kinematics(walking.positions(), skeleton, rest=rest, limits=limits)


class TestCommand:
    @pytest.fixture
    def files(self, tmp_path, curled, walking):
        """A skeleton whose second frame stands, that frame alone, and the targets."""
        skeleton, rest = curled
        own = Motion(
            skeleton, np.stack([walking.rotations[0], rest]), np.zeros((2, 3)), 1 / 30, walking.orders, walking.metres_per_unit
        )
        write_bvh(tmp_path / "skeleton.bvh", own)
        write_bvh(tmp_path / "standing.bvh", Motion(skeleton, rest[None], np.zeros((1, 3)), 1 / 30, own.orders, 0.01))
        write_bvh(tmp_path / "targets.bvh", walking)
        return tmp_path

    def solve(self, folder, rest):
        files = ["--skeleton", folder / "skeleton.bvh", "--targets", folder / "targets.bvh", "--out", folder / "out.bvh"]
        return main([str(part) for part in ("solve", "ik", *files, "--rest", rest, "--positions-only")])

    @pytest.mark.parametrize("rest", ["2", "standing.bvh"])
    def test_a_frame_or_a_file_is_the_rest_pose(self, files, expected, rest):
        assert self.solve(files, rest if rest.isdecimal() else files / rest) == 0

        found = read_bvh(files / "out.bvh").rotations
        assert np.rad2deg(rotations.angle_between(found, expected)).max() < SAME_DEG

    @pytest.mark.parametrize(
        ("rest", "sentence"), [("3", "the frames 1 to 2"), ("0", "the frames 1 to 2"), ("no.bvh", "no.bvh")]
    )
    def test_what_is_not_there_is_said(self, files, rest, sentence, capsys):
        assert self.solve(files, rest) == 2

        assert sentence in capsys.readouterr().err

    def test_another_skeleton_is_refused(self, files, capsys):
        text = (files / "standing.bvh").read_text().replace("JOINT chest", "JOINT thorax")
        (files / "standing.bvh").write_text(text)

        assert self.solve(files, files / "standing.bvh") == 2

        assert "no joint 'chest'" in capsys.readouterr().err
