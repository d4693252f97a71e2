# SPDX-License-Identifier: Apache-2.0
"""Kernels that were cross-compiled give the hashes of this machine's kernel, run by qemu-user, Wine or musl's loader.

    tests/release/install_emulators.sh         these, on Debian
    pytest tests/release/kernels.py -rs        says what could not be run, and why

Nothing runs programs of macOS but a Mac: its kernels are tried by .github/workflows/release.yml only.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from solver_core.kernel import build

HERE = Path(__file__).resolve().parent
MUSL_ARM64 = HERE.parents[1] / "build" / "musl-aarch64"  # where install_emulators.sh puts that C library
SECONDS = 900  # zig compiles Windows' start code first, which takes minutes on a busy machine
PROGRAM_FLAGS = ("-std=c99", "-O1", "-ffp-contract=off")  # no rounding of its own either, and nothing of zig for debugging

# How a program of each target is run on Linux x86_64: the command in front of it, and a file that has to be there.
RUNNERS = {
    "linux-x86_64": ([], None),
    "linux-aarch64": (["qemu-aarch64", "-L", "/usr/aarch64-linux-gnu"], "/usr/aarch64-linux-gnu/lib/ld-linux-aarch64.so.1"),
    "musl-x86_64": ([], "/lib/ld-musl-x86_64.so.1"),
    "musl-aarch64": (["qemu-aarch64", "-L", str(MUSL_ARM64)], MUSL_ARM64 / "lib" / "ld-musl-aarch64.so.1"),
    "windows-x86_64": ([next(filter(shutil.which, ("wine64", "wine")), "/usr/lib/wine/wine64")], None),
}


@pytest.fixture(scope="module")
def expected(tmp_path_factory) -> str:
    """The hashes of a kernel and a program that this machine's compiler made."""
    if shutil.which("cc") is None:
        pytest.skip("there is no C compiler to compare with")
    folder = tmp_path_factory.mktemp("native")
    subprocess.run(["cc", *PROGRAM_FLAGS, HERE / "kernel_hashes.c", "-o", folder / "hashes", "-ldl"], check=True)
    return hashes([folder / "hashes", build.build_kernel(folder)])


@pytest.mark.parametrize("target", build.TARGETS)
def test_cross_compiled_kernel_gives_the_same_bits(target, expected, tmp_path):
    if target not in RUNNERS:
        pytest.skip(f"only a Mac runs programs for {target}")
    command, needed = RUNNERS[target]
    if command and not shutil.which(command[0]):
        pytest.skip(f"{Path(command[0]).name} is not installed")
    if needed and not Path(needed).exists():
        pytest.skip(f"{needed} is not installed")

    kernel = build.build_kernel(tmp_path, target)
    found = hashes([*command, compile_program(target, tmp_path), kernel])

    assert found == expected


def compile_program(target: str, folder: Path) -> Path:
    program = folder / ("hashes.exe" if target.startswith("windows") else "hashes")
    options = ["-ldl"] if target.startswith("linux") else ["-dynamic"] if target.startswith("musl") else []
    command = [sys.executable, "-m", "ziglang", "cc", "-target", build.TARGETS[target].zig, *PROGRAM_FLAGS]
    subprocess.run([*command, HERE / "kernel_hashes.c", "-o", program, *options], check=True, timeout=SECONDS)
    return program


def hashes(command: list) -> str:
    environment = os.environ | {"WINEDEBUG": "-all", "WINEPREFIX": str(command[-1].parent / "wine")}
    line = list(map(str, command))
    run = subprocess.run(line, env=environment, capture_output=True, text=True, check=False, timeout=SECONDS)
    assert run.returncode == 0, run.stderr
    assert len(run.stdout.splitlines()) == 20, run.stdout  # a line for each result
    return run.stdout.replace("\r", "")
