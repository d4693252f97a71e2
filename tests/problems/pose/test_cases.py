# SPDX-License-Identifier: Apache-2.0
"""Masks as users have them: hidden in part, without a start, of objects that look the same all round."""

import json
from pathlib import Path

import numpy as np
import pytest

import solver_core as sc
from solver_core import render, rotations
from solver_core.frames import Camera, matrix_from_pose
from solver_core.views import view_rotation

from .test_symmetry import prism

pytest.importorskip("trimesh")
pytest.importorskip("PIL")

from solver_core.command.files import read_mesh
from solver_core.command.masks import read_mask

DATA = Path(__file__).parents[2] / "data"
CASES, MESHES = DATA / "pose", DATA / "meshes"


def matrix(path: Path) -> np.ndarray:
    return np.array(json.loads(path.read_text())["camera_from_object"])


def turn_deg(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.degrees(rotations.angle_between(*(rotations.wxyz_from_matrix(each[:3, :3]) for each in (a, b)))))


@pytest.mark.parametrize("hidden", ["hidden_7", "hidden_18"])
def test_pose_of_an_object_hidden_in_part_is_found(hidden):
    mesh, mask = read_mesh(MESHES / "tool.ply"), read_mask(CASES / f"{hidden}.png").coverage
    camera = sc.read_camera(CASES / "cam.json")

    result = sc.solve_pose(mask, mesh.vertices, mesh.faces, camera, start=matrix(CASES / "start.json"))

    assert turn_deg(result.camera_from_object, matrix(CASES / "truth.json")) < 1.0


@pytest.mark.parametrize("name", ["tool_y_up.obj", "tool.ply"])
def test_object_is_found_without_a_start_whichever_axis_is_up(name):
    mesh, mask = read_mesh(MESHES / name), read_mask(CASES / "whole_from_above.png").coverage

    result = sc.solve_pose(mask, mesh.vertices, mesh.faces, sc.read_camera(CASES / "cam.json"))

    assert result.iou > 0.98


@pytest.mark.parametrize("camera", ["cam_x0.7.json", "cam_x1.5.json", "cam_x3.json"])
def test_wrong_focal_length_is_noticed(camera):
    mesh, mask = read_mesh(MESHES / "tool.ply"), read_mask(CASES / "whole.png").coverage

    result = sc.solve_pose(mask, mesh.vertices, mesh.faces, sc.read_camera(CASES / camera), start=matrix(CASES / "start.json"))

    assert result.verdict is not sc.Verdict.GOOD
    assert any("focal length" in note for note in result.notes)


def test_can_keeps_the_turn_of_its_start_frame_by_frame(rng):
    can, camera = prism(64), Camera.from_fov(128, 128, np.radians(30))
    truth = np.concatenate([view_rotation(np.array([0.5]), np.array([0.6]), np.array([0.2]))[0], [0.02, 0.01, -3.0]])
    mask = np.isfinite(render.render_depth([can], matrix_from_pose(truth[None]), camera.intrinsics[None], 128, 128))
    distance = render.signed_distance(mask)[0]
    start, angles = matrix_from_pose(truth), []

    for _ in range(4):
        result = sc.solve_pose(distance < rng.normal(0, 0.5, distance.shape), can.vertices, can.faces, camera, start=start)
        turned = start[:3, :3].T @ result.camera_from_object[:3, :3]
        angles.append(np.degrees(np.arctan2(turned[1, 0] - turned[0, 1], turned[0, 0] + turned[1, 1])))
        start = result.camera_from_object

    assert np.abs(angles).max() < 0.2  # about its axis
    assert any("all round" in note for note in result.notes)


@pytest.mark.parametrize("camera", ["cam_x0.7.json", "cam_x3.json"])
def test_unknown_focal_length_is_found_with_the_pose(camera):
    mesh, mask = read_mesh(MESHES / "tool.ply"), read_mask(CASES / "whole.png").coverage
    camera, start, truth = sc.read_camera(CASES / camera), matrix(CASES / "start.json"), matrix(CASES / "truth.json")

    result = sc.solve_pose(mask, mesh.vertices, mesh.faces, camera, start=start, focal_range=(400, 2600))

    low, high = result.focal_range
    assert result.camera.fx == pytest.approx(800, rel=0.03)
    assert low < 800 < high
    assert result.camera_from_object[2, 3] == pytest.approx(truth[2, 3], rel=0.03)
    assert turn_deg(result.camera_from_object, truth) < 0.5
    assert any("Focal lengths from" in note for note in result.notes)
