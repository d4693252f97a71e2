# SPDX-License-Identifier: Apache-2.0
"""Writes docs/options.md, the options of every problem, from the classes that declare them.

python docs/make_options.py        (`make options`)
"""

from __future__ import annotations

from pathlib import Path

from solver_core.options import markdown_table
from solver_core.problems.inverse_kinematics.solve import KinematicOptions
from solver_core.problems.lighting.solve import LightingOptions
from solver_core.problems.pose.solve import PoseOptions
from solver_core.solving import ProblemOptions

FILE = Path(__file__).with_name("options.md")
PROBLEMS = {
    "pose": PoseOptions,
    "lighting": LightingOptions,
    "inverse_kinematics": KinematicOptions,
    "problems of other packages": ProblemOptions,
}
INTRODUCTION = """\
# Options

Each is a keyword argument in Python (`steps=7`), a flag of `solver_core solve` (`--steps 7`, `--no-refine`), a property in
Blender and a key of a task in a batch job. Made by `make options`.
"""


def options_page() -> str:
    """The page in Markdown."""
    return "\n".join([INTRODUCTION, *(f"## {problem}\n\n{markdown_table(cls)}" for problem, cls in PROBLEMS.items())])


if __name__ == "__main__":
    FILE.write_text(options_page(), encoding="utf-8")
