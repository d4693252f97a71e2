# SPDX-License-Identifier: Apache-2.0
"""`solver_core solve lighting` as a user meets it: files in, JSON and pictures out, one sentence for wrong input."""

import json

import numpy as np
import pytest
from PIL import Image

from solver_core.colour import linear_from_srgb, srgb_from_linear
from solver_core.command.cli import main
from solver_core.command.files import read_albedo
from solver_core.problems.lighting.drawing import PANEL_PX
from solver_core.problems.lighting.setup import LightingSetup

from .conftest import BOX, CAMERA, FLOOR, camera_from_world


def write_obj(path, mesh) -> None:
    lines = [f"v {x} {y} {z}" for x, y, z in mesh.vertices] + [f"f {a + 1} {b + 1} {c + 1}" for a, b, c in mesh.faces]
    path.write_text("\n".join(lines))


@pytest.fixture
def files(tmp_path, sun_case):
    """The box on the floor in files; a test replaces one of them."""
    write_obj(tmp_path / "floor.obj", FLOOR)
    write_obj(tmp_path / "box.obj", BOX)
    CAMERA.to_json(tmp_path / "camera.json")
    (tmp_path / "pose.json").write_text(json.dumps({"camera_from_object": camera_from_world().tolist()}))
    Image.fromarray(np.round(255 * srgb_from_linear(sun_case.image)).astype(np.uint8)).save(tmp_path / "image.png")
    return tmp_path


def solve(folder, *options: str) -> int:
    meshes = ["--mesh", str(folder / "floor.obj"), str(folder / "box.obj")]
    files = [f"--{name}={folder / file}" for name, file in (("image", "image.png"), ("camera", "camera.json"))]
    return main(["solve", "lighting", *meshes, *files, f"--pose={folder / 'pose.json'}", *options])


def test_sun_of_an_8_bit_srgb_image_is_found_and_drawn(files, sun_case, capsys):
    code = solve(files, f"--out={files / 'result.json'}", f"--picture={files / 'out.png'}", f"--animation={files / 'out.gif'}")

    result = json.loads(capsys.readouterr().out)
    assert code == 0
    assert result == json.loads((files / "result.json").read_text())
    assert np.array(result["direction"]) @ sun_case.light > np.cos(np.radians(1))
    assert result["position"] is None
    with Image.open(files / "out.png") as picture:
        assert picture.width > 3 * PANEL_PX
    with Image.open(files / "out.gif") as animation:
        assert animation.n_frames == len(result["steps"])


def test_point_light_has_a_position(files, point_case, capsys):
    bright = point_case.image / point_case.image.max()
    Image.fromarray(np.round(255 * srgb_from_linear(bright)).astype(np.uint8)).save(files / "image.png")

    code = solve(files, "--kind=point", f"--picture={files / 'out.png'}")

    result = json.loads(capsys.readouterr().out)
    assert code == 0
    np.testing.assert_allclose(result["position"], point_case.light, atol=0.1)


def test_image_that_does_not_tell_ends_with_code_1(files, capsys):
    Image.new("RGB", (CAMERA.width, CAMERA.height), (120, 120, 120)).save(files / "image.png")

    code = solve(files)

    captured = capsys.readouterr()
    assert code == 1
    assert json.loads(captured.out)["uncertainty_deg"] > 20
    result = json.loads(captured.out)
    assert result["verdict"] == "bad"
    assert result["explanation"] in captured.err
    assert f"{result['uncertainty_deg']:.1f} degrees" in result["explanation"]


@pytest.mark.parametrize(
    ("colour", "size", "sentence"),
    [
        pytest.param(0, (96, 96), "is black", id="black"),
        pytest.param(255, (96, 96), "clipped white", id="white"),
        pytest.param(90, (96, 48), "same aspect", id="aspect"),
    ],
)
def test_image_that_cannot_be_used_is_refused(files, capsys, colour, size, sentence):
    Image.new("RGB", size, (colour,) * 3).save(files / "image.png")

    code = solve(files)

    captured = capsys.readouterr()
    assert code == 2
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert sentence in captured.err


