# SPDX-License-Identifier: Apache-2.0
"""The validators of what is published have nothing to say.

pytest tests/release/validators.py

build_release.py asks those of the package index and of Blender, for every file that it builds.
"""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = {".github/workflows/release.yml": ["vendor.github-workflows"]}
WORKFLOWS[".gitlab-ci.yml"] = ["vendor.gitlab-ci", "--data-transform", "gitlab-ci"]


def said(*command: str | Path) -> str:
    """What a command prints and how it ends."""
    run = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return f"{run.stdout}exit code {run.returncode}"


def commands_in(content: object) -> list[str]:
    """The pieces of shell of a workflow."""
    if isinstance(content, list):
        return [command for part in content for command in commands_in(part)]
    if not isinstance(content, dict):
        return []
    here = [value for key, value in content.items() if key in ("run", "script")]
    pieces = [
        piece for value in here for piece in ([value] if isinstance(value, str) else value if isinstance(value, list) else [])
    ]
    return pieces + [command for value in content.values() for command in commands_in(value)]


def test_citation_is_valid(tmp_path):
    apart = [
        "--target",
        str(tmp_path),
        "--quiet",
        "--disable-pip-version-check",
    ]  # it needs an older jsonschema than other tests
    subprocess.run([sys.executable, "-m", "pip", "install", *apart, "cffconvert==2.0.0"], check=True)
    program = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from cffconvert.cli.cli import cli; cli()"

    answer = said(sys.executable, "-c", program, "--validate", "-i", "CITATION.cff")

    assert answer.endswith("valid according to schema version 1.2.0.\nexit code 0")


def test_every_file_has_a_licence():
    assert said(sys.executable, "-m", "reuse", "lint", "--quiet") == "exit code 0"


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_workflow_is_as_its_service_reads_it(workflow):
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", *WORKFLOWS[workflow], workflow]

    assert said(*command).endswith("exit code 0")


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_shell_of_a_workflow_is_shell(workflow):
    commands = commands_in(yaml.safe_load((ROOT / workflow).read_text(encoding="utf-8")))

    assert len(commands) > 5
    assert [said("bash", "-n", "-c", command) for command in commands] == ["exit code 0"] * len(commands)


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_files_that_a_workflow_names_are_there(workflow):
    words = " ".join(commands_in(yaml.safe_load((ROOT / workflow).read_text(encoding="utf-8")))).split()
    named = {word for word in words if word.startswith(("tests/", "build_", "assets/"))}

    assert len(named) > 2
    assert [name for name in named if not (ROOT / name).exists()] == []
