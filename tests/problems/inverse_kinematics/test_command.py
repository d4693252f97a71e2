# SPDX-License-Identifier: Apache-2.0
"""`solver_core solve inverse_kinematics` on the demo that ships."""

import json
import os
import re
from dataclasses import replace

import numpy as np
import pytest

from solver_core import rotations
from solver_core.command.cli import main
from solver_core.locking import one_of_many_writers, sole_writer
from solver_core.problems.inverse_kinematics import command
from solver_core.problems.inverse_kinematics.files.bvh import read_bvh, write_bvh
from solver_core.problems.inverse_kinematics.files.motions import write_motion
from solver_core.problems.inverse_kinematics.files.targets import read_targets


@pytest.fixture
def options(demo_dir) -> list[str]:
    files = ["--skeleton", str(demo_dir / "ik_rest.bvh"), "--targets", str(demo_dir / "ik_targets.csv")]
    return ["solve", "inverse_kinematics", *files]


def test_solve_writes_motion_pictures_and_result(options, demo_dir, tmp_path, capsys):
    pytest.importorskip("PIL")
    names = {
        "--out": "out.bvh",
        "--picture": "out.png",
        "--animation": "out.gif",
        "--json": "out.json",
        "--write-map": "map.json",
    }
    files = {option: tmp_path / name for option, name in names.items()}

    code = main([*options, *(str(part) for pair in files.items() for part in pair)])

    assert code == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads(files["--json"].read_text())
    assert printed["position_mean_cm"] < 0.01
    assert all(path.stat().st_size > 0 for path in files.values())
    motion, truth = read_bvh(files["--out"]), read_bvh(demo_dir / "ik_truth.bvh")
    assert motion.skeleton.names == truth.skeleton.names
    assert motion.frame_time == pytest.approx(truth.frame_time)  # csv files state none, so that of the skeleton's file
    np.testing.assert_allclose(motion.root, truth.root, atol=1e-4)
    hips = rotations.angle_between(motion.rotations[:, 0], truth.rotations[:, 0]).max()
    assert np.degrees(hips) < 1


def test_solve_takes_an_edited_map_and_limits(options, tmp_path, capsys):
    (tmp_path / "map.json").write_text('{"body": {"hip": "Hips", "lThigh": "LeftUpLeg", "rThigh": "RightUpLeg"}}')
    (tmp_path / "limits.json").write_text('{"Head": {"x": [0, 0], "y": [0, 0], "z": [0, 0]}}')
    more = ["--map", "map.json", "--limits", "limits.json", "--out", "out.bvh", "--smooth", "1"]

    main([*options, *(str(tmp_path / part) if "." in part else part for part in more)])

    capsys.readouterr()
    motion = read_bvh(tmp_path / "out.bvh")
    assert np.degrees(rotations.rotvec_from_wxyz(motion.rotations[:, motion.skeleton.index("Head")])).max() < 1e-3


def test_solve_takes_the_unit_of_a_skeleton_that_would_pass_for_another(demo_dir, tmp_path, capsys):
    giant = read_bvh(demo_dir / "ik_rest.bvh")
    write_bvh(tmp_path / "giant.bvh", replace(giant, skeleton=giant.skeleton.scaled(20), metres_per_unit=1.0))
    targets = read_targets(demo_dir / "ik_targets.csv")
    np.savez(tmp_path / "giant.npz", positions=20 * targets.positions, names=targets.names)
    files = ["--skeleton", str(tmp_path / "giant.bvh"), "--targets", str(tmp_path / "giant.npz")]

    codes = [main(["solve", "ik", *files, *unit]) for unit in ([], ["--skeleton-unit", "0"], ["--skeleton-unit", "1"])]

    captured = capsys.readouterr()
    assert codes == [2, 2, 0]
    assert "100 times larger than the skeleton" in captured.err
    assert "--skeleton-unit must be a positive number" in captured.err


