# SPDX-License-Identifier: Apache-2.0
"""Compiles the C files of this folder, with the machine's compiler or, for other machines, with the `ziglang` package.

Run by setup.py before anything is installed, so it imports the standard library only and never solver_core.

    python -m solver_core.kernel.build                     for this machine, beside this file
    python -m solver_core.kernel.build --all --out DIR     for every target
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).resolve().parent
SUBJECTS = ("raster", "distance", "tree", "contour", "lines", "crop", "vertices", "silhouette", "png")
SOURCES = [FOLDER / f"{name}.c" for name in SUBJECTS]

# No contraction of a * b + c into one rounding: the masks must equal those of NumPy to the pixel.
FLAGS = ("-std=c99", "-O3", "-ffp-contract=off", "-fno-math-errno", "-fvisibility=hidden", "-shared")


class BuildError(Exception):
    """The kernel could not be compiled; the message says why in one line."""


class Target(NamedTuple):
    """A kind of machine: `system` and `machine` as in binary names, and what zig and wheels call it.

    The system "musl" is Linux with that C library, such as Alpine.
    """

    system: str
    machine: str
    zig: str
    wheel: str

    @property
    def name(self) -> str:
        return f"{self.system}-{self.machine}"


# Old systems on purpose: what is built for them runs on all newer ones.  glibc 2.17 is that of manylinux2014.
TARGETS = {
    target.name: target
    for target in (
        Target("linux", "x86_64", "x86_64-linux-gnu.2.17", "manylinux2014_x86_64"),
        Target("linux", "aarch64", "aarch64-linux-gnu.2.17", "manylinux2014_aarch64"),
        Target("musl", "x86_64", "x86_64-linux-musl", "musllinux_1_1_x86_64"),
        Target("musl", "aarch64", "aarch64-linux-musl", "musllinux_1_1_aarch64"),
        Target("windows", "x86_64", "x86_64-windows-gnu", "win_amd64"),
        Target("macos", "x86_64", "x86_64-macos.10.13", "macosx_10_13_x86_64"),
        Target("macos", "arm64", "aarch64-macos.11.0", "macosx_11_0_arm64"),
    )
}


def this_machine() -> str:
    """Target name of the machine this runs on, such as linux-x86_64; it need not be one of TARGETS."""
    system = {"Darwin": "macos"}.get(platform.system(), platform.system().lower())
    if "musl" in (sysconfig.get_config_var("HOST_GNU_TYPE") or ""):
        system = "musl"
    machine = {"amd64": "x86_64", "x64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
    if machine in ("arm64", "aarch64"):
        machine = "aarch64" if system in ("linux", "musl") else "arm64"
    return f"{system}-{machine}"


def binary_name(target_name: str) -> str:
    """File name of the kernel for a target."""
    suffix = {"windows": ".dll", "macos": ".dylib"}.get(target_name.split("-")[0], ".so")
    return f"kernel-{target_name}{suffix}"


def build_kernel(output_dir: str | Path, target_name: str | None = None) -> Path:
    """Compiled kernel in output_dir: for this machine, or for one of TARGETS by name (needs ziglang).

    Raises BuildError if the target is unknown, there is no compiler or none of those found succeeds.
    """
    if target_name is not None and target_name not in TARGETS:
        raise BuildError(f"unknown target {target_name!r}; known: {', '.join(TARGETS)}")
    output = Path(output_dir) / binary_name(target_name or this_machine())
    output.parent.mkdir(parents=True, exist_ok=True)
    commands = _compilers_for_this_machine() if target_name is None else _cross_compilers(TARGETS[target_name])
    if not commands:
        needed = "a C compiler (set CC, or `pip install ziglang`)" if target_name is None else "the ziglang package"
        raise BuildError(f"building the kernel needs {needed}, found none")
    failures = []
    for command in commands:
        failure = _compile(command, output)
        if failure is None:
            return output
        failures.append(f"{command[0]}: {failure}")
    raise BuildError("no compiler could build the kernel: " + "; ".join(failures))


def _compilers_for_this_machine() -> list[list[str]]:
    """Commands to try, best first.  CC, where set, is the only one."""
    if os.environ.get("CC"):
        return [shlex.split(os.environ["CC"])]
    found = [[path] for path in map(shutil.which, ("cc", "gcc", "clang")) if path]
    return found + _zig()


def _cross_compilers(target: Target) -> list[list[str]]:
    return [[*command, "-target", target.zig, "-s"] for command in _zig()]


def _zig() -> list[list[str]]:
    return [[sys.executable, "-m", "ziglang", "cc"]] if importlib.util.find_spec("ziglang") else []


def _compile(command: list[str], output: Path) -> str | None:
    """Last line of the error, or None.  The binary appears complete or not at all."""
    options = [] if output.suffix == ".dll" else ["-fPIC"]
    if output.suffix == ".so":
        options.append("-Wl,-z,defs")  # a function that no library brings is found here, as it is on other systems
    with tempfile.TemporaryDirectory(dir=output.parent) as folder:
        unfinished = Path(folder) / output.name
        line = [*command, *FLAGS, *options, *map(str, SOURCES), "-o", str(unfinished), "-lm"]
        try:
            run = subprocess.run(line, capture_output=True, text=True, errors="replace", check=False)
        except OSError as error:
            return error.strerror or str(error)
        if run.returncode != 0 or not unfinished.exists():
            return (run.stderr.strip() or f"exit code {run.returncode}").splitlines()[-1]
        unfinished.replace(output)
    return None


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m solver_core.kernel.build", description="Compile the kernel.")
    parser.add_argument("--all", action="store_true", help="cross-compile for every target (needs ziglang)")
    parser.add_argument("--target", choices=TARGETS, help="cross-compile for one target (needs ziglang)")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of the binaries; default: beside the C files")
    arguments = parser.parse_args()
    try:
        for target_name in TARGETS if arguments.all else [arguments.target]:
            sys.stdout.write(f"{build_kernel(arguments.out, target_name)}\n")
    except BuildError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
