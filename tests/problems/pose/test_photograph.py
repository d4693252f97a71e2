# SPDX-License-Identifier: Apache-2.0
"""Poses from photographs that are made here: a chair in two colours before a pattern of others."""

import json

import numpy as np
import pytest
from PIL import Image

from solver_core import ObservationError, SetupError, render, rotations, solve_pose_from_image
from solver_core.command.cli import main
from solver_core.frames import Camera, matrix_from_pose, pose_from_matrix
from solver_core.images import block_mean
from solver_core.manifolds import SE3
from solver_core.mesh import Mesh
from solver_core.problems.pose.confidence import confidence
from solver_core.problems.pose.photograph import PhotoSession
from solver_core.problems.pose.solve import PoseOptions
from solver_core.problems.pose.verdict import judge_photo
from solver_core.solution import Cancelled, Verdict
from solver_core.views import CAMERA_DISTANCE, view_rotation

CAMERA = Camera(160, 120, 230.0, 230.0, 80.0, 60.0)
FINE = 3
TRUTH = np.concatenate([view_rotation(np.array([0.6]), np.array([0.4]), np.array([0.1]))[0], [0.05, 0.02, -CAMERA_DISTANCE]])
START = matrix_from_pose(SE3().retract(TRUTH[None], np.array([[0.1, -0.12, 0.05, 0.01, -0.01, 0.03]]))[0])


