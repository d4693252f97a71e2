# SPDX-License-Identifier: Apache-2.0
"""Time and memory of a pose solve at NumPy run time on one core, beside the limits they are kept to.

python -m training.benchmarks.pose
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

os.environ["OMP_NUM_THREADS"] = "1"  # before NumPy is loaded

import numpy as np

import solver_core as sc
from solver_core import render
from solver_core.frames import matrix_from_pose
from solver_core.manifolds import SE3
from solver_core.views import view_rotation
from training.benchmarks.render import wavy_sphere

CAMERA = sc.Camera.from_fov(128, 128, np.radians(30))
STEP = np.array([0.2, -0.25, 0.1, 0.02, 0.01, 0.03])  # from the truth to the start: 19 degrees, 5 pixels, 3 % of the depth
REPEATS = 15
PEAK_MEMORY = """
import re, sys
from pathlib import Path
import numpy as np
import solver_core as sc
given = np.load(sys.argv[1])
camera = sc.Camera.from_fov(128, 128, np.radians(30))
sc.solve_pose(given["mask"], given["vertices"], given["faces"], camera, given["start"], restarts=0)
print(int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text()).group(1)) / 1024)
"""


class Case(NamedTuple):
    """Arguments of solve_pose; start (4, 4)."""

    mask: np.ndarray
    vertices: np.ndarray
    faces: np.ndarray
    start: np.ndarray


def make_case(num_faces: int) -> Case:
    """A wavy sphere seen from a pose, and a start beside it."""
    mesh = wavy_sphere(num_faces)
    wxyz = view_rotation(np.array([0.5]), np.array([0.5]), np.array([0.0]))[0]
    truth = np.array([*wxyz, 0.05, -0.05, -2.732])
    start = SE3().retract(truth[None], STEP[None])[0]
    depth = render.render_depth([mesh], matrix_from_pose(truth[None]), CAMERA.intrinsics[None], 128, 128)
    return Case(np.isfinite(depth[0]), mesh.vertices, mesh.faces, matrix_from_pose(start))


def solve(num_faces: int, refine: bool = True) -> sc.PoseSolution:
    mask, vertices, faces, start = make_case(num_faces)
    return sc.solve_pose(mask, vertices, faces, CAMERA, start, refine=refine, restarts=0)


def feedback_step_ms(solution: sc.PoseSolution) -> float:
    """Median time between network steps: forward, features, network and damping."""
    seconds = [step.seconds for step in solution.history if step.phase in ("align", "network")]
    return 1e3 * float(np.median(np.diff(seconds)))


def import_seconds() -> float:
    """Median time that `import solver_core` adds to starting Python."""
    code = "import time; t = time.perf_counter(); import solver_core; print(time.perf_counter() - t)"
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(5)]
    return float(np.median([float(run.stdout) for run in runs]))


def peak_memory_mib() -> float:
    """Largest memory of a process that solves once, Python and NumPy included.  Linux only.

    getrusage would count what this process had when it started the other.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "case.npz")
        np.savez(path, **make_case(5_000)._asdict())
        command = [sys.executable, "-c", PEAK_MEMORY, str(path)]
        return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def main() -> None:
    render.set_num_threads(1)
    steps_only = [solve(5_000, refine=False) for _ in range(REPEATS)]
    refined = [solve(5_000) for _ in range(REPEATS)]
    numbers = [
        ("feedback step, 5 k faces", np.median([feedback_step_ms(one) for one in steps_only]), 8, "ms"),
        ("5 steps + refine, 5 k faces", 1e3 * np.median([one.seconds for one in refined]), 80, "ms"),
        ("5 steps + refine, 1 M faces", np.median([solve(1_000_000).seconds for _ in range(3)]), 2, "s"),
        ("import solver_core", import_seconds(), 0.3, "s"),
        ("peak memory of a process that solves", peak_memory_mib(), 200, "MiB"),
    ]
    for name, value, limit, unit in numbers:
        print(f"{name:40s} {value:8.2f} {unit:4s} limit {limit} {unit}")


if __name__ == "__main__":
    main()
