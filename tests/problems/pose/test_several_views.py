# SPDX-License-Identifier: Apache-2.0
"""One object before several cameras: the sums that carry steps from camera to camera, and the pose that all views agree on."""

import json

import numpy as np
import pytest
from PIL import Image

from solver_core import render, rotations
from solver_core.camera_files import read_camera
from solver_core.command.cli import main
from solver_core.command.files import read_mesh, read_pose
from solver_core.command.pictures import CYAN
from solver_core.errors import ObservationError, SetupError, SolverError
from solver_core.frames import Camera, matrix_from_pose, pose_from_matrix
from solver_core.manifolds import SE3
from solver_core.mesh import Mesh
from solver_core.problem import take
from solver_core.problems.pose.refine import refine_levels
from solver_core.problems.pose.several_views import (
    EachView,
    ViewsLevel,
    ViewsProblem,
    carried,
    joint_covariance,
    where_rays_meet,
)
from solver_core.problems.pose.solve_views import solve_pose_views
from solver_core.solution import Verdict
from solver_core.views import view_rotation

CAMERA = Camera.from_fov(160, 160, np.radians(30))
START_STEP = np.array([0.2, 0.2, -0.1, 0.02, 0.01, 0.03])


@pytest.fixture(scope="module")
def poses():
    """(2, 7) the chair before two cameras, 80 degrees apart."""
    wxyz = view_rotation(np.array([0.6, 2.0]), np.array([0.4, 0.3]), np.array([0.1, 0.0]))
    return np.concatenate([wxyz, [[0.05, -0.03, -2.7], [0.0, 0.03, -2.5]]], axis=1)


@pytest.fixture(scope="module")
def masks(chair, poses):
    seen = render.render_depth([chair] * 2, matrix_from_pose(poses), CAMERA.intrinsics[None].repeat(2, 0), 160, 160)
    return list(np.isfinite(seen))


@pytest.fixture(scope="module")
def worlds_from_cameras(poses, rng_world):
    """In a world where nothing is straight."""
    first, second = matrix_from_pose(poses)
    return [rng_world, rng_world @ first @ np.linalg.inv(second)]


@pytest.fixture(scope="module")
def rng_world():
    """(4, 4) world from the first camera."""
    rng = np.random.default_rng(3)
    return matrix_from_pose(np.concatenate([rotations.random_wxyz(rng), [5.0, -2.0, 1.0]]))


def problem_of(chair, poses, masks) -> ViewsLevel:
    view_from_first = matrix_from_pose(poses) @ np.linalg.inv(matrix_from_pose(poses[0]))
    levels = [refine_levels(chair, mask.astype(np.float32), CAMERA)[0] for mask in masks]
    return ViewsLevel.of(levels, view_from_first)


def test_step_of_each_view_is_that_of_finite_differences(chair, poses, masks):
    problem = problem_of(chair, poses, masks).problem
    size = 1e-5

    for view in (0, 1):
        seen = problem.pose_in(view, poses[:1])
        moved = problem.pose_in(view, SE3().retract(np.repeat(poses[:1], 6, axis=0), size * np.eye(6)))
        columns = SE3().difference(np.repeat(seen, 6, axis=0), moved) / size
        np.testing.assert_allclose(problem.step_in(view, poses[:1])[0], columns.T, atol=1e-4)  # linear to the size of the step


def test_pose_goes_to_another_camera_and_back(poses):
    b_from_a = matrix_from_pose(poses[1])

    there = carried(b_from_a, poses[:1])

    np.testing.assert_allclose(matrix_from_pose(there[0]), b_from_a @ matrix_from_pose(poses[0]), atol=1e-12)
    np.testing.assert_allclose(carried(np.linalg.inv(b_from_a), there)[0, 4:], poses[0, 4:], atol=1e-12)


def test_rays_meet_at_the_object_and_leave_open_what_a_single_one_does(poses):
    view_from_first = matrix_from_pose(poses) @ np.linalg.inv(matrix_from_pose(poses[0]))

    met = where_rays_meet(view_from_first, 1.3 * poses[:, 4:], poses[:1, 4:] + 0.1)
    alone = where_rays_meet(view_from_first[:1], poses[:1, 4:], 1.2 * poses[:1, 4:])

    np.testing.assert_allclose(met[0], poses[0, 4:], atol=2e-3)  # a thousandth of the 0.17 that the position is off
    np.testing.assert_allclose(alone[0], 1.2 * poses[0, 4:], atol=1e-9)


def test_views_are_taken_and_put_as_one(chair, poses, masks):
    level = problem_of(chair, poses, masks).repeated(3)
    rows = np.arange(3)

    seen = level.problem.forward(np.repeat(poses[:1], 3, axis=0), rows)

    assert isinstance(take(seen, rows[:2]), EachView)
    assert [len(one) for one in take(seen, rows[:2])] == [2, 2]
    assert level.problem.energy(seen, level.observation, rows) == pytest.approx(np.zeros(3), abs=0.02)  # pixels at the edge


