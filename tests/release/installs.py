# SPDX-License-Identifier: Apache-2.0
"""What a release publishes for this machine, installed into bare environments, solves the demo.

    pytest tests/release/installs.py -rs      says which Pythons are not there

PYTHONS="3.11 3.12" tries these versions only.
"""

import ensurepip
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import build_release
from solver_core.kernel import build

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "assets" / "demo"
PYTHONS = os.environ.get("PYTHONS", "3.11 3.12 3.13 3.14").split()
NUMPYS = {"1.26": ("3.11", "3.12"), "2": ("3.11", "3.12", "3.13", "3.14")}  # and the Pythons that each has wheels for
COMMAND = (
    *("solve", "pose", "--mesh", "pose_model.ply", "--mask", "pose_mask.png", "--camera", "camera.json"),
    *("--start", "start.json"),
)


@pytest.fixture(scope="module")
def packages(tmp_path_factory) -> dict[str, Path]:
    """The source, the wheel for this machine and that for all others."""
    folder = tmp_path_factory.mktemp("dist")
    build_release.build_packages(folder, [build.this_machine(), "any"])
    build_release.check_packages(folder)
    wheels = {"any" if path.name.endswith("-any.whl") else "wheel": path for path in folder.glob("*.whl")}
    return {"source": next(folder.glob("*.tar.gz")), **wheels}


def python_of(version: str) -> list[str]:
    """Command of an interpreter of a version: that which runs this, one of the machine, or of a Debian of tests/gui."""
    if version == ".".join(map(str, sys.version_info[:2])):
        return [sys.executable]
    found = shutil.which(f"python{version}")
    if found is not None and subprocess.run([found, "--version"], capture_output=True, check=False).returncode == 0:
        return [found]
    for debian in sorted(ROOT.glob(".blender/*/installed")):
        if (debian.parent / "usr" / "bin" / f"python{version}").exists():
            return [str(ROOT / "tests" / "gui" / "in_debian.sh"), str(debian.parent), f"/usr/bin/python{version}"]
    pytest.skip(f"there is no Python {version} here; `make blenders` brings 3.14 where it is root on Debian")


class Environment:
    """A bare virtual environment, perhaps in a Debian of its own, and what a user's shell has in it."""

    def __init__(self, version: str, folder: Path) -> None:
        *self.inside, python = python_of(version)
        self.programs = folder / "venv" / "bin"
        self.has_compiler = (
            subprocess.run([*self.inside, "sh", "-c", "command -v cc"], stdout=subprocess.DEVNULL).returncode == 0
        )
        # Debian's Python comes without its pip.
        pip = shutil.copy(next(Path(ensurepip.__file__).parent.glob("_bundled/pip-*.whl")), folder)
        subprocess.run([*self.inside, python, "-m", "venv", "--without-pip", folder / "venv"], check=True)
        self.pip = ["python", f"{pip}/pip"]
        # Without what tells Python or solver_core where other files are.
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "SOLVER_CORE", "CC"))}
        self.variables = kept | {"OMP_NUM_THREADS": "1"}
        if self.inside:  # a Debian of its own may lack the certificates of this machine's mirror
            trusted = os.environ.get("SSL_CERT_FILE") or ssl.get_default_verify_paths().cafile
            if trusted is not None:
                self.variables |= dict.fromkeys(
                    ("PIP_CERT", "REQUESTS_CA_BUNDLE"), shutil.copy(trusted, folder / "trusted.crt")
                )

    def install(self, package: Path | str, numpy: str) -> None:
        options = ["--quiet", "--disable-pip-version-check", "--prefer-binary"]
        self.run(*self.pip, "install", *options, str(package), f"numpy=={numpy}.*").check_returncode()

    def run(self, program: str, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """What a program of the environment says, in a folder that is its own if none is given."""
        cwd = cwd or self.programs
        there = [*self.inside, "env", "-C", cwd] if self.inside else []
        command = [*there, self.programs / program, *arguments]
        run = subprocess.run(command, cwd=cwd, env=self.variables, capture_output=True, text=True, check=False)
        if run.returncode:
            sys.stderr.write(run.stderr)
        return run


CASES = [
    pytest.param(version, numpy, kind, id=f"{kind} on Python {version} with NumPy {numpy}")
    for version in PYTHONS
    for numpy, versions in NUMPYS.items()
    if version in versions
    for kind in ("source", "wheel", "any")
]


@pytest.mark.parametrize(("version", "numpy", "kind"), CASES)
def test_package_solves_the_demo_in_a_bare_environment(version, numpy, kind, packages, tmp_path):
    environment = Environment(version, tmp_path)
    if kind == "source" and not environment.has_compiler:
        pytest.skip(f"there is no compiler beside Python {version} here")
    environment.install(f"{packages[kind]}[cli]", numpy)

    run = environment.run("solver_core", *COMMAND, cwd=DEMO)
    info = environment.run("solver_core", "info")

    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["verdict"] == "good"
    assert json.loads(info.stdout)["renderer"] == ("numpy" if kind == "any" else build.binary_name(build.this_machine()))
    warnings = re.findall("no compiled kernel", run.stderr)
    assert len(warnings) == (kind == "any"), run.stderr
    if kind == "any":
        assert "python -m solver_core.kernel.build" in run.stderr


def test_package_for_all_machines_gets_a_kernel_as_its_warning_says(packages, tmp_path):
    environment = Environment(PYTHONS[0], tmp_path)
    environment.install(packages["any"], next(numpy for numpy, versions in NUMPYS.items() if PYTHONS[0] in versions))

    environment.run("python", "-m", "solver_core.kernel.build").check_returncode()
    name = environment.run("python", "-c", "from solver_core import render; print(render.kernel_name())")

    assert name.stdout.strip() == build.binary_name(build.this_machine())


def test_wheel_says_where_it_runs(packages):
    """By its name, and, where auditwheel is there, by the symbols that the kernel needs."""
    assert build.TARGETS[build.this_machine()].wheel in packages["wheel"].name
    shown = subprocess.run([sys.executable, "-m", "auditwheel", "show", packages["wheel"]], capture_output=True, text=True)
    if "No module named auditwheel" in shown.stderr:
        pytest.skip("auditwheel is not installed")
    minor = re.search(r'platform tag: "manylinux_2_(\d+)_', " ".join(shown.stdout.split()))
    assert minor is not None, shown.stdout
    assert int(minor[1]) <= 17  # manylinux2014 is that of glibc 2.17


def test_wheel_holds_types_weights_and_licences(packages):
    names = zipfile.ZipFile(packages["wheel"]).namelist()

    assert "solver_core/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert any(name.endswith("licenses/NOTICE") for name in names)
    assert "solver_core/weights/pose.safetensors" in names