@pytest.mark.parametrize("option", ["--out", "--write-map", "--picture", "--json"])
def test_solve_exits_with_2_and_a_sentence_when_it_cannot_write(option, options, tmp_path, capsys):
    pytest.importorskip("PIL")

    code = main([*options, option, str(tmp_path / "nowhere" / "result.png")])

    assert code == 2
    assert "cannot write" in capsys.readouterr().err


def test_solve_bridges_a_frame_without_targets_and_says_so(options, demo_dir, tmp_path, capsys):
    header, *frames = (demo_dir / "ik_targets.csv").read_text().splitlines()
    frames[5] = "," * header.count(",")
    (tmp_path / "gap.csv").write_text("\n".join([header, *frames[:10]]))

    code = main([*options[:4], "--targets", str(tmp_path / "gap.csv")])

    captured = capsys.readouterr()
    assert code == 0
    assert "frame 5) and were bridged over time" in captured.out


def test_solve_says_nothing_but_the_error_for_targets_that_are_all_missing(options, demo_dir, tmp_path, capsys):
    header, *_ = (demo_dir / "ik_targets.csv").read_text().splitlines()
    (tmp_path / "gap.csv").write_text("\n".join([header, "," * header.count(",")]))

    code = main([*options[:4], "--targets", str(tmp_path / "gap.csv")])

    captured = capsys.readouterr()
    assert (code, captured.out, captured.err.count("\n")) == (2, "", 1)
    assert "no frame has a target at all" in captured.err


def test_solve_brings_a_larger_body_to_the_size_of_the_skeleton_and_says_so(options, demo_dir, tmp_path, capsys):
    header, *frames = (demo_dir / "ik_targets.csv").read_text().splitlines()
    larger = 1.15 * np.array([frame.split(",") for frame in frames[:5]], float)
    lines = [",".join(str(value) for value in frame) for frame in larger]
    (tmp_path / "larger.csv").write_text("\n".join([header, *lines]))

    code = main([*options[:4], "--targets", str(tmp_path / "larger.csv"), "--json", str(tmp_path / "result.json")])

    result = json.loads((tmp_path / "result.json").read_text())
    assert code == 0
    assert result["position_mean_cm"] < 0.01
    assert any("1.15 times" in notice for notice in result["notices"])


def test_solve_exits_with_1_and_a_reason_when_the_targets_are_out_of_reach(options, tmp_path, capsys, demo_dir):
    header, frame, *_ = (demo_dir / "ik_targets.csv").read_text().splitlines()
    stretched = np.array(frame.split(","), float).reshape(-1, 3)
    stretched = stretched[0] + 1.5 * (stretched - stretched[0])
    (tmp_path / "far.csv").write_text(header + "\n" + ",".join(str(value) for value in stretched.reshape(-1)) + "\n")

    code = main([*options[:4], "--targets", str(tmp_path / "far.csv"), "--scale", "none"])

    assert code == 1
    assert "do not meet their targets: they are" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ('{"body": {"hip": "Hip"}}', "the map names 'Hip', which the skeleton does not have; did you mean 'Hips'?"),
        ('{"targets": {"Hips": "Pelvis"}}', "the map names 'Pelvis', which the targets file does not have"),
        ("{", "is not valid JSON"),
    ],
)
def test_solve_exits_with_2_and_a_sentence_for_a_map_it_cannot_use(content, sentence, options, tmp_path, capsys):
    (tmp_path / "map.json").write_text(content)

    code = main([*options, "--map", str(tmp_path / "map.json")])

    assert code == 2
    assert sentence in capsys.readouterr().err


def test_solve_writes_what_other_programs_read(options, tmp_path, capsys):
    for kind in ("bvh", "npz", "csv"):
        assert main([*options, "--out", str(tmp_path / f"motion.{kind}")]) == 0

    capsys.readouterr()
    motion, arrays = read_bvh(tmp_path / "motion.bvh"), np.load(tmp_path / "motion.npz")
    table = read_targets(tmp_path / "motion.csv")
    assert tuple(arrays["names"]) == motion.skeleton.names
    assert np.degrees(rotations.angle_between(arrays["rotations"], motion.rotations)).max() < 1e-3
    np.testing.assert_allclose(arrays["positions"], motion.positions(), atol=1e-5)
    np.testing.assert_allclose(read_targets(tmp_path / "motion.npz").positions, arrays["positions"])
    np.testing.assert_allclose(table.positions, arrays["positions"], atol=1e-5)
    assert table.frame_time == pytest.approx(motion.frame_time, rel=1e-4)


