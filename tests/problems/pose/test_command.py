# SPDX-License-Identifier: Apache-2.0
"""`solver_core solve pose` as a user meets it: files in, JSON and pictures out, one sentence for wrong input."""

import json

import numpy as np
import pytest
from PIL import Image

from solver_core.command.cli import main
from solver_core.frames import matrix_from_pose
from solver_core.problems.pose.drawing import PANEL_PX

FILES = {"mesh": "mesh.obj", "mask": "mask.png", "camera": "camera.json", "start": "start.json"}
WIDTH, HEIGHT = 64, 48
CAMERA = {"width": WIDTH, "height": HEIGHT, "fx": 60, "fy": 60, "cx": 32, "cy": 24}
START = {"camera_from_object": [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, -4], [0, 0, 0, 1]]}
TETRAHEDRON = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n"


@pytest.fixture
def files(tmp_path):
    """A small problem in files; a test replaces one of them."""
    mask = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    mask[15:30, 25:40] = 255
    (tmp_path / "mesh.obj").write_text(TETRAHEDRON)
    Image.fromarray(mask).save(tmp_path / "mask.png")
    (tmp_path / "camera.json").write_text(json.dumps(CAMERA))
    (tmp_path / "start.json").write_text(json.dumps(START))
    return tmp_path


def solve(folder, *options: str) -> int:
    files = [f"--{name}={folder / file}" for name, file in FILES.items()]
    return main(["solve", "pose", *files, *options])


def assert_refused(sentence: str, code: int, capsys) -> None:
    captured = capsys.readouterr()
    assert code == 2
    assert captured.out == ""
    assert captured.err.startswith("solver_core: ")
    assert captured.err.count("\n") == 1
    assert sentence in captured.err


@pytest.mark.parametrize(
    ("mask", "sentence"),
    [
        pytest.param(np.zeros((HEIGHT, WIDTH), np.uint8), "is empty", id="empty"),
        pytest.param(np.full((HEIGHT, WIDTH), 255, np.uint8), "fills the whole image", id="all ones"),
        pytest.param(np.zeros((WIDTH, HEIGHT), np.uint8), "got 48 x 64 pixels for a camera of 64 x 48", id="wrong shape"),
    ],
)
def test_mask_that_shows_no_object_is_refused(files, capsys, mask, sentence):
    Image.fromarray(mask).save(files / "mask.png")

    assert_refused(sentence, solve(files), capsys)


@pytest.mark.parametrize(
    ("mesh", "sentence"),
    [
        pytest.param("v nan 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", "must be finite", id="NaN"),
        pytest.param("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 9\n", "cannot read the mesh file", id="index out of range"),
        pytest.param("v 0 0 0\nv 1 0 0\nv 0 1 0\n", "has no faces", id="no faces"),
        pytest.param("v 1 1 1\nv 1 1 1\nv 1 1 1\nf 1 2 3\n", "single point", id="no extent"),
    ],
)
def test_mesh_that_is_no_surface_is_refused(files, capsys, mesh, sentence):
    (files / "mesh.obj").write_text(mesh)

    assert_refused(sentence, solve(files), capsys)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        pytest.param({"fx": 0}, "focal lengths must be positive", id="zero focal length"),
        pytest.param({"fx": None}, "it gives no focal length", id="no focal length"),
        pytest.param({"cx": "centre"}, "cx must be a number", id="text"),
    ],
)
def test_camera_that_sees_nothing_is_refused(files, capsys, change, sentence):
    (files / "camera.json").write_text(json.dumps({**CAMERA, **change}))

    assert_refused(sentence, solve(files), capsys)


def test_camera_of_another_program_is_read_and_its_distortion_taken_out(files, capsys):
    (files / "camera.json").write_text(json.dumps(CAMERA))
    plain = solve(files), capsys.readouterr().out
    (files / "camera.json").write_text(json.dumps({"0": {"cam_K": [60, 0, 32, 0, 60, 24, 0, 0, 1], "depth_scale": 1.0}}))
    other = solve(files), capsys.readouterr().out
    (files / "camera.json").write_text(json.dumps({**CAMERA, "k1": 0.3}))
    distorted = solve(files), capsys.readouterr().out

    found = [np.array(json.loads(out)["camera_from_object"]) for _, out in (plain, other, distorted)]
    np.testing.assert_allclose(found[0], found[1], atol=1e-6)
    assert np.abs(found[2] - found[0]).max() > 1e-3


def with_depth(z: float) -> list[list[float]]:
    return [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, z], [0, 0, 0, 1]]


