# SPDX-License-Identifier: Apache-2.0
"""`solver_core solve pose` on a folder of masks, and on the frames of a film."""

import json
from contextlib import suppress

import numpy as np
import pytest
from PIL import Image

from solver_core import render, rotations
from solver_core.command import folder
from solver_core.command.cli import main
from solver_core.command.files import read_mesh
from solver_core.frames import Camera, matrix_from_pose
from solver_core.mesh import Mesh
from solver_core.writing import write_text

NUM_FRAMES = 3
STEP_DEG = 8.0
RIGHT_DEG = 1.5  # of a mask of 96 pixels


@pytest.fixture
def truth() -> np.ndarray:
    """(NUM_FRAMES, 4, 4) camera_from_object of an object that turns."""
    turns = np.deg2rad(STEP_DEG) * np.arange(NUM_FRAMES)[:, None] * np.array([0.0, 1, 0.2])
    first = rotations.wxyz_from_rotvec(np.array([0.4, 0.3, 0.1]))
    poses = [np.concatenate([rotations.multiply(rotations.wxyz_from_rotvec(turn), first), [0.1, 0, -6]]) for turn in turns]
    return np.stack([matrix_from_pose(pose) for pose in poses])


@pytest.fixture
def film(tmp_path, demo_dir, truth):
    """frame_9.png, frame_10.png, ... of the demo's biplane, its camera and the first pose, turned a little."""
    surface = read_mesh(demo_dir / "pose_model.ply")
    vertices = surface.vertices - surface.vertices.mean(axis=0)
    size = np.ptp(vertices, axis=0).max()
    mesh = Mesh.checked(3 * vertices / size, surface.faces)
    (tmp_path / "mesh.obj").write_text(
        "".join(f"v {x} {y} {z}\n" for x, y, z in mesh.vertices) + "".join(f"f {a} {b} {c}\n" for a, b, c in mesh.faces + 1)
    )
    camera = Camera(192, 144, 220.0, 220.0, 96.0, 72.0)
    (tmp_path / "camera.json").write_text(json.dumps({"width": 192, "height": 144, "fx": 220, "fy": 220, "cx": 96, "cy": 72}))
    (tmp_path / "masks").mkdir()
    for number, pose in enumerate(truth):
        depth = render.render_depth([mesh], pose[None], camera.intrinsics, 144, 192)[0]
        Image.fromarray(np.where(np.isfinite(depth), 255, 0).astype(np.uint8)).save(
            tmp_path / "masks" / f"frame_{9 + number}.png"
        )
    start = truth[0].copy()
    start[:3, :3] = rotations.matrix_from_wxyz(rotations.wxyz_from_rotvec(np.array([0.0, 0.2, 0]))) @ start[:3, :3]
    (tmp_path / "start.json").write_text(json.dumps({"camera_from_object": start.tolist()}))
    return tmp_path


@pytest.fixture
def photos(film):
    """Photographs of the film's masks, in photos/."""
    (film / "photos").mkdir()
    rng = np.random.default_rng(0)
    for path in sorted((film / "masks").iterdir()):
        mask = np.asarray(Image.open(path))[..., None] > 0
        photo = np.where(mask, [200, 90, 60], [70, 110, 130]) + rng.normal(scale=6, size=(*mask.shape[:2], 3))
        Image.fromarray(np.clip(photo, 0, 255).astype(np.uint8)).save(film / "photos" / path.name)


def solve(film, *options: str, mask: str = "masks") -> int:
    files = ["--mesh", film / "mesh.obj", "--camera", film / "camera.json", "--start", film / "start.json"]
    return main([str(part) for part in ("solve", "pose", "--mask", film / mask, "--out", film / "out", *files, *options)])


def records(film, out="out") -> list[dict]:
    return [json.loads((film / out / f"frame_{9 + number}.json").read_text()) for number in range(NUM_FRAMES)]


def degrees_off(film, truth) -> np.ndarray:
    return turned_off([record["camera_from_object"] for record in records(film)], truth)


def turned_off(poses, truth) -> np.ndarray:
    found = np.stack(poses)[:, :3, :3]
    wxyz = [rotations.wxyz_from_matrix(np.ascontiguousarray(one)) for one in (found, truth[:, :3, :3])]
    return np.rad2deg(rotations.angle_between(*wxyz))


@pytest.mark.parametrize("options", [(), ("--track",), ("--jobs", "2")])
def test_every_mask_has_a_record(film, truth, capsys, options):
    assert solve(film, *options) == 0

    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    names = [record["mask"] for record in printed]
    assert sorted(names) == sorted(f"frame_{9 + number}.png" for number in range(NUM_FRAMES))
    if "--jobs" not in options:
        assert names[0] == "frame_9.png"  # not frame_10.png, which comes first by letters
    assert {record["status"] for record in records(film)} == {"done"}
    assert degrees_off(film, truth).max() < RIGHT_DEG
    assert "steps" not in records(film)[0]


