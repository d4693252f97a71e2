# SPDX-License-Identifier: Apache-2.0
"""Runs numeric tests on the code that NumPy and its linear algebra choose on other processors, and on one and two threads.

python tests/processors/run.py [--long]

The environment variables below choose that code by hand; a choice that this processor cannot run is named and left out.
Then agreement.py compares what the demo's solves find with each choice.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

try:
    from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__
except ImportError:  # NumPy 1
    from numpy.core._multiarray_umath import __cpu_dispatch__, __cpu_features__

# Names of what NumPy can do without; from 2.4 on it names levels of x86-64 instead of single instruction sets.
AVX512 = [name for name in __cpu_dispatch__ if name.startswith("AVX512") or name == "X86_V4"]
AVX2 = [name for name in __cpu_dispatch__ if name in ("AVX2", "FMA3", "X86_V3")]

CHOICES = {
    "OpenBLAS for Haswell": {"OPENBLAS_CORETYPE": "Haswell"},
    "OpenBLAS for SkylakeX": {"OPENBLAS_CORETYPE": "SkylakeX"},
    "OpenBLAS for Prescott": {"OPENBLAS_CORETYPE": "Prescott"},
    "NumPy without AVX-512": {"NPY_DISABLE_CPU_FEATURES": " ".join(AVX512)},
    "NumPy without AVX2": {"NPY_DISABLE_CPU_FEATURES": " ".join(AVX512 + AVX2)},
    "1 BLAS thread": {"OPENBLAS_NUM_THREADS": "1"},
    "2 BLAS threads": {"OPENBLAS_NUM_THREADS": "2"},
}

TESTS = Path(__file__).parents[1]
KINEMATICS = "problems/inverse_kinematics/test_"
# Where matrices are multiplied, decomposed and solved, and where roundings decide a step, in a few seconds.
SHORT = [
    *("network/test_numpy_forward.py", "network/test_update.py", "render/test_shading.py", "test_frames.py"),
    *(f"problems/pose/test_{name}.py" for name in ("align", "crop", "contour", "features", "likelihood")),
    *(f"problems/lighting/test_{name}.py" for name in ("lights", "problem")),
    *(f"{KINEMATICS}{name}.py" for name in ("closed_form", "evidence", "faults", "kinematics", "least_squares", "limits")),
    *(f"{KINEMATICS}{name}.py" for name in ("series", "skeleton", "transfer")),
]
# Everything that computes in floats.  Readers and command lines do not.
LONG = ["test_rotations.py", "test_manifolds.py", "test_loop.py", "test_frames.py", "network", "kernel", "render", "problems"]
NO_NUMBERS = [f"--ignore-glob=*/test_{name}.py" for name in ("command", "files", "names", "targets", "bvh*")]
MARKED = "not torch and not bpy and not egl and not data"


def missing(choice: str) -> str | None:
    """What this machine lacks to run one of CHOICES, if it lacks something."""
    has_avx512 = any(__cpu_features__.get(name) for name in ("AVX512F", "X86_V4"))
    has_avx2 = any(__cpu_features__.get(name) for name in ("AVX2", "X86_V3"))
    if choice.startswith(("OpenBLAS", "NumPy")) and platform.machine().lower() not in ("x86_64", "amd64"):
        return "an x86-64 processor"
    if not choice.startswith("NumPy") and "openblas" not in np.show_config(mode="dicts")["Build Dependencies"]["blas"]["name"]:
        return "a NumPy that is built with OpenBLAS"
    if choice.endswith(("SkylakeX", "AVX-512")) and not has_avx512:
        return "a processor with AVX-512"
    if choice.endswith(("Haswell", "AVX2")) and not has_avx2:
        return "a processor with AVX2"
    return None


def main() -> int:
    parser = argparse.ArgumentParser(description="Runs numeric tests on the code of other processors.")
    parser.add_argument("--long", action="store_true", help="all numeric tests, in ten minutes a choice instead of half of one")
    names, options = (LONG, NO_NUMBERS) if parser.parse_args().long else (SHORT, [])
    numeric = ["-m", MARKED, *options, *(str(TESTS / name) for name in names)]
    runs = [(choice, variables, numeric) for choice, variables in CHOICES.items() if not missing(choice)]
    for choice in CHOICES.keys() - {choice for choice, *_ in runs}:
        print(f"== {choice}: left out, needs {missing(choice)}", flush=True)
    runs.append(("agreement of the demo's solves", {}, [str(Path(__file__).with_name("agreement.py"))]))
    failed = []
    for name, variables, arguments in runs:
        start = time.monotonic()
        run = subprocess.run([sys.executable, "-m", "pytest", "-q", *arguments], env=os.environ | variables, check=False)
        print(f"== {name}: exit code {run.returncode}, {time.monotonic() - start:.0f} s", flush=True)
        if run.returncode:
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
