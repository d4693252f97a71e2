# SPDX-License-Identifier: Apache-2.0
"""Shells complete command lines from what the parsers take."""

import shutil
import subprocess

import pytest

from solver_core.command import completion
from solver_core.command.cli import command_parser


def completed(line: list[str], shell: str = "bash") -> set[str]:
    """What bash offers for the last, unfinished word."""
    words = " ".join(f"'{word}'" for word in line)
    code = f"COMP_WORDS=({words}); COMP_CWORD={len(line) - 1}; _solver_core; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    script = completion.script(command_parser(), shell)
    run = subprocess.run(["bash", "-c", f"{script}\n{code}"], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        (["solver_core", "so"], {"solve"}),
        (["solver_core", "solve", "p"], {"pose"}),
        (["solver_core", "solve", "pose", "--conv"], {"--convention"}),
        (["solver_core", "solve", "pose", "--convention", ""], {"opengl", "opencv"}),
        (["solver_core", "solve", "ik", "--scale", ""], {"auto", "none"}),
        (["solver_core", "solve", "ik", "--unit", "c"], {"cm"}),
        (["solver_core", "train", "pose", "--config", "pose"], {"pose", "pose_damaged", "pose_object"}),
        (["solver_core", "recipes", "light"], {"lighting_point", "lighting_sun"}),
        (["solver_core", "recipes", "--out", "light"], set()),
        (["solver_core", "completion", ""], {"bash", "zsh", "fish"}),
        (["solver_core", "--quiet", "solve", "ik", "--write"], {"--write-map"}),
        (["solver_core", "solve", "pose", "--mesh", "x"], set()),  # the shell's own names of files
    ],
)
def test_bash_offers_what_the_parsers_take(line, offered):
    assert completed(line) == offered


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_every_problem_and_its_options_are_in_the_script(shell):
    script = completion.script(command_parser(), shell)

    assert all(word in script for word in ("pose", "lighting", "inverse_kinematics", "mesh", "opencv"))


@pytest.mark.skipif(shutil.which("fish") is None, reason="needs fish")
def test_fish_reads_its_script(tmp_path):
    path = tmp_path / "solver_core.fish"
    path.write_text(completion.script(command_parser(), "fish"))

    subprocess.run(["fish", "--no-execute", path], check=True)
