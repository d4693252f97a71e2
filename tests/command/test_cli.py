# SPDX-License-Identifier: Apache-2.0
import errno
import json
import subprocess
import sys

import pytest

from solver_core import render
from solver_core.command import cli
from solver_core.command.console import fault, progress
from solver_core.errors import MissingDependency
from solver_core.optional import needed_for
from solver_core.problems import PROBLEMS
from solver_core.segmentation import prior

HELP_LINES, HELP_COLUMNS = 50, 110  # a terminal window on a laptop
COMMANDS = [
    [],
    ["solve"],
    *(["solve", name] for name in PROBLEMS),
    ["mask"],
    ["train"],
    *(["train", name] for name in PROBLEMS),
    ["recipes"],
    ["info"],
    ["completion"],
]

on_every_command = pytest.mark.parametrize("command", COMMANDS, ids=" ".join)


def help_lines(command: list[str], capsys) -> list[str]:
    with pytest.raises(SystemExit, match="0"):
        cli.main([*command, "--help"])
    return capsys.readouterr().out.splitlines()


def refused(arguments: list[str], capsys) -> str:
    """The one line on stderr of a command that must end with code 2 and nothing on stdout."""
    try:
        code = cli.main(arguments)
    except SystemExit as exit:  # the way argparse ends
        code = exit.code
    captured = capsys.readouterr()
    assert (code, captured.out, captured.err.count("\n")) == (2, "", 1)
    return captured.err


@on_every_command
def test_help_fits_a_screen_and_ends_with_an_example(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(HELP_COLUMNS))

    lines = help_lines(command, capsys)

    assert len(lines) <= HELP_LINES
    assert max(map(len, lines)) <= HELP_COLUMNS
    assert lines[-2] == "example:"
    assert lines[-1].startswith("  solver_core ")


@on_every_command
def test_example_of_the_help_is_accepted(command, capsys):
    example = help_lines(command, capsys)[-1].split()[1:]

    accepted = True
    try:
        cli.command_parser().parse_args(example)
    except SystemExit as exit:  # an example that asks for more help
        accepted = exit.code == 0

    assert accepted


@pytest.mark.parametrize("command", ["solve", "train"])
def test_ik_is_short_for_inverse_kinematics(command):
    files = {"solve": ["--skeleton", "a.bvh", "--targets", "b.csv"], "train": ["--config", "c.toml"]}[command]
    parse = cli.command_parser().parse_args

    assert parse([command, "ik", *files]) == parse([command, "inverse_kinematics", *files])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "COMMAND"),
        (["guess"], "invalid choice: 'guess'"),
        (["solve", "riddle"], "invalid choice: 'riddle'"),
        (["solve", "pose"], "required: --mesh"),
        (["train", "riddle", "--config", "x.toml", "--data", "."], "invalid choice: 'riddle'"),
        (["train", "pose", "--config", "nowhere.toml", "--data", "."], "cannot read the configuration nowhere.toml"),
    ],
    ids=str,
)
def test_wrong_arguments_are_refused_with_one_sentence(arguments, sentence, capsys):
    assert sentence in refused(arguments, capsys)


@pytest.mark.torch
def test_train_refuses_a_recipe_for_another_problem(tmp_path, capsys):
    recipe = tmp_path / "other.toml"
    recipe.write_text('[training]\nproblem = "lighting"\nname = "lighting"\niterations = [1]\n')

    sentence = refused(["train", "pose", "--config", str(recipe), "--data", str(tmp_path)], capsys)

    assert "is a recipe for lighting, not for pose" in sentence


def test_missing_package_is_named_with_its_extra(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "trimesh", None)
    files = ["--mesh", "mesh.obj", "--mask", "mask.png", "--camera", "camera.json"]

    sentence = refused(["solve", "pose", *files], capsys)

    assert "reading mesh files needs the package trimesh" in sentence
    assert "pip install 'solver_core[cli]'" in sentence


def test_other_import_errors_of_a_package_name_it():
    with (
        pytest.raises(MissingDependency, match=r"drawing needs the package matplotlib; .*extra"),
        needed_for("drawing", extra="extra"),
    ):
        raise ImportError("no display", name="matplotlib.backends")


