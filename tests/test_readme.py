"""The code that README.md shows does what it says."""

import re
from pathlib import Path

import numpy as np
import pytest

import solver_core as sc
from solver_core.problems.inverse_kinematics.files.targets import read_targets
from solver_core.problems.inverse_kinematics.names.mapping import targets_of_skeleton

README = Path(__file__).resolve().parents[1] / "README.md"


def example_with(call: str) -> str:
    """The one Python example that calls this function."""
    examples = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    (example,) = (example for example in examples if call in example)
    return example


def test_python_example_finds_the_pose_of_the_demo(demo_dir, capsys):
    pytest.importorskip("trimesh")
    from solver_core.command.files import read_mesh, read_pose
    from solver_core.command.masks import read_mask

    mesh = read_mesh(demo_dir / "pose_model.ply")
    names = {
        "mask": read_mask(demo_dir / "pose_mask.png").coverage,
        "vertices": mesh.vertices,
        "faces": mesh.faces,
        "rough_camera_from_object": read_pose(demo_dir / "start.json"),
    }

    exec(example_with("solve_pose"), names)  # noqa: S102  (our own README)

    truth = read_pose(demo_dir / "truth.json")
    np.testing.assert_allclose(names["result"].camera_from_object, truth, atol=0.01)
    assert names["result"].verdict is sc.Verdict.GOOD


def test_python_example_finds_the_motion_of_the_demo(demo_dir, capsys, monkeypatch):
    skeleton = sc.Skeleton.from_bvh(demo_dir / "ik_rest.bvh")
    targets = targets_of_skeleton(read_targets(demo_dir / "ik_targets.csv"), skeleton, None)
    monkeypatch.chdir(README.parent)
    names = {"sc": sc, "targets": targets}

    exec(example_with("solve_inverse_kinematics"), names)  # noqa: S102  (our own README)

    assert names["result"].rotations.shape == (*targets.shape[:2], 4)
    assert np.nanmax(names["result"].position_error) < 1e-4
