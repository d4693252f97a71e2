"""Adds the compiled kernel to what pyproject.toml describes.

Without a compiler the install goes on without it.  SOLVER_CORE_TARGET=windows-x86_64 (or another name in
solver_core/kernel/build.py) cross-compiles the kernel of that machine into a wheel for it instead; needs ziglang.
"""

import importlib.util
import os
import sys
import sysconfig
from pathlib import Path

from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

KERNEL = Path("solver_core", "kernel")

# By path, because importing solver_core needs NumPy, which is not there while building.
spec = importlib.util.spec_from_file_location("build_kernel", Path(__file__).resolve().parent / KERNEL / "build.py")
build = importlib.util.module_from_spec(spec)
spec.loader.exec_module(build)

target_name = os.environ.get("SOLVER_CORE_TARGET") or None


class BuildWithKernel(build_py):
    """Copies the Python files, then compiles the kernel beside loader.py; in place for an editable install."""

    has_kernel = False

    def run(self):
        super().run()
        folder = KERNEL if self.editable_mode else Path(self.build_lib, KERNEL)
        wanted = folder / build.binary_name(target_name or build.this_machine())
        try:
            build.build_kernel(folder, target_name)
        except build.BuildError as error:
            if target_name:
                raise SystemExit(str(error)) from error
            if not wanted.exists():  # it was not copied from the source either, where `make kernels` puts it
                sys.stderr.write(f"solver_core: no compiled kernel, NumPy will be used instead: {error}\n")
        self.has_kernel = wanted.exists()
        if not self.editable_mode:
            for other in set(folder.glob("kernel-*")) - {wanted}:
                other.unlink()


class WheelWithKernel(bdist_wheel):
    """Tags the wheel for any Python 3 on the kernel's platform, or for any platform where there is no kernel."""

    def get_tag(self):
        if not self.get_finalized_command("build_py").has_kernel:
            return "py3", "none", "any"
        platform = build.TARGETS[target_name].wheel if target_name else sysconfig.get_platform()
        return "py3", "none", platform.replace("-", "_").replace(".", "_")


setup(cmdclass={"build_py": BuildWithKernel, "bdist_wheel": WheelWithKernel})
