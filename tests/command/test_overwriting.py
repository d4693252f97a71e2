# SPDX-License-Identifier: Apache-2.0
"""No output of a command overwrites an input: each output that a command has is tried on each file that it reads."""

import argparse
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from solver_core.command import cli, console
from solver_core.network.weights import shipped_weights
from solver_core.problems import PROBLEMS
from solver_core.problems.inverse_kinematics.files.bodies import HUMAN_PATH

OBJ = "mtllib look.mtl\nv 0 0 0\nv 3 0 0\nv 0 2 0\nv 0 0 1\nusemtl look\nf 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n"
MTL = "newmtl look\nKd 1 1 1\nmap_Kd -blendu on look.png\n"
POSE = [[1, 0, 0, -1], [0, 1, 0, -0.7], [0, 0, 1, -8], [0, 0, 0, 1]]

FILES = ["mesh.obj", "look.mtl", "look.png", "mask.png", "photo.png", "camera.json", "pose.json", "weights.safetensors"]
MOTION_FILES = ["rest.bvh", "targets.csv", "map.json", "limits.json", "rig.safetensors", "rig.body.bvh", "rig.limits.json"]
SOLVES = {
    "pose": "--mesh mesh.obj --mask mask.png --camera camera.json --start pose.json --photo photo.png --ignore mask2.png "
    "--weights weights.safetensors",
    "lighting": "--mesh mesh.obj --image photo.png --camera camera.json --pose pose.json --mask mask.png --mesh-colors "
    "--known-lights known.json --weights light.safetensors",
    "inverse_kinematics": "--skeleton rest.bvh --targets targets.csv --map map.json --limits limits.json",
}
FROM_PHOTO = "solve pose --mesh mesh.obj --photo photo.png --camera camera.json --start pose.json --weights weights.safetensors"
OF_OTHERS = {"--mask-out", "--smooth"}  # the first belongs to that command, the other to films (test_folder.py)
INPUTS = {
    "pose": [*FILES, "mask2.png"],
    "lighting": [*FILES[:-1], "light.safetensors", "known.json"],
    "inverse_kinematics": MOTION_FILES[:4],
}
KINDS = {
    "--out": (),
    "--picture": (".png",),
    "--animation": (".gif",),
    "--json": (".json",),
    "--write-map": (".json",),
    "--environment": (".hdr",),
}
OUTPUTS = {
    "pose": ["--out", "--picture", "--animation"],
    "lighting": ["--out", "--picture", "--animation", "--environment"],
    "inverse_kinematics": ["--out", "--json", "--picture", "--animation", "--write-map"],
}