@pytest.mark.parametrize(
    ("start", "sentence"),
    [
        pytest.param({"camera_from_object": np.zeros((4, 4)).tolist()}, "must be a rigid transform", id="singular"),
        pytest.param({"camera_from_object": (2 * np.eye(4)).tolist()}, "must be a rigid transform", id="scaled"),
        pytest.param({"camera_from_object": with_depth(4)}, "behind the camera", id="behind the camera"),
        pytest.param({"pose": with_depth(-4)}, "must hold the key camera_from_object", id="wrong key"),
    ],
)
def test_start_that_is_no_pose_is_refused(files, capsys, start, sentence):
    (files / "start.json").write_text(json.dumps(start))

    assert_refused(sentence, solve(files), capsys)


@pytest.mark.parametrize("name", FILES)
def test_file_that_is_missing_is_named(files, capsys, name):
    (files / FILES[name]).unlink()

    assert_refused(FILES[name], solve(files), capsys)


@pytest.mark.parametrize("name", FILES)
def test_file_that_cannot_be_read_is_named(files, capsys, name):
    (files / FILES[name]).write_bytes(b"\x00\xff rubbish")

    assert_refused(FILES[name], solve(files), capsys)


def test_photograph_of_another_size_is_refused(files, capsys):
    Image.new("RGB", (WIDTH * 2, HEIGHT * 2)).save(files / "photo.png")

    code = solve(files, f"--photo={files / 'photo.png'}", f"--picture={files / 'result.png'}")

    assert_refused("the size of the mask, 64 x 48; it has 128 x 96 pixels", code, capsys)


def test_start_in_opencv_convention_is_named_and_taken(files, capsys):
    plain = solve(files), json.loads(capsys.readouterr().out)
    turned = np.diag([1.0, -1.0, -1.0, 1.0])
    start = turned @ np.array(START["camera_from_object"])
    (files / "start.json").write_text(json.dumps({"camera_from_object": start.tolist()}))

    assert_refused("--convention opencv", solve(files), capsys)
    assert solve(files, "--convention=opencv") == plain[0]
    found = json.loads(capsys.readouterr().out)

    assert (plain[1]["convention"], found["convention"]) == ("opengl", "opencv")
    np.testing.assert_allclose(turned @ np.array(found["camera_from_object"]), plain[1]["camera_from_object"], atol=1e-6)


def test_mesh_in_millimetres_is_named(files, capsys):
    (files / "mesh.obj").write_text(
        "v 500 500 9\nv 1500 500 9\nv 500 1500 9\nv 500 500 1009\nf 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n"
    )

    assert_refused("its unit is another than the start's", solve(files), capsys)


def test_mask_of_labels_asks_for_the_object_and_takes_it(files, capsys):
    labels = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    labels[15:30, 25:40], labels[:5, :5] = 1, 2
    Image.fromarray(labels).save(files / "mask.png")

    assert_refused("choose one with --label", solve(files), capsys)
    assert solve(files, "--label=1") in (0, 1)


def test_start_out_of_view_is_no_error(files, capsys):
    start = with_depth(-4)
    start[0][3] = 40
    (files / "start.json").write_text(json.dumps({"camera_from_object": start}))

    assert solve(files) in (0, 1)


def test_pixels_to_ignore_do_not_count(files, capsys):
    ignore = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    ignore[:, 40:] = 255
    Image.fromarray(ignore).save(files / "ignore.png")
    mask = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    mask[15:30, 25:40] = mask[:, 45:] = 255  # what lies to the right would pull the object there
    Image.fromarray(mask).save(files / "mask.png")

    solve(files, "--restarts=0")
    counted = json.loads(capsys.readouterr().out)["iou"]
    solve(files, "--restarts=0", f"--ignore={files / 'ignore.png'}")
    ignored = json.loads(capsys.readouterr().out)["iou"]

    assert ignored > counted + 0.1


def test_ignore_of_another_size_is_refused(files, capsys):
    Image.fromarray(np.tri(HEIGHT, HEIGHT, dtype=np.uint8) * 255).save(files / "ignore.png")

    assert_refused("of the mask's shape", solve(files, f"--ignore={files / 'ignore.png'}"), capsys)


def test_ignoring_the_whole_object_is_refused(files, capsys):
    assert_refused("leaves nothing of the silhouette", solve(files, f"--ignore={files / 'mask.png'}"), capsys)


