# SPDX-License-Identifier: Apache-2.0
"""The kernel is built where it can be, and nothing breaks where it cannot."""

import importlib.util
import logging
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from solver_core import render
from solver_core.kernel import build, loader

REPOSITORY = Path(__file__).resolve().parents[2]
# One target stands for all: without zig's cache each takes seconds, windows a minute.  `make kernels` builds all.
OTHER_TARGET = "linux-aarch64" if build.this_machine() == "linux-x86_64" else "linux-x86_64"
needs_ziglang = pytest.mark.skipif(not importlib.util.find_spec("ziglang"), reason="cross-compiling needs ziglang")


@pytest.fixture
def fresh_kernel():
    """Lets the test look for the kernel anew, and the tests after it too."""
    loader.library.cache_clear()
    yield
    loader.library.cache_clear()


def test_built_kernel_loads_and_has_the_expected_version(built_kernel):
    assert loader.load(built_kernel).solver_core_kernel_version() == loader.KERNEL_VERSION


@pytest.mark.skipif(not shutil.which("cc"), reason="needs a C compiler")
@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse to link a library with undefined functions")
def test_kernel_loads_where_nothing_else_has_loaded_the_mathematical_functions(built_kernel, tmp_path):
    program = tmp_path / "load.c"
    program.write_text("#include <dlfcn.h>\nint main(int n, char **name) { return dlopen(name[1], RTLD_NOW) == 0; }\n")
    subprocess.run(["cc", program, "-o", tmp_path / "load", "-ldl"], check=True)

    assert subprocess.run([tmp_path / "load", built_kernel], check=False).returncode == 0


def test_kernel_of_another_version_is_refused(built_kernel, monkeypatch):
    monkeypatch.setattr(loader, "KERNEL_VERSION", -1)

    with pytest.raises(OSError, match="this solver_core needs -1"):
        loader.load(built_kernel)


def test_file_that_is_no_library_is_refused(tmp_path):
    path = tmp_path / "kernel.so"
    path.write_text("not a library")

    with pytest.raises(OSError, match=r".+"):
        loader.load(path)


@pytest.mark.usefixtures("fresh_kernel")
def test_missing_kernel_is_logged_once_and_numpy_is_used(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(loader, "kernel_path", lambda: tmp_path / "kernel-none.so")
    monkeypatch.delenv("SOLVER_CORE_KERNEL", raising=False)

    with caplog.at_level(logging.INFO):
        names = [render.kernel_name(), render.kernel_name()]

    assert names == ["numpy", "numpy"]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "kernel-none.so is not installed" in caplog.text


@pytest.mark.usefixtures("fresh_kernel")
def test_environment_variable_turns_the_kernel_off(monkeypatch):
    monkeypatch.setenv("SOLVER_CORE_KERNEL", "off")

    assert render.kernel_name() == "numpy"


@pytest.mark.parametrize("command", ["a_compiler_that_does_not_exist", f"{sys.executable} -c 1"])
def test_build_raises_build_error_when_the_compiler_fails(command, tmp_path, monkeypatch):
    monkeypatch.setenv("CC", command)

    with pytest.raises(build.BuildError, match="no compiler could build the kernel"):
        build.build_kernel(tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_build_raises_build_error_for_an_unknown_target(tmp_path):
    with pytest.raises(build.BuildError, match="known: linux-x86_64"):
        build.build_kernel(tmp_path, "amiga-m68k")


@needs_ziglang
def test_kernel_is_cross_compiled_for_another_machine(tmp_path):
    path = build.build_kernel(tmp_path, OTHER_TARGET)

    assert path.name == f"kernel-{OTHER_TARGET}.so"
    assert path.read_bytes()[:4] == b"\x7fELF"


@pytest.fixture
def build_wheel(tmp_path):
    """Wheel of a copy of the project, built with the given environment; returns its path."""
    if not importlib.util.find_spec("setuptools.command.bdist_wheel"):
        pytest.skip("building a wheel needs setuptools 70.1 or later")
    source = tmp_path / "source"
    ignore = shutil.ignore_patterns("__pycache__", "kernel-*", "*.safetensors")
    shutil.copytree(REPOSITORY / "solver_core", source / "solver_core", ignore=ignore)
    shutil.copytree(REPOSITORY / "LICENSES", source / "LICENSES")
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(REPOSITORY / name, source)

    def build_wheel(**environment: str) -> Path:
        code = "import sys, setuptools.build_meta as b; b.build_wheel(sys.argv[1])"
        line = [sys.executable, "-c", code, str(tmp_path)]
        subprocess.run(line, cwd=source, env={**os.environ, **environment}, check=True, capture_output=True)
        (wheel,) = tmp_path.glob("*.whl")
        return wheel

    return build_wheel


def kernels_in(wheel: Path) -> list[str]:
    return [Path(name).name for name in zipfile.ZipFile(wheel).namelist() if re.search(r"kernel/kernel-", name)]


def links_of(wheel: Path) -> list[str]:
    """Targets of the links and pictures in the description that the package index shows."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return re.findall(r"\]\(([^)]*)\)", archive.read(name).decode())


def test_wheel_without_a_compiler_is_for_any_platform_and_imports(build_wheel, tmp_path):
    wheel = build_wheel(CC="a_compiler_that_does_not_exist")

    code = "from solver_core import render; print(render.kernel_name())"
    shutil.unpack_archive(wheel, tmp_path / "installed", "zip")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "installed"), "SOLVER_CORE_KERNEL": ""}
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
    )

    assert wheel.name.endswith("-py3-none-any.whl")
    assert kernels_in(wheel) == []
    assert [link for link in links_of(wheel) if not link.startswith("https:")] == []
    assert run.stdout.strip() == "numpy"


@pytest.mark.usefixtures("built_kernel")
def test_wheel_with_the_kernel_is_for_this_platform_and_any_python(build_wheel):
    wheel = build_wheel()

    assert re.search(r"-py3-none-(?!any)\w+\.whl$", wheel.name)
    assert kernels_in(wheel) == [build.binary_name(build.this_machine())]


@needs_ziglang
def test_wheel_for_another_platform_holds_its_kernel_only(build_wheel):
    wheel = build_wheel(SOLVER_CORE_TARGET=OTHER_TARGET, SOLVER_CORE_SOURCE_URL="https://example.org/blob/v1")

    assert wheel.name.endswith(f"-py3-none-{build.TARGETS[OTHER_TARGET].wheel}.whl")
    assert kernels_in(wheel) == [f"kernel-{OTHER_TARGET}.so"]
    assert "https://example.org/blob/v1/docs/options.md" in links_of(wheel)


def test_wheel_for_all_machines_has_no_kernel_though_there_is_a_compiler(build_wheel):
    wheel = build_wheel(SOLVER_CORE_TARGET="any")

    assert wheel.name.endswith("-py3-none-any.whl")
    assert kernels_in(wheel) == []
