# SPDX-License-Identifier: Apache-2.0
"""The three solves of the demo find the same on every processor, however many threads its linear algebra takes."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from solver_core import rotations

spec = importlib.util.spec_from_file_location("run", Path(__file__).with_name("run.py"))
processors = importlib.util.module_from_spec(spec)
spec.loader.exec_module(processors)

pytest.importorskip("trimesh")

# Roundings decide which of two nearly equal steps is taken, so answers are as far apart as the energy is flat around them.
# Largest difference measured, over two cores of OpenBLAS, with and without AVX2, one and two threads: pose 0.002 degrees and
# 6e-6 m, motion 0.0003 degrees, light 0.004 degrees.
POSE_DEG, POSE_METRES, MOTION_DEG, LIGHT_DEG = 0.02, 5e-5, 0.003, 0.05


@pytest.fixture(scope="module")
def solve_demo(tmp_path_factory):
    """Solves the demo in a new process with the given variables; returns the folder of the results."""

    def solve_demo(variables: dict[str, str]) -> Path:
        demo, output = Path(__file__).parents[2] / "assets" / "demo", tmp_path_factory.mktemp("demo")
        light = demo / "light"
        meshes = sorted(map(str, light.glob("*.ply")))
        commands = [
            [
                *("pose", f"--mesh={demo}/pose_model.ply", f"--mask={demo}/pose_mask.png", f"--camera={demo}/camera.json"),
                *(f"--start={demo}/start.json", f"--out={output}/pose.json"),
            ],
            [
                *("inverse_kinematics", f"--skeleton={demo}/ik_rest.bvh", f"--targets={demo}/ik_targets.csv"),
                f"--out={output}/motion.npz",
            ],
            [
                *("lighting", "--mesh", *meshes, f"--image={light}/photo.jpg", f"--camera={light}/camera.json"),
                *(f"--pose={light}/pose.json", f"--out={output}/light.json"),
            ],
        ]
        code = f"from solver_core.command.cli import main\nexit(sum(main(['solve', *c]) for c in {commands}))"
        run = subprocess.run(
            [sys.executable, "-c", code], env=os.environ | variables, capture_output=True, text=True, check=False
        )
        assert run.returncode == 0, run.stderr
        return output

    return solve_demo


@pytest.fixture(scope="module")
def usual(solve_demo) -> Path:
    return solve_demo({})


def pose(folder: Path) -> np.ndarray:
    return np.array(json.loads((folder / "pose.json").read_text())["camera_from_object"])


def light(folder: Path) -> np.ndarray:
    return np.array(json.loads((folder / "light.json").read_text())["direction"])


def motion(folder: Path) -> np.ndarray:
    with np.load(folder / "motion.npz") as arrays:
        return arrays["rotations"].reshape(-1, 4)


@pytest.mark.parametrize("choice", processors.CHOICES)
def test_solves_of_the_demo_agree(choice, solve_demo, usual):
    if processors.missing(choice):
        pytest.skip(f"needs {processors.missing(choice)}")

    found = solve_demo(processors.CHOICES[choice])

    turn = rotations.angle_between(*(rotations.wxyz_from_matrix(pose(folder)[:3, :3]) for folder in (found, usual)))
    assert np.degrees(turn) < POSE_DEG
    np.testing.assert_allclose(pose(found)[:3, 3], pose(usual)[:3, 3], atol=POSE_METRES)
    assert np.degrees(rotations.angle_between(motion(found), motion(usual))).max() < MOTION_DEG
    assert np.degrees(np.arctan2(np.linalg.norm(np.cross(light(found), light(usual))), light(found) @ light(usual))) < LIGHT_DEG