def photograph_of(mesh: Mesh, pose: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8: a mesh in reddish stripes before greenish squares, with noise."""
    rng = np.random.default_rng(5)
    camera = CAMERA.scaled(FINE, FINE * CAMERA.width, FINE * CAMERA.height)
    depth = render.render_depth([mesh], matrix_from_pose(pose[None]), camera.intrinsics[None], camera.height, camera.width)
    rows, columns = np.mgrid[: camera.height, : camera.width]
    stripes, squares = ((rows + columns) // 25 % 2)[..., None], ((rows // 31 + columns // 40) % 2)[..., None]
    inside = np.where(stripes, [0.7, 0.3, 0.25], [0.55, 0.35, 0.2])
    outside = np.where(squares, [0.3, 0.5, 0.3], [0.4, 0.55, 0.45])
    image = block_mean(np.where(np.isfinite(depth[0])[..., None], inside, outside)[None], FINE)[0]
    return np.round(255 * np.clip(image + rng.normal(scale=0.02, size=image.shape), 0, 1)).astype(np.uint8)


@pytest.fixture(scope="module")
def photo(chair) -> np.ndarray:
    """(H, W, 3) uint8 of a chair."""
    return photograph_of(chair, TRUTH)


def solved_from(photo, chair, **changes):
    given = {"image": photo, "vertices": chair.vertices, "faces": chair.faces, "camera": CAMERA, "start": START}
    return solve_pose_from_image(**{**given, **changes})


def test_pose_and_mask_are_found_without_a_mask(photo, chair):
    truth = np.isfinite(
        render.render_depth([chair], matrix_from_pose(TRUTH[None]), CAMERA.intrinsics[None], CAMERA.height, CAMERA.width)[0]
    )

    result = solved_from(photo, chair)

    pose = pose_from_matrix(result.camera_from_object)
    mask = result.mask >= 0.5
    assert np.degrees(rotations.angle_between(pose[None, :4], TRUTH[None, :4])[0]) < 2.0
    assert np.linalg.norm(pose[4:] - TRUTH[4:]) < 0.03
    assert (mask & truth).sum() / (mask | truth).sum() > 0.96
    assert result.verdict is not Verdict.BAD
    assert result.alike < 0.1


def test_a_mesh_that_is_too_long_is_doubted_and_its_axis_named(photo, chair, finished):
    result = solved_from(photo, chair, vertices=chair.vertices * [1, 1, 1.05])

    assert result.verdict is Verdict.DOUBTFUL
    assert "a mesh of other proportions along its z axis explains the photograph better" in result.explanation
    assert "proportions" not in finished.result().explanation


def test_object_of_the_colours_around_it_is_not_called_good(chair):
    noise = np.random.default_rng(1).normal(0.5, 0.1, (CAMERA.height, CAMERA.width, 3))

    try:
        verdict = solved_from(np.clip(noise, 0, 1), chair).verdict
    except ObservationError:
        verdict = Verdict.BAD

    assert verdict is not Verdict.GOOD


@pytest.mark.parametrize("moved_by", [0.0, 0.55])
def test_turn_that_only_what_is_cut_off_would_tell_is_not_known(cup, moved_by):
    upright = rotations.wxyz_from_rotvec(np.array([-1.1, 0.0, 0.0]))
    truth = np.concatenate([upright, [0.15 + moved_by, 0.0, -CAMERA_DISTANCE]])
    start = matrix_from_pose(SE3().retract(truth[None], np.array([[0.05, 0.3, 0.05, 0, 0, 0.02]]))[0])

    found = solved_from(photograph_of(cup, truth), cup, start=start)

    off_deg = np.degrees(rotations.angle_between(pose_from_matrix(found.camera_from_object)[None, :4], truth[None, :4])[0])
    assert off_deg < found.interval.rotation_deg
    assert any("cuts the object off" in note for note in found.notes) == (moved_by > 0)
    assert moved_by == 0 or found.confidence <= 0.5


def test_solve_that_is_cancelled_gives_the_best_pose_so_far(photo, chair):
    def stop(step) -> None:
        if step.phase == "restart":
            raise Cancelled

    result = solved_from(photo, chair, on_step=stop)

    assert result.camera_from_object.shape == (4, 4)
    assert len(result.history) < 20


@pytest.fixture(scope="module")
def finished(photo, chair) -> PhotoSession:
    marks = ((20.0, 5.0, 140.0, 115.0), None, None, None)
    session = PhotoSession.checked(photo, chair.vertices, chair.faces, CAMERA, START, marks, PoseOptions(restarts=0))
    for _ in session:
        pass
    return session


def test_steps_of_a_session_tell_the_time_of_the_whole_solve(finished):
    seconds = [step.seconds for step in finished.history]

    assert seconds == sorted(seconds)
    assert finished.history[-1].phase == "result"


def test_energy_never_rises_within_a_phase(finished):
    for phase in ("restart", "fine"):
        energies = [step.energy for step in finished.history if step.phase == phase]

        assert len(energies) > 2
        assert energies == sorted(energies, reverse=True)


def test_colours_that_do_not_tell_are_named(finished):
    evidence = finished.result().evidence

    doubtful, poor, good = (judge_photo(evidence, 0.5, confidence) for confidence in (0.7, 0.1, 0.97))

    assert "along 50% of the outline both sides have the same colours" in doubtful.explanation
    assert [one.verdict for one in (doubtful, poor, good)] == [Verdict.DOUBTFUL, Verdict.BAD, Verdict.GOOD]


def test_what_the_image_says_against_a_pose_makes_it_less_sure(finished):
    solution = finished.result()
    seen = solution.image_evidence
    worse = seen._replace(contrast=0.1, edges=0.0, weak=0.7, gap=0.0, alike=0.8)

    assert confidence(solution.evidence, worse).probability < confidence(solution.evidence, seen).probability


def test_object_that_is_turned_by_35_degrees_is_found(photo, chair):
    far = matrix_from_pose(SE3().retract(TRUTH[None], np.array([[0.35, -0.45, 0.2, 0.03, -0.03, 0.05]]))[0])

    result = solved_from(photo, chair, start=far)

    pose = pose_from_matrix(result.camera_from_object)
    assert np.degrees(rotations.angle_between(pose[None, :4], TRUTH[None, :4])[0]) < 2.0
    assert result.verdict is Verdict.GOOD


@pytest.mark.parametrize(
    ("changes", "error", "sentence"),
    [
        ({"start": None}, SetupError, "start is missing"),
        ({"camera": Camera(64, 48, 60, 60, 32, 24)}, SetupError, "got 160 x 120 pixels for a camera of 64 x 48"),
        ({"box": (400, 10, 500, 50)}, ObservationError, "lies outside of the image"),
        ({"image": np.zeros((120, 160, 2))}, ObservationError, "image must be"),
    ],
)
def test_wrong_input_is_refused_in_a_sentence(photo, chair, changes, error, sentence):
    with pytest.raises(error, match=sentence):
        solved_from(photo, chair, **changes)


@pytest.fixture
def files(tmp_path, photo, chair):
    """Arguments of a command line, all but the start."""
    Image.fromarray(photo).save(tmp_path / "photo.png")
    lines = [f"v {x} {y} {z}" for x, y, z in chair.vertices] + [f"f {a} {b} {c}" for a, b, c in chair.faces + 1]
    (tmp_path / "chair.obj").write_text("\n".join(lines))
    (tmp_path / "start.json").write_text(json.dumps({"camera_from_object": START.tolist()}))
    CAMERA.to_json(tmp_path / "camera.json")
    return [
        f"--{name}={tmp_path / file}"
        for name, file in {"photo": "photo.png", "mesh": "chair.obj", "camera": "camera.json"}.items()
    ]


def test_command_solves_a_photograph_and_writes_its_mask(files, tmp_path, capsys):
    outputs = [f"--mask-out={tmp_path / 'mask.png'}", f"--picture={tmp_path / 'picture.png'}"]

    main(["solve", "pose", *files, f"--start={tmp_path / 'start.json'}", *outputs])

    content = json.loads(capsys.readouterr().out)
    pose = pose_from_matrix(np.array(content["camera_from_object"]))
    assert np.degrees(rotations.angle_between(pose[None, :4], TRUTH[None, :4])[0]) < 2.0
    with Image.open(tmp_path / "mask.png") as image:
        assert 500 < np.sum(np.asarray(image.convert("L")) > 127) < 5000
    assert (tmp_path / "picture.png").exists()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ([], "or --photo, --camera and --start"),
        (["--start=start.json", "--focal", "100", "300"], "--focal belongs to a --mask"),
        (["--start=start.json", "--jobs", "2"], "--jobs belongs to a --mask"),
        (["--mask=photo.png", "--box", "1,2,3,4"], "--box belongs to a --photo without --mask"),
    ],
)
def test_command_says_what_is_missing(files, tmp_path, monkeypatch, capsys, options, sentence):
    monkeypatch.chdir(tmp_path)

    code = main(["solve", "pose", *files, *options])

    captured = capsys.readouterr()
    assert (code, captured.out) == (2, "")
    assert sentence in captured.err