def test_tracking_follows_from_frame_to_frame(film, truth):
    solve(film, "--track")

    assert degrees_off(film, truth).max() < RIGHT_DEG
    assert [(record["lost"], record["is_repaired"]) for record in records(film)] == [(False, False)] * NUM_FRAMES


def test_tracking_goes_on_from_the_record_of_an_earlier_run(film, truth, capsys):
    solve(film, "--track")
    (film / "out" / "frame_11.json").unlink()
    capsys.readouterr()

    solve(film, "--track")

    statuses = [json.loads(line)["status"] for line in capsys.readouterr().out.splitlines()]
    assert statuses == ["skipped", "skipped", "done"]
    assert degrees_off(film, truth)[-1] < RIGHT_DEG


def test_focal_length_of_a_film_is_one_for_all_its_frames(film):
    solve(film, "--track", "--focal", "150", "320")
    (film / "out" / "frame_11.json").unlink()

    solve(film, "--track", "--focal", "150", "320")

    assert len({record["fx"] for record in records(film)}) == 1
    assert records(film)[-1]["fx_range"][0] < 220 < records(film)[-1]["fx_range"][1]


@pytest.mark.usefixtures("photos")
def test_photographs_of_a_film_are_tracked(film, truth, capsys):
    files = [
        "--mesh",
        film / "mesh.obj",
        "--camera",
        film / "camera.json",
        "--start",
        film / "start.json",
        "--out",
        film / "out",
    ]

    main([str(part) for part in ("solve", "pose", "--photo", film / "photos", "--track", *files)])

    assert json.loads(capsys.readouterr().out.splitlines()[0])["photo"] == "frame_9.png"
    assert degrees_off(film, truth)[1:].max() < 3


@pytest.mark.parametrize("kind", ["mask", "photo"])
@pytest.mark.usefixtures("photos")
def test_a_film_that_was_killed_goes_on_as_if_it_had_not_been(film, monkeypatch, kind):
    files = ["--mesh", film / "mesh.obj", "--camera", film / "camera.json", "--start", film / "start.json", "--track"]
    command = [str(part) for part in ("solve", "pose", f"--{kind}", film / f"{kind}s", *files)]
    main([*command, "--out", str(film / "whole")])

    def killed_before_the_last_record(path, *_):
        if path.name == "frame_11.json":
            raise KeyboardInterrupt
        write_text(path, *_)

    with monkeypatch.context() as patch, suppress(KeyboardInterrupt):
        patch.setattr(folder, "write_text", killed_before_the_last_record)
        main([*command, "--out", str(film / "out")])
    assert not (film / "out" / "frame_11.json").exists()
    main([*command, "--out", str(film / "out")])

    whole, resumed = ([{**record, "seconds": None} for record in records(film, out)] for out in ("whole", "out"))
    assert resumed == whole


def test_a_film_is_smoothed_and_lost_frames_filled(film, truth):
    Image.fromarray(np.zeros((144, 192), np.uint8)).save(film / "masks" / "frame_10.png")

    solve(film, "--track", "--smooth", str(film / "smooth.json"))

    frames = json.loads((film / "smooth.json").read_text())["frames"]
    assert [one["mask"] for one in frames] == [f"frame_{9 + number}.png" for number in range(NUM_FRAMES)]
    assert [(one["is_filled"], one["lost"]) for one in frames] == [(False, False), (True, True), (False, False)]
    assert [one["verdict"] for one in frames] == ["good", "doubtful", "good"]
    assert turned_off([one["camera_from_object"] for one in frames], truth).max() < RIGHT_DEG


@pytest.mark.parametrize("file", ["out/frame_9.json", "camera.json"])
def test_a_smoothed_film_overwrites_none_of_its_files(film, capsys, file):
    (film / "out").mkdir()

    assert solve(film, "--track", "--smooth", str(film / file)) == 2

    assert "--smooth would overwrite" in capsys.readouterr().err
    assert not (film / "out" / "frame_9.json").exists()


def test_tracking_goes_on_after_a_mask_that_cannot_be_solved(film, truth, capsys):
    Image.fromarray(np.zeros((144, 192), np.uint8)).save(film / "masks" / "frame_10.png")

    assert solve(film, "--track") == 1

    first, lost, last = records(film)
    assert (first["status"], lost["status"], last["status"]) == ("done", "failed", "done")
    assert "left the image" in lost["explanation"]


def test_a_second_run_solves_what_changed(film, capsys):
    solve(film)
    capsys.readouterr()
    (film / "masks" / "frame_10.png").write_bytes((film / "masks" / "frame_9.png").read_bytes())

    solve(film)

    statuses = [json.loads(line)["status"] for line in capsys.readouterr().out.splitlines()]
    assert statuses == ["skipped", "done", "skipped"]


