# SPDX-License-Identifier: Apache-2.0
"""Bad files of every kind that was found, and inputs on which a fuzzer found a fault."""

import warnings
from pathlib import Path

import pytest

from solver_core.errors import SolverError

from .commands import run_command_line
from .corpus import bad_files
from .guard import guarded, one_sentence
from .targets import TARGETS

BAD = bad_files()
CRASHES = [path for path in sorted(Path(__file__).parent.glob("crashes/*")) if path.name.rpartition("-")[0] in TARGETS]


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_refused_in_one_sentence(name, tmp_path, monkeypatch):
    bad = BAD[name]
    target, path = TARGETS[bad.target], tmp_path / f"case{TARGETS[bad.target].suffix}"
    path.write_bytes(bad.content)
    monkeypatch.chdir(tmp_path)  # where what runs a program would leave its trace

    said = None
    with guarded(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            target.read(path)
        except SolverError as error:
            one_sentence(error, path)
            said = str(error)

    assert bad.words == "" or (said is not None and bad.words in said), said
    assert not (tmp_path / "trapped").exists()


@pytest.mark.parametrize("crash", CRASHES, ids=lambda path: path.name)
def test_what_a_fuzzer_found_stays_mended(crash, tmp_path):
    TARGETS[crash.name.rpartition("-")[0]].run(crash.read_bytes(), tmp_path)


def test_a_command_line_with_an_empty_name_is_refused_in_one_sentence(tmp_path):
    for option in ("--skeleton", "--targets", "--map", "--limits", "--weights", "--out", "--json", "--picture"):
        run_command_line(["solve", "ik", "--skeleton", "rest.bvh", "--targets", "targets.csv", option, ""], tmp_path)
