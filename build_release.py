# SPDX-License-Identifier: Apache-2.0
"""Builds all that a release publishes, from any machine, into dist/release.

    python build_release.py

The source, a wheel for every platform with its compiled kernel, a wheel for all others, the Blender extension for every
platform, and SHA256SUMS of all of them.  Needs the extra `release`.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import build_extension
from solver_core.kernel.build import TARGETS

SUMS = "SHA256SUMS"


def build_source(output_dir: Path) -> None:
    """Source distribution, from which pip compiles the kernel itself."""
    code = "import sys, setuptools.build_meta as build; build.build_sdist(sys.argv[1])"
    environment = os.environ | {"SOURCE_DATE_EPOCH": "315532800"}
    with build_extension.copied_sources() as source:
        command = [sys.executable, "-c", code, str(output_dir.resolve())]
        subprocess.run(command, cwd=source, env=environment, check=True, stdout=subprocess.DEVNULL)


def build_packages(output_dir: Path, targets: list[str]) -> None:
    """Source and wheels; targets: names of TARGETS, or "any"."""
    output_dir.mkdir(parents=True, exist_ok=True)
    build_source(output_dir)
    for target in targets:
        build_extension.build_wheel(target, output_dir)


def write_sums(folder: Path) -> Path:
    """The file of checksums, as `sha256sum --check` reads it."""
    sums = folder / SUMS
    files = sorted(path for path in folder.iterdir() if path.is_file() and path != sums)
    sums.write_text("".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files))
    return sums


def check_packages(folder: Path) -> None:
    """Raises CalledProcessError if the package index would refuse one of them."""
    packages = [str(path) for pattern in ("*.tar.gz", "*.whl") for path in sorted(folder.glob(pattern))]
    subprocess.run([sys.executable, "-m", "twine", "check", "--strict", *packages], check=True)


def main() -> int:
    parser = argparse.ArgumentParser(description="Build all that a release publishes.")
    parser.add_argument(
        "--out", type=Path, default=build_extension.ROOT / "dist" / "release", help="an empty folder; default: dist/release"
    )
    out = parser.parse_args().out
    if out.is_dir() and any(out.iterdir()):
        sys.stderr.write(f"{out} is not empty: a release must hold nothing else; give another folder with --out\n")
        return 1
    build_packages(out, [*TARGETS, "any"])
    for platform in build_extension.PLATFORMS:
        build_extension.check_extension(build_extension.build_extension(platform, out))
    check_packages(out)
    sys.stdout.write(write_sums(out).read_text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
