# SPDX-License-Identifier: Apache-2.0
"""The shot of the demo, where the hand comes before the toy."""

import json

import numpy as np

import solver_core as sc
from solver_core import rotations
from solver_core.command.files import read_mesh, read_photo
from solver_core.solution import Verdict

FIRST, LAST = 18, 24  # the hand hides 2 to 51 % of the toy
WRONG_DEG = 5.0


def off_deg(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.degrees(2 * np.arccos(min(1, abs(rotations.wxyz_from_matrix(a[:3, :3].T @ b[:3, :3])[0])))))


def test_frames_behind_the_hand_are_not_good_and_smoothed_over(demo_dir):
    folder, toy = demo_dir / "shot", read_mesh(demo_dir / "pose_model.ply")
    known = json.loads((folder / "truth.json").read_text())
    truth, seen = np.array(known["camera_from_object"])[FIRST - 1 : LAST], known["seen"][FIRST - 1 : LAST]
    photos = [read_photo(folder / f"frame_{number:02d}.jpg") for number in range(FIRST, LAST + 1)]
    camera = sc.read_camera(folder / "camera.json")
    start = np.array(known["camera_from_object"])[FIRST - 3]

    shot = list(sc.track_pose(photos, toy.vertices, toy.faces, camera, start=start))
    smooth = list(sc.smooth_poses(shot))

    off = [off_deg(frame.camera_from_object, true) for frame, true in zip(shot, truth, strict=True)]
    assert shot[0].verdict is Verdict.GOOD
    assert all(degrees < WRONG_DEG for frame, degrees in zip(shot, off, strict=True) if frame.verdict is Verdict.GOOD)
    assert not all(frame.verdict is Verdict.GOOD for frame, share in zip(shot, seen, strict=True) if share < 0.5)
    assert all(smooth[number].is_filled for number, frame in enumerate(shot) if frame.verdict is not Verdict.GOOD)
    assert max(off_deg(frame.camera_from_object, true) for frame, true in zip(smooth, truth, strict=True)) < WRONG_DEG
