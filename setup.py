# SPDX-License-Identifier: Apache-2.0
"""Adds the compiled kernel to what pyproject.toml describes.

Without a compiler the install goes on without it.  SOLVER_CORE_TARGET=windows-x86_64 (or another name in
solver_core/kernel/build.py) cross-compiles the kernel of that machine into a wheel for it instead, which needs ziglang;
SOLVER_CORE_TARGET=any makes a wheel for all others, without a kernel.

SOLVER_CORE_SOURCE_URL is where files of this version can be looked at, such as https://HOST/OWNER/NAME/blob/v1.0.0: the links
of README.md lead there in what is built.  Without it they are left out, as outside of the repository they would lead nowhere.
"""

import importlib.util
import os
import re
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
source_url = os.environ.get("SOLVER_CORE_SOURCE_URL", "").rstrip("/")


def package_readme():
    """README.md without its pictures, and with links that lead somewhere wherever it is shown."""
    text = Path(__file__).resolve().with_name("README.md").read_text(encoding="utf-8")
    text = re.sub(r"!\[[^]]*\]\((?!https?:)[^)]*\)\n+", "", text)
    return re.sub(r"\[([^]]*)\]\((?!https?:|#)([^)]*)\)", rf"[\1]({source_url}/\2)" if source_url else r"\1", text)


class BuildWithKernel(build_py):
    """Copies the Python files, then compiles the kernel beside loader.py; in place for an editable install."""

    has_kernel = False

    def run(self):
        super().run()
        folder = KERNEL if self.editable_mode else Path(self.build_lib, KERNEL)
        if target_name == "any":
            self.remove_kernels(folder)
            return
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
            self.remove_kernels(folder, wanted)

    def remove_kernels(self, folder, wanted=None):
        """Removes all kernels from a folder but the wanted one."""
        for other in set(folder.glob("kernel-*")) - {wanted}:
            other.unlink()


class WheelWithKernel(bdist_wheel):
    """Tags the wheel for any Python 3 on the kernel's platform, or for any platform where there is no kernel."""

    def get_tag(self):
        if not self.get_finalized_command("build_py").has_kernel:
            return "py3", "none", "any"
        platform = build.TARGETS[target_name].wheel if target_name else sysconfig.get_platform()
        return "py3", "none", platform.replace("-", "_").replace(".", "_")


setup(
    cmdclass={"build_py": BuildWithKernel, "bdist_wheel": WheelWithKernel},
    long_description=package_readme(),
    long_description_content_type="text/markdown",
    project_urls={"Source": source_url} if source_url else {},
)