def test_number_of_poses_must_fit(files, capsys):
    code = solve(files, "--pose", *[str(files / "pose.json")] * 3)

    assert code == 2
    assert "one pose for all or one each, got 3" in capsys.readouterr().err


def test_linear_and_srgb_are_inverse():
    values = np.linspace(0, 1, 256, dtype=np.float32)

    np.testing.assert_allclose(srgb_from_linear(linear_from_srgb(values)), values, atol=1e-6)


def test_colours_of_the_mesh_files_are_used_when_asked_for(files, sun_case, capsys):
    """A floor of two colours: without them the image is not explained."""
    is_dark = FLOOR.vertices[:, 0] < 0
    colours = np.where(is_dark[:, None], 60, 220) * np.ones(3, int)
    lines = ["ply", "format ascii 1.0", "element vertex 4", *(f"property float {axis}" for axis in "xyz")]
    lines += [*(f"property uchar {name}" for name in ("red", "green", "blue")), "element face 2"]
    lines += ["property list uchar int vertex_indices", "end_header"]
    lines += [" ".join(map(str, (*v, *c))) for v, c in zip(FLOOR.vertices, colours, strict=True)]
    (files / "floor.ply").write_text("\n".join([*lines, "3 0 1 2", "3 0 2 3", ""]))
    write_obj(files / "box.obj", BOX)
    albedo = read_albedo(files / "floor.ply")
    seen = LightingSetup.checked(**sun_case.arguments(albedo=[albedo, np.ones(3)])).buffer.albedo[0]
    Image.fromarray(np.round(255 * srgb_from_linear(sun_case.image * seen)).astype(np.uint8)).save(files / "image.png")
    arguments = ["--mesh", str(files / "floor.ply"), str(files / "box.obj"), f"--pose={files / 'pose.json'}"]
    arguments += [f"--image={files / 'image.png'}", f"--camera={files / 'camera.json'}"]

    main(["solve", "lighting", *arguments])
    without = json.loads(capsys.readouterr().out)
    code = main(["solve", "lighting", *arguments, "--mesh-colors"])
    result = json.loads(capsys.readouterr().out)

    assert code == 0
    assert np.array(result["direction"]) @ sun_case.light > np.cos(np.radians(2))
    assert result["image_error"] < 0.5 * without["image_error"]


def test_the_albedo_may_be_a_picture(files, sun_case, capsys):
    albedo = np.where(np.arange(CAMERA.width) % 16 < 8, np.uint8(255), np.uint8(100))  # stripes
    Image.fromarray(np.tile(albedo[:, None], (CAMERA.height, 1, 3))).save(files / "albedo.png")
    photograph = sun_case.image / sun_case.image.max() * linear_from_srgb(albedo[:, None] / 255)
    Image.fromarray(np.round(255 * srgb_from_linear(photograph)).astype(np.uint8)).save(files / "image.png")

    code = solve(files, f"--albedo-image={files / 'albedo.png'}")

    result = json.loads(capsys.readouterr().out)
    assert code == 0
    assert np.array(result["direction"]) @ sun_case.light > np.cos(np.radians(1))


def test_evaluate_measures_lights_against_the_truth(files, sun_case, capsys):
    case = {"mesh": ["floor.obj", "box.obj"], "image": "image.png", "camera": "camera.json", "pose": ["pose.json"]}
    turned = np.roll(sun_case.light, 1)
    cases = [{**case, "name": "true", "direction": sun_case.light.tolist()}, {**case, "direction": turned.tolist()}]
    (files / "cases.json").write_text(json.dumps(cases))

    code = main(["evaluate", "lighting", str(files), f"--json={files / 'report.json'}"])

    assert code == 0
    found = json.loads((files / "report.json").read_text())["cases"]
    assert found["true"]["angle_deg"] < 1
    assert found["image.png"]["angle_deg"] == pytest.approx(np.degrees(np.arccos(sun_case.light @ turned)), abs=1)
