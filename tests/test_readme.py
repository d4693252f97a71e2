"""The code that README.md shows does what it says."""

import re
from pathlib import Path

import numpy as np
import pytest

README = Path(__file__).resolve().parents[1] / "README.md"


def test_python_example_finds_the_pose_of_the_demo(demo_dir, capsys):
    pytest.importorskip("trimesh")
    from solver_core.files import read_mask, read_mesh, read_pose

    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    mesh = read_mesh(demo_dir / "pose_model.ply")
    names = {
        "mask": read_mask(demo_dir / "pose_mask.png"),
        "vertices": mesh.vertices,
        "faces": mesh.faces,
        "rough_camera_from_object": read_pose(demo_dir / "start.json"),
    }

    exec(example, names)  # noqa: S102  (our own README)

    truth = read_pose(demo_dir / "truth.json")
    np.testing.assert_allclose(names["result"].camera_from_object, truth, atol=0.01)
    assert "CONVERGED" in names["result"].reason.name
