# SPDX-License-Identifier: Apache-2.0
"""The shot of the demo, where the hand comes before the toy."""

import json

import numpy as np

import solver_core as sc
from solver_core import rotations
from solver_core.command.files import read_mesh, read_photo
from solver_core.solution import Verdict

FIRST, LAST = 18, 21  # the hand hides 2 to 46 % of the toy
MUCH = 0.6  # seen at least, where a pose is good


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

    assert shot[0].verdict is Verdict.GOOD
    assert all(frame.verdict is not Verdict.GOOD for frame, share in zip(shot, seen, strict=True) if share < MUCH)
    assert [frame.lost for frame in smooth] == [frame.lost for frame in shot]
    assert max(off_deg(frame.camera_from_object, true) for frame, true in zip(smooth, truth, strict=True)) < 5