def test_solve_refuses_a_motion_of_another_kind_before_it_solves(options, tmp_path, capsys):
    code = main([*options, "--out", str(tmp_path / "motion.fbx")])

    assert code == 2
    assert "must end in .bvh, .npz, .csv" in capsys.readouterr().err


def test_solve_takes_unit_axis_and_rate_of_the_targets(demo_dir, tmp_path, capsys):
    targets = read_targets(demo_dir / "ik_targets.csv")
    standing = 100 * targets.positions @ np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]).T  # z up, centimetres
    titles = [f"{name}_{axis}" for name in targets.names for axis in "xyz"]
    np.savetxt(tmp_path / "t.csv", standing.reshape(len(standing), -1), delimiter=",", header=",".join(titles), comments="")
    files = [
        "--skeleton",
        str(demo_dir / "ik_rest.bvh"),
        "--targets",
        str(tmp_path / "t.csv"),
        "--out",
        str(tmp_path / "o.bvh"),
    ]

    code = main(["solve", "ik", *files, "--unit", "cm", "--up", "z", "--fps", "50"])

    capsys.readouterr()
    assert code == 0
    motion, truth = read_bvh(tmp_path / "o.bvh"), read_bvh(demo_dir / "ik_truth.bvh")
    assert motion.frame_time == 0.02
    np.testing.assert_allclose(motion.positions(), truth.positions(), atol=1e-3)


def test_a_written_map_is_read_back(options, tmp_path, capsys):
    main([*options, "--write-map", str(tmp_path / "map.json"), "--out", str(tmp_path / "a.bvh")])

    code = main([*options, "--map", str(tmp_path / "map.json"), "--out", str(tmp_path / "b.bvh")])

    capsys.readouterr()
    assert code == 0
    assert (tmp_path / "a.bvh").read_text() == (tmp_path / "b.bvh").read_text()


@pytest.fixture
def clips(demo_dir, tmp_path):
    """A folder with a good clip, a bad one and one that cannot be read."""
    folder = tmp_path / "clips"
    folder.mkdir()
    header, *frames = (demo_dir / "ik_targets.csv").read_text().splitlines()
    (folder / "good.csv").write_text("\n".join([header, *frames[:3]]))
    (folder / "good.txt").write_text("\n".join([header, *frames[3:5]]))
    values = np.array(frames[0].split(","), float).reshape(-1, 3)
    (folder / "far.csv").write_text(header + "\n" + ",".join(map(str, values[::-1].ravel())))  # each at another's place
    (folder / "broken.csv").write_text("nothing\n")
    (folder / "notes.md").write_text("not a clip")
    return folder


def solved(folder, demo_dir, capsys, *more):
    """Exit code and records by clip of a folder."""
    out = folder.with_name("solved")
    code = main(
        ["solve", "ik", "--skeleton", str(demo_dir / "ik_rest.bvh"), "--targets", str(folder), "--out", str(out), *more]
    )
    return code, {record["clip"]: record for record in map(json.loads, capsys.readouterr().out.splitlines())}


def test_a_folder_has_a_motion_and_a_record_for_each_clip(clips, demo_dir, capsys):
    code, records = solved(clips, demo_dir, capsys)

    out = clips.with_name("solved")
    assert code == 1
    assert {clip: record["status"] for clip, record in records.items()} == {
        "good.csv": "done",
        "good.txt": "done",
        "far.csv": "failed",
        "broken.csv": "failed",
    }
    assert "name_x, name_y and name_z" in records["broken.csv"]["error"]
    assert records["far.csv"]["verdict"] == "bad"
    assert sorted(path.name for path in out.iterdir()) == sorted(
        ["good.csv.bvh", "good.csv.json", "good.txt.bvh", "good.txt.json", "far.bvh", "far.json", "broken.json"]
    )
    assert json.loads((out / "far.json").read_text()) == records["far.csv"]
    assert read_bvh(out / "good.csv.bvh").num_frames == 3
    assert records["good.csv"]["matching"]["left_out"] == []


