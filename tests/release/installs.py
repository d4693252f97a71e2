# SPDX-License-Identifier: Apache-2.0
"""What a release publishes for this machine, installed into bare environments, solves the demo.

    pytest tests/release/installs.py -rs      says which Pythons are not there

PYTHONS="3.11 3.12" tries these versions only.
"""

import json
import os
import re
import shutil
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


def python_of(version: str) -> str:
    """An interpreter of a version, which may be the one that runs this."""
    if version == ".".join(map(str, sys.version_info[:2])):
        return sys.executable
    found = shutil.which(f"python{version}")
    if found is None or subprocess.run([found, "--version"], capture_output=True, check=False).returncode != 0:
        pytest.skip(f"there is no Python {version} here")
    return found


def environment(**changes: str) -> dict[str, str]:
    """What a user's shell has, without what tells Python or solver_core where other files are."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "SOLVER_CORE", "CC"))}
    return kept | {"OMP_NUM_THREADS": "1"} | changes


def install(version: str, numpy: str, package: str, folder: Path) -> Path:
    """A bare environment with a package; the folder of its programs."""
    subprocess.run([python_of(version), "-m", "venv", folder / "venv"], check=True)
    programs = folder / "venv" / "bin"
    pip = [programs / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--prefer-binary"]
    subprocess.run([*pip, package, f"numpy=={numpy}.*"], check=True, env=environment(), cwd=folder)
    return programs


CASES = [
    pytest.param(version, numpy, kind, id=f"{kind} on Python {version} with NumPy {numpy}")
    for version in PYTHONS
    for numpy, versions in NUMPYS.items()
    if version in versions
    for kind in ("source", "wheel", "any")
]


@pytest.mark.parametrize(("version", "numpy", "kind"), CASES)
def test_package_solves_the_demo_in_a_bare_environment(version, numpy, kind, packages, tmp_path):
    programs = install(version, numpy, f"{packages[kind]}[cli]", tmp_path)

    run = subprocess.run(
        [programs / "solver_core", *COMMAND], cwd=DEMO, env=environment(), capture_output=True, text=True, check=False
    )
    info = subprocess.run([programs / "solver_core", "info"], cwd=tmp_path, env=environment(), capture_output=True, text=True)

    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["verdict"] == "good"
    assert json.loads(info.stdout)["renderer"] == ("numpy" if kind == "any" else build.binary_name(build.this_machine()))
    warnings = re.findall("no compiled kernel", run.stderr)
    assert len(warnings) == (kind == "any"), run.stderr
    if kind == "any":
        assert "python -m solver_core.kernel.build" in run.stderr


def test_package_for_all_machines_gets_a_kernel_as_its_warning_says(packages, tmp_path):
    programs = install(
        PYTHONS[0], next(n for n, versions in NUMPYS.items() if PYTHONS[0] in versions), packages["any"], tmp_path
    )

    subprocess.run([programs / "python", "-m", "solver_core.kernel.build"], cwd=tmp_path, env=environment(), check=True)
    code = "from solver_core import render; print(render.kernel_name())"
    name = subprocess.check_output([programs / "python", "-c", code], cwd=tmp_path, env=environment(), text=True)

    assert name.strip() == build.binary_name(build.this_machine())


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
