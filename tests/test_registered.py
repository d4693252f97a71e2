# SPDX-License-Identifier: Apache-2.0
"""Problems of other packages: installed into a folder, found by name, trained, solved and refused."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import solver_core as sc
from solver_core import problems
from solver_core.command.registered import _content
from solver_core.errors import ConfigError
from solver_core.network.spec import NetworkSpec
from solver_core.problems import Folder, find_problem

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with the example installed, as pip does it, and a package that cannot be imported."""
    folder = tmp_path_factory.mktemp("site")
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    source = tmp_path_factory.mktemp("source") / "projectile"
    source.mkdir()
    for path in (ROOT / "docs/examples/projectile").iterdir():  # pip builds beside the source
        if path.is_file():
            (source / path.name).write_bytes(path.read_bytes())
    install = [sys.executable, "-m", "pip", "install", *options, "--target", str(folder), str(source)]
    subprocess.run(install, check=True)
    (folder / "broken-1.dist-info").mkdir()
    (folder / "broken-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1\n")
    entry_points = "[solver_core.problems]\nbroken = no_such_module:problem\n"
    (folder / "broken-1.dist-info" / "entry_points.txt").write_text(entry_points)
    return folder


def run(site, folder, *arguments):
    """A command line of a process that sees the installed packages."""
    paths = os.pathsep.join([str(ROOT), str(site)])
    return subprocess.run(
        [sys.executable, "-m", "solver_core", *arguments],
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.torch
def test_a_problem_of_another_package_trains_and_solves(site, tmp_path):
    pytest.importorskip("torch")

    trained = run(
        site, tmp_path, "train", "projectile", "--set", "iterations=[30]", "--set", "batch_size=32", "--set", "workers=1"
    )

    assert trained.returncode == 0, trained.stderr
    weights = json.loads(trained.stdout)["weights"]
    sys.path.insert(0, str(site))
    try:
        from projectile import flight, problem
    finally:
        sys.path.remove(str(site))
    x = problem.space.random(np.random.default_rng(1), 1)
    (tmp_path / "observed.json").write_text(json.dumps({"y": flight(x)[0].tolist()}))

    solved = run(site, tmp_path, "solve", "projectile", "--observation", "observed.json", "--weights", weights)

    assert solved.returncode == 0, solved.stderr
    answer = json.loads(solved.stdout)
    assert answer["verdict"] == "good"
    np.testing.assert_allclose(answer["x"], x, atol=1e-4)  # no noise, and Gauss-Newton to the end


def test_a_problem_of_another_package_is_measured_on_cases(site, tmp_path):
    (tmp_path / "observed.json").write_text(json.dumps({"y": [1.0] * 18}))
    cases = [{"observation": "observed.json", "x": [1.0, 2.0, 10.0, 0.0, 0.0]}, {"observation": "none.json", "x": [0.0] * 5}]
    (tmp_path / "cases.json").write_text(json.dumps(cases))

    measured = run(site, tmp_path, "evaluate", "projectile", ".", "--restarts", "0", "--json", "report.json")

    assert measured.returncode == 1
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["count"] == {"all": 1, "good": 0, "doubtful": 0, "bad": 1}  # six times the same place is no flight
    assert list(report["refused"]) == ["none.json"]


def test_a_package_that_cannot_be_loaded_stops_nobody_else(site, tmp_path):
    shown = run(site, tmp_path, "solve", "--help")
    refused = run(site, tmp_path, "solve", "broken", "--observation", "x.json")

    assert shown.returncode == 0
    assert "projectile" in shown.stdout
    assert shown.stderr == (
        "solver_core: the problem 'broken' of no_such_module:problem cannot be loaded: No module named 'no_such_module'\n"
    )
    assert refused.returncode == 2


@pytest.fixture
def folder_problem(tmp_path, monkeypatch):
    """A problem as a folder of modules, all but two of them left out."""
    package = tmp_path / "thermometer"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "features.py").write_text(
        "from solver_core.network.spec import NetworkSpec\nINPUT_LAYOUT = 'thermometer 1'\n"
        "def network_spec(settings):\n    return NetworkSpec(2, (4,), vector_size=3)\n"
    )
    (package / "recipe.toml").write_text('[training]\nproblem = "thermometer"\nname = "heat"\niterations = [7]\n')
    monkeypatch.syspath_prepend(tmp_path)
    return Folder("thermometer", "thermometer")


def test_a_folder_of_modules_is_a_problem(folder_problem):
    assert folder_problem.input_layout == "thermometer 1"
    assert folder_problem.network_spec({}) == NetworkSpec(2, (4,), vector_size=3)
    assert folder_problem.recipe()["training"]["name"] == "heat"
    assert folder_problem.weights_task({}) == "thermometer"


def test_what_is_no_problem_is_refused_with_what_it_lacks():
    with pytest.raises(ConfigError, match=r"lacks name, .*make_sampler.*derive its class from"):
        find_problem(object())


def test_an_unknown_name_is_refused_with_those_known(monkeypatch):
    with pytest.raises(ConfigError, match=f"unknown problem 'riddle'; known: {', '.join(problems.PROBLEMS)}"):
        find_problem("riddle")


def test_what_nothing_bounds_is_null_in_json():
    kind = sc.inverse_problem(lambda x: [x[0]], sc.Euclidean(2), noise=0.001)

    (spread,) = json.loads(json.dumps(_content(sc.solve(kind, [0.3])), allow_nan=False))["spread"]

    assert spread == [pytest.approx(0.001), None]
