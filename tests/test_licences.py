# SPDX-License-Identifier: Apache-2.0
"""Every file says under which licence it may be used, and the version is the same wherever it stands."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

import solver_core

ROOT = Path(__file__).resolve().parents[1]
CODE = ("*.py", "*.c", "*.h", "*.sh")
MARK = "SPDX-License-" + "Identifier"  # in two parts, or this line would be taken for the file's own
LICENCES = {"addon": "GPL-3.0-or-later", "assets": "CC0-1.0"}  # of folders; all else is Apache-2.0


def tracked(*patterns: str) -> list[str]:
    try:
        listed = subprocess.run(["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs a git checkout")
    return [name for name in listed.stdout.splitlines() if (ROOT / name).exists()]


def test_every_file_of_code_names_its_licence_in_its_first_lines():
    wrong = []
    for name in tracked(*CODE):
        lines = (ROOT / name).read_text(encoding="utf-8").split("\n")[:2]  # a script's first line is its interpreter
        licence = LICENCES.get(name.partition("/")[0], "Apache-2.0")
        if not any(re.fullmatch(rf"(#|/\*) {MARK}: {licence}( \*/)?", line) for line in lines):
            wrong.append(name)

    assert wrong == []


def test_every_licence_that_is_named_is_there_as_a_text():
    named = set(re.findall(rf'{MARK} = "([^"]+)"', (ROOT / "REUSE.toml").read_text()))

    assert {path.stem for path in (ROOT / "LICENSES").iterdir()} == named


def test_licence_of_the_code_is_filled_in():
    assert "[yyyy]" not in (ROOT / "LICENSE").read_text()


@pytest.mark.parametrize("card", [path.name for path in (ROOT / "solver_core" / "weights").glob("*.md")])
def test_sources_of_weights_are_in_the_notice(card):
    text, notice = (ROOT / "solver_core" / "weights" / card).read_text(), (ROOT / "NOTICE").read_text()

    for source in ("Lousberg", "Kenney", "LIBERO", "pmndrs", "pybullet", "Quaternius", "cvdlab", "YCB", "mocap.cs.cmu.edu"):
        assert source not in text or source in notice


def test_citation_has_the_version():
    version = re.search(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)

    assert version is not None
    assert version[1] == solver_core.__version__


def test_newest_version_of_the_changelog_is_this_one_or_to_come():
    headings = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)

    assert headings[0] in ("Unreleased", solver_core.__version__)


def test_manifest_of_the_extension_names_the_licence_of_its_code():
    manifest = tomllib.loads((ROOT / "blender_manifest.toml").read_text())

    assert manifest["license"] == ["SPDX:GPL-3.0-or-later"]
    assert manifest["copyright"] == ["2026 The solver_core developers"]