def test_a_second_run_solves_only_what_changed_or_failed(clips, demo_dir, capsys):
    solved(clips, demo_dir, capsys)
    out = clips.with_name("solved")
    (out / "good.txt.bvh").write_text("damaged")

    _, again = solved(clips, demo_dir, capsys)
    _, smoother = solved(clips, demo_dir, capsys, "--smooth", "1")

    assert {clip: record["status"] for clip, record in again.items() if clip.startswith("good")} == {
        "good.csv": "skipped",
        "good.txt": "done",
    }
    assert again["good.csv"]["verdict"] == "good"
    assert again["far.csv"]["status"] == "failed"
    assert smoother["good.csv"]["status"] == "done"


def test_clips_are_solved_on_several_cores_with_the_same_result(clips, demo_dir, capsys):
    _, one = solved(clips, demo_dir, capsys)
    motions = {path.name: path.read_bytes() for path in clips.with_name("solved").glob("*.bvh")}
    for path in clips.with_name("solved").iterdir():
        path.unlink()

    _, two = solved(clips, demo_dir, capsys, "--jobs", "2")

    assert one.keys() == two.keys()
    assert {path.name: path.read_bytes() for path in clips.with_name("solved").glob("*.bvh")} == motions


def test_shards_solve_every_clip_once_and_share_a_folder(clips, demo_dir, capsys):
    _, whole = solved(clips, demo_dir, capsys)
    out = clips.with_name("solved")
    motions = {path.name: path.read_bytes() for path in out.glob("*.bvh")}
    for path in out.iterdir():
        path.unlink()

    with sole_writer(out, ".solver_core.shard-3-of-3.lock"):  # another machine at work
        parts = [solved(clips, demo_dir, capsys, "--shard", f"{number}/3")[1] for number in (1, 2)]
    parts.append(solved(clips, demo_dir, capsys, "--shard", "3/3")[1])

    assert sorted(clip for part in parts for clip in part) == sorted(whole)
    assert {path.name: path.read_bytes() for path in out.glob("*.bvh")} == motions


@pytest.mark.parametrize(("held", "more"), [(one_of_many_writers, ()), (sole_writer, ("--shard", "1/2"))])
def test_a_whole_run_and_a_shard_keep_each_other_out(held, more, clips, demo_dir, capsys):
    out = clips.with_name("solved")
    out.mkdir()

    with held(out):
        code = main(["solve", "ik", f"--skeleton={demo_dir / 'ik_rest.bvh'}", f"--targets={clips}", f"--out={out}", *more])

    assert code == 2
    assert "is writing to the folder" in capsys.readouterr().err


@pytest.mark.parametrize("flags", [["--jobs", "2"], ["--cluster", "tcp://x:1"], ["--shard", "1/2"], ["--format", "bvh"]])
def test_what_belongs_to_a_folder_is_refused_for_one_clip(flags, demo_dir, capsys):
    files = ["--skeleton", str(demo_dir / "ik_rest.bvh"), "--targets", str(demo_dir / "ik_targets.csv")]

    code = main(["solve", "ik", *files, *flags])

    assert code == 2
    assert f"{flags[0]} is for a folder of clips, and" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "sentence"),
    [(["--picture", "a.png"], "--picture belongs to one clip"), ([], "give --out, a folder")],
)
def test_what_belongs_to_one_clip_is_refused_for_a_folder(more, sentence, clips, demo_dir, capsys):
    files = ["--skeleton", str(demo_dir / "ik_rest.bvh"), "--targets", str(clips)]

    code = main(["solve", "ik", *files, *more])

    assert code == 2
    assert sentence in capsys.readouterr().err


