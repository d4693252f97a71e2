# SPDX-License-Identifier: Apache-2.0
"""Several objects in one label image: a pose each, none misled by what the others hide; one sentence for wrong labels."""

import json

import numpy as np
import pytest
from PIL import Image

from solver_core import render
from solver_core.command.cli import main
from solver_core.errors import ObservationError, SetupError
from solver_core.frames import Camera, matrix_from_pose
from solver_core.manifolds import SE3
from solver_core.problems.pose.labels import solve_pose_labels
from solver_core.views import view_rotation

CAMERA = Camera.from_fov(200, 160, np.radians(35))
START_STEP = np.array([0.15, 0.1, -0.1, 0.02, 0.01, 0.03])
FEW = {"steps": 2, "restarts": 0}


@pytest.fixture(scope="module")
def two_chairs(chair):
    """labels (H, W), where the nearer chair, 2, hides a quarter of the other, 1; and their poses (2, 7)."""
    wxyz = view_rotation(np.array([0.6, 2.0]), np.array([0.4, 0.5]), np.zeros(2))
    truth = np.concatenate([wxyz, [[-0.15, 0.0, -3.2], [0.12, -0.05, -2.5]]], axis=1)
    depth = render.render_depth([chair] * 2, matrix_from_pose(truth), CAMERA.intrinsics[None].repeat(2, 0), 160, 200)
    labels = np.where(np.isfinite(depth.min(axis=0)), 1 + depth.argmin(axis=0), 0)
    assert 0.1 < 1 - np.mean(labels[np.isfinite(depth[0])] == 1) < 0.5
    return labels, truth


def test_each_label_gets_its_pose_though_one_object_hides_the_other(chair, two_chairs):
    labels, truth = two_chairs
    starts = {label: matrix_from_pose(SE3().retract(truth[[label - 1]], START_STEP[None])[0]) for label in (1, 2)}
    mesh = (chair.vertices, chair.faces)

    results = solve_pose_labels(labels, {1: mesh, 2: mesh}, CAMERA, starts)

    assert list(results) == [1, 2]
    for label, result in results.items():
        placed = matrix_from_pose(truth[label - 1])
        turn = result.camera_from_object[:3, :3] @ placed[:3, :3].T
        assert np.degrees(np.arccos((np.trace(turn) - 1) / 2)) < 1.0
        assert result.verdict.value == "good"


def test_label_without_a_mesh_only_hides(chair, two_chairs):
    labels, truth = two_chairs
    start = matrix_from_pose(SE3().retract(truth[:1], START_STEP[None])[0])

    results = solve_pose_labels(labels, {1: (chair.vertices, chair.faces)}, CAMERA, {1: start}, **FEW)

    assert list(results) == [1]
    assert results[1].evidence.hidden < 0.02


@pytest.mark.parametrize(
    ("change", "error", "sentence"),
    [
        pytest.param({"meshes": {3: None}}, ObservationError, "its labels are 1, 2", id="not there"),
        pytest.param({"meshes": {}}, SetupError, "at least one label", id="no mesh"),
        pytest.param({"meshes": {1: None}}, SetupError, "label 1: its mesh must be a pair", id="no pair"),
        pytest.param({"meshes": []}, SetupError, "meshes must be a dict", id="no dict"),
        pytest.param({"starts": {7: np.eye(4)}}, ObservationError, "starts names 7", id="start of none"),
        pytest.param({"labels": np.zeros((160, 200))}, ObservationError, "whole numbers", id="float"),
        pytest.param({"labels": np.zeros((160, 200), int)}, ObservationError, "all is 0", id="empty"),
        pytest.param({"ignore": np.zeros((2, 2), bool)}, ObservationError, "labels' shape", id="ignore of another size"),
    ],
)
def test_what_is_no_label_is_named_in_a_sentence(chair, two_chairs, change, error, sentence):
    good = {"labels": two_chairs[0], "meshes": {1: (chair.vertices, chair.faces)}, "camera": CAMERA}

    with pytest.raises(error, match=sentence):
        solve_pose_labels(**{**good, **change})


@pytest.fixture
def files(tmp_path, chair, two_chairs):
    """Two chairs in files."""
    Image.fromarray(two_chairs[0].astype(np.uint8)).save(tmp_path / "labels.png")
    CAMERA.to_json(tmp_path / "camera.json")
    vertices = [f"v {x} {y} {z}\n" for x, y, z in chair.vertices]
    (tmp_path / "chair.obj").write_text("".join(vertices + [f"f {a + 1} {b + 1} {c + 1}\n" for a, b, c in chair.faces]))
    return tmp_path


def solve(folder, *more: str) -> int:
    inputs = [f"--mesh={folder / 'chair.obj'}", f"--mask={folder / 'labels.png'}", f"--camera={folder / 'camera.json'}"]
    return main(["solve", "pose", *inputs, *more])


def test_command_writes_an_object_for_each_label(files, capsys):
    solve(files, "--label=all", f"--mesh-of=2={files / 'chair.obj'}", "--steps=1", "--no-refine", f"--out={files / 'out.json'}")

    objects = json.loads(capsys.readouterr().out)["objects"]
    assert [one["label"] for one in objects] == [1, 2]
    assert np.array(objects[0]["camera_from_object"]).shape == (4, 4)
    assert json.loads((files / "out.json").read_text())["objects"] == objects


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        pytest.param(["--label=all", "--mesh-of=9=chair.obj"], "chair.obj", id="mesh that is not there"),
        pytest.param(["--label=all", "--picture=a.png"], "--picture belongs to one object", id="picture"),
        pytest.param(["--label=1", "--mesh-of=2=a.obj"], "--mesh-of belongs to --label all", id="mesh-of alone"),
    ],
)
def test_command_names_what_does_not_belong_to_all_labels(files, capsys, more, sentence):
    assert solve(files, *more) == 2

    captured = capsys.readouterr()
    assert sentence in captured.err
    assert captured.err.count("\n") == 1