def test_interrupted_command_ends_with_the_code_of_a_shell(capsys, monkeypatch):
    def interrupt(args):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_info", interrupt)

    assert cli.main(["info"]) == 130
    assert capsys.readouterr().err == "solver_core: interrupted\n"


def test_info_prints_version_renderer_and_weights(capsys):
    assert cli.main(["info"]) == 0

    content = json.loads(capsys.readouterr().out)
    assert content.keys() == {"version", "renderer", "weights"}
    assert content["renderer"] == render.kernel_name()
    for metadata in content["weights"].values():
        assert metadata["problem"] in {*PROBLEMS, prior.TASK}
        assert metadata["licence"] == "CC0-1.0"


def test_module_runs_as_the_command():
    run = subprocess.run([sys.executable, "-m", "solver_core", "--version"], capture_output=True, text=True, check=True)

    assert run.stdout.strip()[0].isdigit()


def test_a_name_that_the_system_refuses_is_wrong_input():
    sentence, code = fault(PermissionError(errno.EACCES, "Permission denied", "clips"))

    assert (sentence, code) == ("cannot use clips: Permission denied", 2)


def test_progress_writes_nothing_to_stdout(capsys):
    with progress("solving") as show:
        show("overlap 90 %")

    assert capsys.readouterr().out == ""


POSE_FILES = ["--mesh", "mesh.ply", "--mask", "mask.png", "--camera", "camera.json"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--picture", "mask.png"], "--picture would overwrite --mask"),
        (["--out", "./camera.json"], "--out would overwrite --camera"),
        (["--picture", "a.png", "--animation", "a.png"], "--animation would overwrite --picture"),
        (["--out", "nowhere/a.json"], "cannot write the file of --out nowhere/a.json: No such file or directory"),
        (["--picture", "."], "cannot write the file of --picture .: Is a directory"),
    ],
    ids=str,
)
def test_outputs_that_cannot_be_written_are_refused_before_anything_is_read(options, sentence, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)

    assert sentence in refused(["solve", "pose", *POSE_FILES, *options], capsys)


def test_an_output_may_not_be_one_of_several_inputs(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = ["--mesh", "a.ply", "b.ply", "--image", "image.png", "--camera", "camera.json", "--picture", "b.ply"]

    assert "--picture would overwrite --mesh b.ply" in refused(["solve", "lighting", *arguments], capsys)


@pytest.mark.parametrize(
    ("flags", "is_said"),
    [([], True), (["--quiet"], False), (["--verbose"], True)],
    ids=["as it comes", "quiet", "verbose"],
)
def test_quiet_leaves_out_notes_and_verbose_names_every_phase(flags, is_said, demo_dir, tmp_path, capsys):
    pytest.importorskip("trimesh")
    files = ["--mesh", "pose_model.ply", "--mask", "pose_mask.png", "--camera", "camera.json", "--start", "start.json"]
    arguments = [str(demo_dir / word) if "." in word else word for word in files]

    code = cli.main([*flags, "solve", "pose", *arguments, "--focal", "1400", "2000"])

    captured = capsys.readouterr()
    assert code == 1  # the mask leaves the focal length, and with it the distance, open by 4 %
    assert json.loads(captured.out)["verdict"] == "doubtful"
    assert ("solving: refine" in captured.err) == (flags == ["--verbose"])
    assert ("explain the mask about as well" in captured.err) == is_said


@pytest.mark.parametrize(
    ("option", "name", "endings"),
    [
        ("--out", "pose.fbx", ".json"),
        ("--out", "pose", ".json"),
        ("--picture", "pose.mp4", ".png, .jpg"),
        ("--animation", "pose.png", ".gif"),
    ],
)
def test_a_name_that_ends_in_another_kind_of_file_is_refused(option, name, endings, tmp_path, capsys):
    files = ["--mesh", "a.obj", "--mask", "b.png", "--camera", "c.json"]

    sentence = refused(["solve", "pose", *files, option, str(tmp_path / name)], capsys)

    assert f"the name of {option} must end in {endings}" in sentence
