# SPDX-License-Identifier: Apache-2.0
"""The code that README.md shows does what it says."""

import re
from pathlib import Path

import numpy as np
import pytest

import solver_core as sc

README = Path(__file__).resolve().parents[1] / "README.md"


def example_with(call: str) -> str:
    """The one Python example that calls this function."""
    examples = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    (example,) = (example for example in examples if call in example)
    return example


def test_python_example_finds_the_pose_of_the_demo(demo_dir, capsys):
    pytest.importorskip("trimesh")
    from solver_core.command.files import read_mesh, read_photo, read_pose
    from solver_core.command.masks import read_mask

    mesh = read_mesh(demo_dir / "pose_model.ply")
    names = {
        "photo": read_photo(demo_dir / "pose_photo.jpg"),
        "mask": read_mask(demo_dir / "pose_mask.png").coverage,
        "vertices": mesh.vertices,
        "faces": mesh.faces,
        "rough_camera_from_object": read_pose(demo_dir / "start.json"),
        "frames": [read_mask(demo_dir / "pose_mask.png").coverage] * 2,
    }

    exec(example_with("solve_pose"), names)  # noqa: S102  (our own README)

    truth = read_pose(demo_dir / "truth.json")
    for answer in (names["found"], names["result"]):
        np.testing.assert_allclose(answer.camera_from_object, truth, atol=0.01)
        assert answer.verdict is sc.Verdict.GOOD


def test_python_example_finds_the_motion_of_the_demo(demo_dir, capsys, monkeypatch):
    monkeypatch.chdir(README.parent)
    names = {"sc": sc}

    exec(example_with("solve_inverse_kinematics"), names)  # noqa: S102  (our own README)

    assert names["result"].rotations.shape == (72, 24, 4)
    assert names["result"].verdict is sc.Verdict.GOOD
    assert np.nanmax(names["result"].position_error) < 1e-4


def test_python_example_finds_what_a_function_was_given(capsys):
    names = {}

    exec(example_with("inverse_problem"), names)  # noqa: S102  (our own README)

    np.testing.assert_allclose(names["result"].x, [[0.1, 0.1]], rtol=1e-3)
    assert names["result"].verdict is sc.Verdict.GOOD