def test_poor_result_says_so_and_ends_with_code_1(files, capsys):
    mask = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    mask[::8] = 255  # stripes, which no pose of a tetrahedron explains
    Image.fromarray(mask).save(files / "mask.png")

    code = solve(files, "--restarts=0")

    captured = capsys.readouterr()
    assert code == 1
    assert json.loads(captured.out)["verdict"] == "bad"
    assert captured.err.startswith("solver_core: bad: The pose does not explain the mask: they overlap by")


@pytest.fixture(scope="module")
def solved_demo(demo_dir, tmp_path_factory):
    """Exit code and folder of the files that `make demo` writes."""
    folder = tmp_path_factory.mktemp("demo")
    code = main(
        [
            *demo_arguments(demo_dir, start=demo_dir / "start.json"),
            *(f"--photo={demo_dir / 'pose_photo.jpg'}", f"--out={folder / 'result.json'}"),
            *(f"--picture={folder / 'result.png'}", f"--animation={folder / 'steps.gif'}"),
        ]
    )
    return code, folder


def demo_arguments(demo_dir, start) -> list[str]:
    files = {"mesh": demo_dir / "pose_model.ply", "mask": demo_dir / "pose_mask.png", "camera": demo_dir / "camera.json"}
    return ["solve", "pose", *(f"--{name}={path}" for name, path in files.items()), f"--start={start}"]


def read_result(folder) -> dict:
    return json.loads((folder / "result.json").read_text())


def test_demo_is_solved(solved_demo):
    code, folder = solved_demo

    assert code == 0
    assert read_result(folder)["iou"] > 0.97


def test_demo_finds_the_true_pose(solved_demo, demo_dir):
    truth = np.array(json.loads((demo_dir / "truth.json").read_text())["camera_from_object"])
    pose = np.array(read_result(solved_demo[1])["camera_from_object"])

    cosine = (np.trace(pose[:3, :3] @ truth[:3, :3].T) - 1) / 2
    assert np.degrees(np.arccos(cosine)) < 0.5  # the mask is drawn a pixel off here and there
    assert np.linalg.norm(pose[:3, 3] - truth[:3, 3]) < 0.003


def test_demo_picture_shows_before_and_after(solved_demo):
    with Image.open(solved_demo[1] / "result.png") as picture:
        assert picture.width > 2 * PANEL_PX
        assert picture.height > PANEL_PX * HEIGHT / WIDTH  # the same aspect, and a caption


def test_demo_animation_shows_every_step_that_moved_the_object(solved_demo):
    steps = read_result(solved_demo[1])["steps"]

    with Image.open(solved_demo[1] / "steps.gif") as animation:
        assert animation.n_frames == sum(step["phase"] == "start" or step["damping"] > 0 for step in steps)


def test_result_may_be_the_next_start(solved_demo, demo_dir, capsys):
    code = main(demo_arguments(demo_dir, start=solved_demo[1] / "result.json"))

    assert code == 0
    assert json.loads(capsys.readouterr().out)["iou"] >= read_result(solved_demo[1])["iou"] - 1e-3


def test_evaluate_measures_poses_against_the_truth(chair_case, tmp_path, capsys):
    mesh, camera, mask, truth, _ = chair_case
    corners = [f"v {x} {y} {z}" for x, y, z in mesh.vertices]
    (tmp_path / "chair.obj").write_text("\n".join([*corners, *(f"f {a + 1} {b + 1} {c + 1}" for a, b, c in mesh.faces)]))
    Image.fromarray(np.uint8(255) * mask).save(tmp_path / "mask.png")
    camera.to_json(tmp_path / "camera.json")
    files = {"mesh": "chair.obj", "mask": "mask.png", "camera": "camera.json"}
    true = matrix_from_pose(truth)
    off = true.copy()
    off[2, 3] -= 0.1  # diagonals of the chair
    flip = np.diag([1.0, -1.0, -1.0, 1.0])
    cases = [
        {**files, "name": "true", "camera_from_object": true.tolist()},
        {**files, "name": "opencv", "convention": "opencv", "camera_from_object": (flip @ true).tolist()},
        {**files, "name": "off", "camera_from_object": off.tolist()},
    ]
    (tmp_path / "cases.json").write_text(json.dumps(cases))

    code = main(["evaluate", "pose", str(tmp_path), f"--json={tmp_path / 'report.json'}"])

    assert code == 0
    found = json.loads((tmp_path / "report.json").read_text())["cases"]
    for name in ("true", "opencv"):
        assert found[name]["rotation_deg"] < 1.5
        assert found[name]["translation_percent"] < 2
        assert found[name]["surface_percent"] < 2
    assert found["off"]["translation_percent"] == pytest.approx(10, abs=2)