def test_a_pattern_stands_for_its_files(film, capsys):
    assert solve(film, mask="masks/frame_1*.png") == 0

    names = [json.loads(line)["mask"] for line in capsys.readouterr().out.splitlines()]
    assert names == [f"frame_{9 + number}.png" for number in range(1, NUM_FRAMES)]


def test_a_file_of_somebody_else_is_not_overwritten(film, capsys):
    (film / "out").mkdir()
    (film / "out" / "frame_10.json").write_text('{"shapes": []}')

    assert solve(film) == 2

    assert "no run has written it" in capsys.readouterr().err
    assert (film / "out" / "frame_10.json").read_text() == '{"shapes": []}'


def test_records_beside_the_masks_are_no_masks(film, capsys):
    arguments = ["--mesh", film / "mesh.obj", "--camera", film / "camera.json", "--start", film / "start.json"]
    command = [str(part) for part in ("solve", "pose", "--mask", film / "masks" / "*", "--out", film / "masks", *arguments)]

    assert [main(command), main(command)] == [0, 0]

    statuses = [json.loads(line)["status"] for line in capsys.readouterr().out.splitlines()]
    assert statuses == ["done"] * NUM_FRAMES + ["skipped"] * NUM_FRAMES


def test_hidden_files_are_no_masks_and_a_broken_one_stops_no_other(film, capsys):
    (film / "masks" / "._frame_9.png").write_bytes(b"resources of macOS")
    (film / "masks" / "frame_10.png").unlink()
    (film / "masks" / "frame_10.png").symlink_to(film / "nowhere.png")

    assert solve(film) == 1

    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [record["status"] for record in printed] == ["done", "failed", "done"]


def test_what_all_masks_need_is_missed_at_once(film, capsys):
    (film / "mesh.obj").unlink()

    assert solve(film) == 2

    captured = capsys.readouterr()
    assert "mesh.obj" in captured.err
    assert captured.out == ""


def test_steps_and_remarks_of_a_folder_name_their_mask(film, capsys):
    for path in (film / "masks").iterdir():
        Image.fromarray(5 * (np.asarray(Image.open(path)) > 0).astype(np.uint8)).save(path)  # which is remarked on

    solve(film, "--verbose")

    lines = capsys.readouterr().err.splitlines()
    for number in range(NUM_FRAMES):
        own = [line for line in lines if line.startswith(f"solver_core: frame_{9 + number}.png: ")]
        assert any("overlap" in line for line in own)
        assert any("overlap" not in line for line in own)


def test_a_lost_frame_is_tried_again(film, capsys):
    Image.fromarray(np.zeros((144, 192), np.uint8)).save(film / "masks" / "frame_10.png")
    solve(film, "--track")
    capsys.readouterr()

    solve(film, "--track")

    statuses = [json.loads(line)["status"] for line in capsys.readouterr().out.splitlines()]
    assert statuses[:2] == ["skipped", "failed"]


def test_processes_say_no_more_than_this_one(film, capfd):
    for path in (film / "masks").iterdir():
        Image.fromarray(5 * (np.asarray(Image.open(path)) > 0).astype(np.uint8)).save(path)  # which is remarked on

    solve(film, "--jobs", "2", "--quiet")

    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("mask", "options", "sentence"),
    [
        ("masks", ("--track", "--jobs", "2"), "leave out --jobs"),
        ("masks", ("--track", "--shard", "1/2"), "leave out --jobs, --cluster and --shard"),
        ("masks", ("--focal", "5", "1"), "focal_range must be the lowest and the highest"),
        ("masks", ("--picture", "out.png"), "--picture belongs to one mask"),
        ("masks/frame_9.png", ("--track",), "is one file"),
        ("masks", ("--smooth", "smooth.json"), "--smooth belongs to --track"),
        ("masks/*.tif", (), "no file matches"),
        ("out", (), "no masks in the folder"),
        ("nowhere", (), "there is no folder of masks"),
    ],
)
def test_what_cannot_be_is_said_once(film, capsys, mask, options, sentence):
    (film / "out").mkdir()

    assert solve(film, *options, mask=mask) == 2

    captured = capsys.readouterr()
    assert sentence in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


@pytest.mark.parametrize(
    ("option", "value", "needed"),
    [
        *(("--jobs", value, "a whole number from 1 on") for value in ("0", "-1", "two")),
        *(("--threshold", value, "a number from 0 to 1") for value in ("7", "nan", "bright")),
    ],
)
def test_numbers_out_of_range_are_refused_before_any_mask(film, option, value, needed, capsys):
    with pytest.raises(SystemExit, match="2"):
        solve(film, option, value)

    assert f"argument {option}: must be {needed}, got '{value}'" in capsys.readouterr().err
