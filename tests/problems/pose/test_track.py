# SPDX-License-Identifier: Apache-2.0
"""Shots of a chair that turns, hides, jumps and leaves the image."""

from pathlib import Path

import numpy as np
import pytest

from solver_core import ObservationError, SetupError, Verdict, render, rotations, track_pose
from solver_core.command.files import read_mesh
from solver_core.frames import Camera, matrix_from_pose, pose_from_matrix
from solver_core.manifolds import SE3
from solver_core.mesh import Mesh
from solver_core.problems.pose.shots import EARLY_FRAMES, PhotoShot
from solver_core.problems.pose.solve import PoseOptions
from solver_core.problems.pose.track import checked_setup
from solver_core.views import view_rotation

DEMO = Path(__file__).parents[3] / "assets" / "demo"
CAMERA = Camera.from_fov(240, 180, np.radians(30))
FIRST = np.concatenate([view_rotation(np.array([0.6]), np.array([0.4]), np.array([0.1]))[0], [0.05, -0.03, -2.7]])
MOTION = np.array([0.03, 0.05, -0.02, 0.004, -0.002, 0.005])  # a frame: 3.5 degrees, and some pixels


def poses_of(num_frames, motion=MOTION) -> np.ndarray:
    poses = [FIRST]
    while len(poses) < num_frames:
        poses.append(SE3().retract(poses[-1][None], motion[None])[0])
    return np.stack(poses)


def masks_of(mesh, poses) -> list[np.ndarray]:
    count = len(poses)
    intrinsics = np.tile(CAMERA.intrinsics, (count, 1))
    return list(
        np.isfinite(render.render_depth([mesh] * count, matrix_from_pose(poses), intrinsics, CAMERA.height, CAMERA.width))
    )


def tracked(frames, mesh, **changes):
    start = SE3().retract(FIRST[None], np.array([[0.1, -0.1, 0.05, 0.01, 0, 0.02]]))[0]
    return track_pose(frames, mesh.vertices, mesh.faces, **{"camera": CAMERA, "start": matrix_from_pose(start), **changes})


def degrees_off(result, truth) -> float:
    pose = pose_from_matrix(result.camera_from_object)
    return float(np.degrees(rotations.angle_between(pose[None, :4], truth[None, :4])[0]))


def test_every_frame_of_a_shot_is_found(chair):
    poses = poses_of(20)

    results = list(tracked(masks_of(chair, poses), chair))

    assert [one.frame for one in results] == list(range(20))
    assert max(degrees_off(one, truth) for one, truth in zip(results, poses, strict=True)) < 0.5
    assert all(one.verdict is Verdict.GOOD and not one.lost and not one.is_repaired for one in results)


def test_frames_of_a_thin_object_are_not_called_lost():
    file = read_mesh(DEMO / "pose_model.ply")
    plane = Mesh.checked(file.vertices, file.faces).unit().mesh  # struts and blades of a pixel or two
    poses = poses_of(5)

    results = list(tracked(masks_of(plane, poses), plane))

    assert not any(one.lost for one in results)
    assert max(degrees_off(one, truth) for one, truth in zip(results, poses, strict=True)) < 1


def test_frames_are_taken_one_at_a_time(chair):
    masks, taken = masks_of(chair, poses_of(3)), []

    def camera():
        for mask in masks:
            taken.append(mask)
            yield mask

    results = tracked(camera(), chair)
    next(results)

    assert len(taken) == 1


def test_jump_is_noticed_or_followed(chair):
    poses = poses_of(12)
    jump = rotations.wxyz_from_rotvec(np.radians([30.0, -40, 20]))
    poses[6:, :4] = rotations.multiply(poses[6:, :4], np.tile(jump, (6, 1)))

    results = list(tracked(masks_of(chair, poses), chair))

    assert all(one.lost or degrees_off(one, truth) < 0.5 for one, truth in zip(results, poses, strict=True))
    assert all(degrees_off(one, truth) < 0.5 for one, truth in zip(results[-3:], poses[-3:], strict=True))


def test_object_that_is_hidden_for_a_while_is_lost_and_found_again(chair):
    poses = poses_of(12)
    masks = masks_of(chair, poses)
    for frame in range(5, 8):
        masks[frame] = np.zeros_like(masks[frame])

    results = list(tracked(masks, chair))

    assert [one.frame for one in results if one.lost] == [5, 6, 7]
    assert results[6].verdict is Verdict.BAD
    assert degrees_off(results[-1], poses[-1]) < 0.5