def test_a_folder_without_clips_is_refused_with_a_sentence(demo_dir, tmp_path, capsys):
    files = ["--skeleton", str(demo_dir / "ik_rest.bvh"), "--targets", str(tmp_path), "--out", str(tmp_path / "out")]

    code = main(["solve", "ik", *files])

    assert code == 2
    assert "there are no clips in the folder" in capsys.readouterr().err


@pytest.mark.skipif(os.name != "posix", reason="links and pipes")
def test_clips_that_are_no_files_fail_and_stop_no_other(clips, demo_dir, capsys):
    (clips / "gone.csv").symlink_to("nowhere")
    os.mkfifo(clips / "pipe.csv")

    code, records = solved(clips, demo_dir, capsys)

    assert code == 1
    assert records["good.csv"]["status"] == "done"
    assert "No such file" in records["gone.csv"]["error"]
    assert "a device or a pipe" in records["pipe.csv"]["error"]


def test_motions_beside_their_targets_overwrite_none(clips, demo_dir, capsys):
    code = main(
        [
            "solve",
            "ik",
            "--skeleton",
            str(demo_dir / "ik_rest.bvh"),
            "--targets",
            str(clips),
            "--out",
            str(clips),
            "--format",
            "csv",
        ]
    )

    assert code == 2
    assert "would overwrite" in capsys.readouterr().err
    assert (clips / "far.csv").read_text().startswith("Hips_x")


def test_a_motion_of_somebody_else_is_not_overwritten(clips, demo_dir, capsys):
    out = clips.with_name("solved")
    out.mkdir()
    (out / "far.bvh").write_text("HIERARCHY of another program")

    code, _ = solved(clips, demo_dir, capsys)

    assert code == 2
    assert (out / "far.bvh").read_text() == "HIERARCHY of another program"
    assert sorted(path.name for path in out.iterdir()) == ["far.bvh"]


def test_a_motion_whose_record_an_interrupted_run_had_not_finished_is_written_anew(clips, demo_dir, capsys, monkeypatch):
    def write_and_stop(path, motion):
        write_motion(path, motion)
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(command, "write_motion", write_and_stop)
        code, _ = solved(clips, demo_dir, capsys)
    assert code == 130
    assert list(clips.with_name("solved").glob("*.bvh"))

    _, records = solved(clips, demo_dir, capsys)

    assert records["good.csv"]["status"] == "done"


def test_steps_of_a_folder_name_their_clip(clips, demo_dir, capsys):
    files = ["--skeleton", demo_dir / "ik_rest.bvh", "--targets", clips, "--out", clips.with_name("solved")]

    main(["solve", "ik", *map(str, files), "--verbose"])

    assert re.search(r"^solver_core: good\.txt: \w[\w ]*, [\d.]+ cm off$", capsys.readouterr().err, re.MULTILINE)


def test_a_motion_does_not_overwrite_the_skeleton(clips, demo_dir, capsys):
    out = clips.with_name("solved")
    out.mkdir()
    skeleton = out / "far.bvh"
    skeleton.write_bytes((demo_dir / "ik_rest.bvh").read_bytes())

    code = main(["solve", "ik", "--skeleton", str(skeleton), "--targets", str(clips), "--out", str(out)])

    assert code == 2
    assert "the motion of far.csv would overwrite --skeleton" in capsys.readouterr().err
    assert skeleton.read_bytes() == (demo_dir / "ik_rest.bvh").read_bytes()


def test_clips_whose_motions_would_be_one_file_are_refused(clips, demo_dir, capsys):
    (clips / "good.csv.txt").write_bytes((clips / "good.csv").read_bytes())  # beside good.csv and good.txt

    code, _ = solved(clips, demo_dir, capsys)

    assert code == 2


def test_a_second_run_into_the_same_folder_is_refused(clips, demo_dir, capsys):
    out = clips.with_name("solved")
    out.mkdir()

    with sole_writer(out):
        code = main(["solve", "ik", "--skeleton", str(demo_dir / "ik_rest.bvh"), "--targets", str(clips), "--out", str(out)])

    assert code == 2
    assert f"process {os.getpid()}" in capsys.readouterr().err
