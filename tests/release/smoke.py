# SPDX-License-Identifier: Apache-2.0
"""Solves a motion of the demo with an installed solver_core, which must have its compiled kernel; needs nothing else."""

import sys
from pathlib import Path

import solver_core as sc
from solver_core import render

DEMO = Path(__file__).resolve().parents[2] / "assets" / "demo"

result = sc.solve_inverse_kinematics(sc.read_targets(DEMO / "ik_targets.csv"), sc.Skeleton.from_bvh(DEMO / "ik_rest.bvh"))
sys.stdout.write(f"{sc.__version__} in {sc.__file__} with {render.kernel_name()}: {result.explanation}\n")
sys.exit(result.verdict is not sc.Verdict.GOOD or render.kernel_name() == "numpy")