def test_second_view_at_an_angle_narrows_the_depth(chair, poses, masks):
    problem: ViewsProblem = problem_of(chair, poses, masks).problem
    uncertain_depth = np.diag([1e-4, 1e-4, 1e-4, 1e-6, 1e-6, 1e-2])

    one = joint_covariance(problem, poses[0], [uncertain_depth])
    two = joint_covariance(problem, poses[0], [uncertain_depth] * 2)

    np.testing.assert_allclose(one, uncertain_depth, atol=1e-12)
    assert two[5, 5] < 1e-2 * one[5, 5]


def angle_deg(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.degrees(rotations.angle_between(*(pose_from_matrix(one)[:4] for one in (a, b)))))


@pytest.fixture(scope="module")
def solution(chair, poses, masks, worlds_from_cameras, rng_world):
    start = rng_world @ matrix_from_pose(SE3().retract(poses[:1], START_STEP[None])[0])
    return solve_pose_views(masks, chair.vertices, chair.faces, [CAMERA] * 2, worlds_from_cameras, start)


def test_pose_in_the_world_is_that_of_all_views(solution, poses, rng_world):
    truth = rng_world @ matrix_from_pose(poses[0])

    assert angle_deg(solution.world_from_object, truth) < 0.1  # a tenth of a pixel at the object's end is 0.1 degrees
    np.testing.assert_allclose(solution.world_from_object[:3, 3], truth[:3, 3], atol=1e-3)
    np.testing.assert_allclose(solution.cameras_from_object[1], matrix_from_pose(poses[1]), atol=5e-3)
    assert solution.verdict is Verdict.GOOD
    assert min(solution.ious) > 0.98
    assert f"explains the masks: they overlap by {np.mean(solution.ious):.1%} on average" in solution.explanation


def test_steps_are_shown_before_the_first_camera(solution, poses):
    assert solution.history[0].phase == "start"
    assert solution.history[-1].phase == "result"
    assert angle_deg(solution.history[-1].camera_from_object, matrix_from_pose(poses[0])) < 0.1


def test_camera_that_stands_elsewhere_is_said(chair, poses, masks, worlds_from_cameras, rng_world):
    moved = worlds_from_cameras[1].copy()
    moved[:3, 3] += 0.3 * (moved[:3, 3] - worlds_from_cameras[0][:3, 3])
    start = rng_world @ matrix_from_pose(poses[0])

    result = solve_pose_views(masks, chair.vertices, chair.faces, [CAMERA] * 2, [worlds_from_cameras[0], moved], start, steps=0)

    assert result.verdict is not Verdict.GOOD
    assert "views do not agree" in result.explanation


def test_camera_a_little_off_leaves_no_good_pose_and_widens_the_interval(chair, poses, masks, worlds_from_cameras, rng_world):
    moved = worlds_from_cameras[1].copy()
    moved[:3, 3] += 0.1 * moved[:3, 0]
    start = rng_world @ matrix_from_pose(poses[0])

    result = solve_pose_views(masks, chair.vertices, chair.faces, [CAMERA] * 2, [worlds_from_cameras[0], moved], start, steps=0)

    off = np.linalg.norm(result.cameras_from_object[0][:3, 3] - poses[0, 4:])
    assert off > 0.04
    assert result.verdict is not Verdict.GOOD
    assert result.confidence < 0.6
    assert np.hypot(result.interval.across, result.interval.along) > 0.8 * off


def test_mask_of_another_object_is_named(chair, poses, masks, worlds_from_cameras, rng_world):
    other = masks[1] & (np.indices(masks[1].shape).sum(axis=0) % 160 < 30)
    cameras, places = [CAMERA] * 3, [*worlds_from_cameras, worlds_from_cameras[1]]
    start = rng_world @ matrix_from_pose(poses[0])

    result = solve_pose_views([*masks, other], chair.vertices, chair.faces, cameras, places, start, steps=0, restarts=0)

    assert result.verdict is not Verdict.GOOD
    assert "view 3" in result.explanation


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        pytest.param({"cameras": [CAMERA]}, "an entry for each view", id="one camera"),
        pytest.param({"masks": [], "cameras": [], "worlds_from_cameras": []}, "at least one", id="none"),
        pytest.param({"masks": 3}, "masks must be a list", id="no list"),
        pytest.param({"worlds_from_cameras": [np.eye(4), np.ones((4, 4))]}, "view 2: world_from_camera", id="not rigid"),
        pytest.param({"masks": [np.ones((2, 2), bool)] * 2}, "view 1: ", id="mask of another size"),
    ],
)
def test_what_is_wrong_with_a_view_is_named(chair, masks, worlds_from_cameras, change, sentence):
    good = {"masks": masks, "vertices": chair.vertices, "faces": chair.faces, "cameras": [CAMERA] * 2}

    with pytest.raises(SolverError, match=sentence):
        solve_pose_views(**{**good, "worlds_from_cameras": worlds_from_cameras, **change})