def test_bar_before_the_object_does_not_lead_astray(chair):
    poses = poses_of(12)
    masks = masks_of(chair, poses)
    for frame in range(4, 10):
        masks[frame][:, 20 * frame : 20 * frame + 15] = False

    results = list(tracked(masks, chair))

    assert max(degrees_off(one, truth) for one, truth in zip(results, poses, strict=True)) < 5


def test_round_object_keeps_still():
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    vertices = np.concatenate([np.column_stack([r * ring, np.full(48, z)]) for r, z in ((0.2, -0.5), (0.3, 0), (0.1, 0.5))])
    low = np.arange(96)
    after = low + np.where(low % 48 == 47, -47, 1)
    faces = np.concatenate([np.stack([low, after, low + 48], axis=1), np.stack([after, after + 48, low + 48], axis=1)])
    mesh = Mesh.checked(vertices, faces).unit().mesh
    poses = np.tile(FIRST, (10, 1))
    poses[:, 4] += np.linspace(0, 0.1, 10)

    results = list(tracked(masks_of(mesh, poses), mesh, start=matrix_from_pose(FIRST)))

    turned = [degrees_off(one, pose_from_matrix(results[0].camera_from_object)) for one in results]
    assert max(turned) < 1.0


def test_coverage_is_taken_as_masks_are(chair):
    poses = poses_of(4)

    results = list(tracked([mask.astype(np.float32) for mask in masks_of(chair, poses)], chair))

    assert degrees_off(results[-1], poses[-1]) < 0.5


def near_poses(num_frames) -> np.ndarray:
    """Near the camera, so that perspective tells, and turning much."""
    poses = poses_of(num_frames, 3 * MOTION)
    poses[:, 6] = FIRST[6] + 1.2
    return poses


def test_focal_length_of_a_shot_is_what_its_frames_agree_on(chair):
    poses = near_poses(3)
    wrong = CAMERA.with_focal(1.2 * CAMERA.fx)
    start = SE3().retract(poses[0][None], np.array([[0.1, -0.1, 0.05, 0.01, 0, 0.02]]))[0]
    unknown = {"camera": wrong, "start": matrix_from_pose(start), "focal_range": (0.7 * CAMERA.fx, 1.4 * CAMERA.fx)}

    results = list(tracked(masks_of(chair, poses), chair, **unknown))

    found = {one.setup.camera.fx for one in results}
    assert len(found) == 1
    assert found.pop() == pytest.approx(CAMERA.fx, rel=0.03)
    low, high = results[-1].fx_range or (0, 0)
    assert low < CAMERA.fx < high
    assert degrees_off(results[-1], poses[-1]) < 1.5


def test_focal_length_of_the_first_frame_is_kept_where_no_other_is_known_yet(chair):
    poses = near_poses(2)
    wrong = CAMERA.with_focal(1.2 * CAMERA.fx)
    unknown = {"camera": wrong, "start": matrix_from_pose(poses[0]), "focal_range": (0.7 * CAMERA.fx, 1.4 * CAMERA.fx)}

    results = list(tracked(iter(masks_of(chair, poses)), chair, **unknown))

    assert len({one.setup.camera.fx for one in results}) == 1
    assert results[-1].setup.camera.fx == pytest.approx(CAMERA.fx, rel=0.1)
    low, high = results[-1].fx_range or (0, 0)
    assert low < results[-1].setup.camera.fx < high
    assert "focal length may be off" in results[-1].explanation
    assert results[-1].interval.along >= (np.sqrt(high / low) - 1) * 0.9 * np.linalg.norm(poses[-1, 4:])


def test_start_is_not_needed(chair):
    poses = poses_of(3)

    results = list(tracked(masks_of(chair, poses), chair, start=None))

    assert degrees_off(results[-1], poses[-1]) < 0.5


