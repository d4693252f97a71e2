# SPDX-License-Identifier: Apache-2.0
"""docs/architecture.md names what there is, and nothing else."""

import re
from pathlib import Path

import pytest

from solver_core import problems

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
NAMED = set(re.findall(r"[\w/]+\.(?:py|h|toml|md)\b", TEXT))
FOLDERS = ("solver_core", "solver_core/command", "addon")
FILES = {
    path.relative_to(ROOT).as_posix()
    for folder in ("solver_core", "addon", "training", "docs")
    for path in ROOT.glob(f"{folder}/**/*")
}


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_file_of_a_room_that_the_tree_opens_is_named(folder):
    files = {path.name for path in (ROOT / folder).glob("*.py") if not path.name.startswith("__")}

    assert not files - NAMED


@pytest.mark.parametrize("name", sorted(NAMED))
def test_what_is_named_is_there(name):
    assert (ROOT / name).exists() or any(f"/{file}".endswith(f"/{name}") for file in FILES)


SAME_FILES = set(re.findall(r"^(\w+\.py)", problems.__doc__ or "", re.MULTILINE))


@pytest.mark.parametrize("problem", problems.PROBLEMS)
def test_problems_have_the_files_that_their_package_lists(problem):
    files = {path.name for path in (ROOT / "solver_core" / "problems" / problem).glob("*.py")}

    assert len(SAME_FILES) > 10
    assert not SAME_FILES - files


def test_files_that_all_problems_have_are_listed():
    folders = [ROOT / "solver_core" / "problems" / problem for problem in problems.PROBLEMS]
    shared = set.intersection(*({path.name for path in folder.glob("*.py")} for folder in folders))

    assert shared - {"__init__.py"} == SAME_FILES