def test_start_behind_a_camera_names_the_view(chair, masks, worlds_from_cameras):
    behind = np.eye(4)
    behind[2, 3] = 1.0

    with pytest.raises(SetupError, match="view 1: the start puts"):
        solve_pose_views(masks, chair.vertices, chair.faces, [CAMERA] * 2, worlds_from_cameras, worlds_from_cameras[0] @ behind)


def test_an_empty_mask_is_refused_with_what_to_do_about_its_view(chair, masks, worlds_from_cameras):
    masks = [masks[0], np.zeros_like(masks[1])]

    with pytest.raises(ObservationError, match=r"view 2: the silhouette is empty: .*; or leave this view out"):
        solve_pose_views(masks, chair.vertices, chair.faces, [CAMERA] * 2, worlds_from_cameras)


@pytest.fixture
def files(tmp_path, chair, masks, poses, worlds_from_cameras, rng_world):
    vertices = [f"v {x} {y} {z}\n" for x, y, z in chair.vertices]
    (tmp_path / "chair.obj").write_text("".join(vertices + [f"f {a + 1} {b + 1} {c + 1}\n" for a, b, c in chair.faces]))
    CAMERA.to_json(tmp_path / "camera.json")
    opencv_from_opengl = np.diag([1.0, -1, -1, 1])
    for number, (mask, place) in enumerate(zip(masks, worlds_from_cameras, strict=True)):
        Image.fromarray(mask.astype(np.uint8) * 255).save(tmp_path / f"{number}.png")
        (tmp_path / f"{number}.json").write_text(json.dumps({"world_from_camera": (place @ opencv_from_opengl).tolist()}))
    start = rng_world @ matrix_from_pose(poses[0])
    (tmp_path / "start.json").write_text(json.dumps({"world_from_object": start.tolist()}))
    return tmp_path


def solve(folder, *more: str) -> int:
    views = [f"--view {folder / f'{n}.png'} {folder / 'camera.json'} {folder / f'{n}.json'}".split() for n in (0, 1)]
    return main(["solve", "pose", f"--mesh={folder / 'chair.obj'}", *views[0], *views[1], "--convention=opencv", *more])


def test_command_takes_views_in_a_convention(files, capsys, poses, rng_world):
    outputs = [f"--out={files / 'out.json'}", f"--picture={files / 'views.png'}"]

    code = solve(files, f"--start={files / 'start.json'}", "--steps=0", *outputs)

    content = json.loads(capsys.readouterr().out)
    assert code == 0
    np.testing.assert_allclose(content["world_from_object"], rng_world @ matrix_from_pose(poses[0]), atol=5e-3)
    assert len(content["ious"]) == 2
    assert json.loads((files / "out.json").read_text()) == content
    picture = np.asarray(Image.open(files / "views.png")).astype(int)
    half = picture.shape[1] // 2
    for panel in (picture[:, :half], picture[:, half:]):  # each has the outline of the object
        assert (np.abs(panel - CYAN).max(axis=2) < 40).sum() > 200


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        pytest.param(["--mask=0.png"], "--mask does not go with --view", id="mask"),
        pytest.param(["--out=0.json"], "would overwrite", id="output over an input"),
    ],
)
def test_command_refuses_what_does_not_go_with_views(files, capsys, monkeypatch, more, sentence):
    monkeypatch.chdir(files)

    assert solve(files, *more) == 2
    assert sentence in capsys.readouterr().err


def test_command_needs_a_mask_or_views(files, capsys):
    assert main(["solve", "pose", f"--mesh={files / 'chair.obj'}"]) == 2
    assert "or --view" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["left", "front", "right"])
def test_masks_of_the_demo_show_the_toy_where_it_stands(name, demo_dir):
    views = demo_dir / "views"
    mesh, camera = read_mesh(demo_dir / "pose_model.ply"), read_camera(views / "camera.json")
    world_from_camera = read_pose(views / f"{name}.json", "world_from_camera")
    pose = np.linalg.inv(world_from_camera) @ read_pose(views / "truth.json", "world_from_object")

    seen = render.render_depth([Mesh.checked(*mesh[:2])], pose[None], camera.intrinsics, camera.height, camera.width)[0]

    assert (np.isfinite(seen) != np.asarray(Image.open(views / f"{name}.png"))).sum() < 10