@pytest.fixture
def folder(demo_dir, tmp_path, monkeypatch) -> Path:
    """Small inputs of all solves, where the command runs."""
    monkeypatch.chdir(tmp_path)
    mask = np.zeros((24, 32), np.uint8)
    mask[8:18, 10:22] = 255
    for name in ("mask.png", "mask2.png"):
        Image.fromarray(mask).save(name)
    for name in ("photo.png", "look.png"):
        Image.fromarray(np.dstack([mask // 2 + 60] * 3)).save(name)
    camera = {"width": 32, "height": 24, "fx": 40.0, "fy": 40.0, "cx": 16.0, "cy": 12.0}
    texts = {"mesh.obj": OBJ, "look.mtl": MTL, "camera.json": json.dumps(camera), "limits.json": "{}", "known.json": "[]"}
    texts |= {"pose.json": json.dumps({"camera_from_object": POSE}), "map.json": '{"targets": {"Hips": "Hips"}}'}
    for name, text in texts.items():
        Path(name).write_text(text)
    shutil.copy(shipped_weights("pose"), "weights.safetensors")
    shutil.copy(shipped_weights("lighting_sun"), "light.safetensors")
    shutil.copy(demo_dir / "ik_rest.bvh", "rest.bvh")
    shutil.copy(demo_dir / "ik_targets.csv", "targets.csv")
    return tmp_path


def contents() -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in Path().rglob("*") if path.is_file()}


def refused(arguments: list[str], capsys) -> str:
    """The one sentence of a command that ends with code 2, prints nothing and changes no file."""
    before = contents()

    code = cli.main(arguments)

    captured = capsys.readouterr()
    assert (code, captured.out) == (2, ""), captured.err
    assert contents() == before
    sentence = captured.err.splitlines()[-1]
    assert sentence.startswith("solver_core: ")
    return sentence


@pytest.mark.parametrize("problem", SOLVES)
def test_the_outputs_tried_here_are_those_that_a_command_has(problem):
    parser = cli.command_parser()
    for word in ("solve", problem):
        (subparsers,) = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
        parser = subparsers.choices[word]

    found = {action.option_strings[0] for action in parser._actions if isinstance(action, console.Output)}

    assert found - OF_OTHERS | {"--out"} == set(OUTPUTS[problem])
    assert set(SOLVES) == set(PROBLEMS)


@pytest.mark.parametrize(
    ("problem", "option", "file"),
    [(problem, option, file) for problem in SOLVES for option in OUTPUTS[problem] for file in INPUTS[problem]],
)
def test_no_output_of_a_solve_overwrites_an_input(problem, option, file, folder, capsys):
    sentence = refused(["solve", problem, *SOLVES[problem].split(), option, file], capsys)

    is_another_kind = "must end in" in sentence  # which is told first, unless the command line names the file
    assert f"{option} would overwrite " in sentence or (is_another_kind and Path(file).suffix not in KINDS[option])


@pytest.mark.parametrize("file", [file for file in FILES if file != "mask.png"])
def test_a_mask_that_was_found_overwrites_no_input(file, folder, capsys):
    sentence = refused([*FROM_PHOTO.split(), "--mask-out", file], capsys)

    is_another_kind = "must end in" in sentence
    assert "--mask-out would overwrite " in sentence or (is_another_kind and Path(file).suffix != ".png")


def test_a_buffer_of_a_mesh_is_not_overwritten(folder, capsys):
    trimesh = pytest.importorskip("trimesh")
    for name, content in trimesh.creation.box().export(file_type="gltf").items():
        if name.endswith(".bin"):
            buffer = name
            Path("buffer.png").write_bytes(content)
        else:
            Path("box.gltf").write_bytes(content)
    Path("box.gltf").write_text(Path("box.gltf").read_text().replace(buffer, "buffer.png"))
    arguments = SOLVES["pose"].replace("mesh.obj", "box.gltf").split()

    assert "--picture would overwrite " in refused(["solve", "pose", *arguments, "--picture", "buffer.png"], capsys)


@pytest.mark.parametrize(
    ("option", "file"), [("--picture", "rig.safetensors"), ("--out", "rig.body.bvh"), ("--json", "rig.limits.json")]
)
def test_what_lies_beside_the_weights_of_a_rig_is_not_overwritten(option, file, folder, capsys):
    shutil.copy(shipped_weights("inverse_kinematics"), "rig.safetensors")
    shutil.copy(HUMAN_PATH, "rig.body.bvh")
    Path("rig.limits.json").write_text("{}")
    solve = ["solve", "ik", "--skeleton", "rest.bvh", "--targets", "targets.csv", "--weights", "rig.safetensors"]

    assert f"{option} would overwrite " in refused([*solve, option, file], capsys)


@pytest.mark.parametrize("file", ["cases.json", "notes.json", "../camera.json", "link.json"])
def test_a_report_overwrites_no_case(file, folder, capsys):
    data = folder / "data"
    data.mkdir()
    for name in ("mesh.obj", "mask.png"):
        shutil.copy(name, data / name)
    (data / "link.json").symlink_to(data / "mask.png")
    (data / "notes.json").write_text('{"mine": 1}')
    case = {"mesh": "mesh.obj", "mask": "mask.png", "camera": "../camera.json", "camera_from_object": POSE}
    (data / "cases.json").write_text(json.dumps([case]))

    assert "--json would overwrite " in refused(["evaluate", "pose", "data", "--json", f"data/{file}"], capsys)


def test_a_report_in_the_data_takes_the_place_of_an_earlier_one(folder, demo_dir, capsys):
    data = folder / "data"
    data.mkdir()
    shutil.copy(demo_dir / "ik_truth.bvh", data / "clip.bvh")
    report = data / "report.json"

    assert cli.main(["evaluate", "ik", "data", "--json", str(report)]) == 0
    first = report.read_bytes()
    assert cli.main(["evaluate", "ik", "data", "--json", str(report)]) == 0
    assert report.read_bytes().startswith(first[:20])
    assert cli.main(["evaluate", "ik", "data", "--json", "data/clip.bvh"]) == 2
    assert (data / "clip.bvh").read_bytes() == (demo_dir / "ik_truth.bvh").read_bytes()


def test_a_copy_of_a_recipe_overwrites_none(folder, capsys):
    assert cli.main(["recipes", "pose", "--out", "recipes"]) == 0
    capsys.readouterr()
    (copy,) = Path("recipes").iterdir()
    copy.write_text("# mine")

    assert "exists" in refused(["recipes", "pose", "--out", "recipes"], capsys)