def test_photographs_are_followed_by_colours(chair):
    rng = np.random.default_rng(3)
    poses = poses_of(6)
    rows, columns = np.mgrid[: CAMERA.height, : CAMERA.width]
    stripes, squares = ((rows + columns) // 8 % 2)[..., None], ((rows // 10 + columns // 13) % 2)[..., None]
    inside, outside = np.where(stripes, [180, 80, 60], [140, 90, 50]), np.where(squares, [80, 130, 80], [100, 140, 115])
    photos = [
        np.clip(np.where(mask[..., None], inside, outside) + rng.normal(scale=5, size=inside.shape), 0, 255).astype(np.uint8)
        for mask in masks_of(chair, poses)
    ]

    results = list(tracked(photos, chair))

    assert max(degrees_off(one, truth) for one, truth in zip(results[1:], poses[1:], strict=True)) < 2.0
    assert not any(one.lost for one in results)
    assert np.mean(results[-1].mask == masks_of(chair, poses[-1:])[0]) > 0.99


def test_photographs_whose_colours_tell_little_are_followed_and_not_solved_in_full(chair):
    rng = np.random.default_rng(5)
    poses = poses_of(6)
    masks = masks_of(chair, poses)
    shared = rng.random((CAMERA.height, CAMERA.width, 1)) < 0.2  # of the pixels, whose colours may be of either

    def photo(mask):
        either = np.where(rng.random(mask.shape)[..., None] < 0.5, [160, 90, 70], [90, 130, 110])
        own = np.where(mask[..., None], [160, 90, 70], [90, 130, 110])
        return np.clip(np.where(shared, either, own) + rng.normal(scale=5, size=own.shape), 0, 255).astype(np.uint8)

    results = list(tracked([photo(mask) for mask in masks], chair))

    assert sum(one.is_repaired for one in results) <= 1
    assert not any(one.lost for one in results)
    assert max(degrees_off(one, truth) for one, truth in zip(results[1:], poses[1:], strict=True)) < 2.0


def test_frames_of_two_kinds_are_told(chair):
    masks = masks_of(chair, poses_of(2))
    with pytest.raises(ObservationError, match="frame 1 must be a mask"):
        list(tracked([masks[0], np.zeros((180, 240, 3), np.uint8)], chair))


def test_photographs_do_not_tell_the_focal_length(chair):
    with pytest.raises(SetupError, match="from masks only"):
        next(tracked([np.zeros((180, 240, 3), np.uint8)], chair, focal_range=(100, 200)))


def test_photographs_need_a_start(chair):
    with pytest.raises(SetupError, match="needs a start"):
        next(tracked([np.zeros((180, 240, 3), np.uint8)], chair, start=None))


def test_frames_that_a_bar_hides_in_part_are_followed_and_not_solved_in_full(chair):
    poses = poses_of(8)
    masks = masks_of(chair, poses)
    for number, mask in enumerate(masks[1:], start=1):
        mask[:, 100 + 8 * number : 120 + 8 * number] = False  # of an object that is some 100 pixels wide

    results = list(tracked(masks, chair))

    assert not any(one.is_repaired for one in results)
    assert max(degrees_off(one, truth) for one, truth in zip(results, poses, strict=True)) < 1.0


def test_colours_go_on_from_the_memory_of_a_shot(chair):
    shot = PhotoShot(checked_setup(chair.vertices, chair.faces, CAMERA, None, "z", None), CAMERA, PoseOptions())
    rng = np.random.default_rng(0)
    is_seen = np.zeros((CAMERA.height, CAMERA.width), bool)
    is_seen[50:100, 50:100] = True
    frames = rng.integers(0, 256, (2 * EARLY_FRAMES, CAMERA.height, CAMERA.width, 3), np.uint8)
    whole = slice(0, CAMERA.height), slice(0, CAMERA.width)
    other = PhotoShot(shot.setup, CAMERA, PoseOptions())

    for number, frame in enumerate(frames):
        shot.learn(frame, whole, 1, is_seen)
        if number == EARLY_FRAMES:
            other.recall(shot.memory())
        elif number > EARLY_FRAMES:
            other.learn(frame, whole, 1, is_seen)

    assert np.array_equal(other.table, shot.table)


@pytest.mark.parametrize(
    ("frames", "words"),
    [
        ([], "no frames"),
        ([np.zeros((180, 240), bool)], "empty"),
        ([np.ones((90, 120), bool)], "size of the camera"),
        ([np.zeros((180, 240), np.uint8)], "divide them by 255"),
        ([np.full((180, 240), np.nan)], "not finite"),
        (["frame.png"], "array"),
    ],
)
def test_wrong_frames_are_told_in_a_sentence(chair, frames, words):
    with pytest.raises(ObservationError, match=words):
        list(tracked(frames, chair))


def test_later_frame_of_another_size_is_told_by_its_number(chair):
    masks = [*masks_of(chair, poses_of(2)), np.zeros((90, 120), bool)]

    with pytest.raises(ObservationError, match="frame 2 has 120 x 90"):
        list(tracked(masks, chair))


def test_wrong_model_is_told_at_once(chair):
    with pytest.raises(SetupError, match="up must be"):
        tracked([], chair, up="x")
