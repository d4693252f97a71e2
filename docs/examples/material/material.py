# SPDX-License-Identifier: Apache-2.0
"""How rough is a paint, and how strong the light on it?  Blender renders what a picture would show.

pip install ./docs/examples/material                  # BLENDER=/path/to/blender, if it is not on the path
solver_core solve material --observation picture.npz
"""

import os
from pathlib import Path

import solver_core as sc

RENDER = Path(__file__).with_name("render.py")
START = [os.environ.get("BLENDER", "blender"), "-b", "--factory-startup", "--python-exit-code", "1", "--python"]

problem = sc.inverse_problem(
    forward=sc.Executable([*START, RENDER, "--", "{input}", "{output}"], format="npz", timeout=120),
    space=sc.Box(low=[0.05, 0.5], high=[1.0, 5.0]),  # roughness; W/m2
    name="material",
    noise=0.02,  # linear
)
