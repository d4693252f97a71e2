# SPDX-License-Identifier: Apache-2.0
"""How fast did an epidemic spread, how long were people ill, how many brought it?  A program says what would be seen.

pip install ./docs/examples/epidemic
solver_core train epidemic --set iterations=[300,200] --set batch_size=32
solver_core solve epidemic --observation observed.json --weights runs/epidemic/epidemic.safetensors
"""

import sys
from pathlib import Path

import solver_core as sc

problem = sc.inverse_problem(
    forward=sc.Executable([sys.executable, "-S", Path(__file__).with_name("simulate.py")], timeout=10),
    space=sc.Box(low=[1.2, 3, 1], high=[4, 14, 50]),  # R0, days ill, first ill
    name="epidemic",
    noise=0.5,  # of square roots of counts, whatever the count
)
