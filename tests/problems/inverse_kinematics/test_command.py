"""`solver_core solve inverse_kinematics` on the demo that ships."""

import json
from dataclasses import replace

import numpy as np
import pytest

from solver_core import rotations
from solver_core.command.cli import main
from solver_core.problems.inverse_kinematics.files.bvh import read_bvh, write_bvh
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

    codes = [main(["solve", "ik", *files, *unit]) for unit in ([], ["--unit", "0"], ["--unit", "1"])]

    captured = capsys.readouterr()
    assert codes == [2, 2, 0]
    assert "100 times larger than the skeleton" in captured.err
    assert "--unit must be a positive number" in captured.err


@pytest.mark.parametrize("option", ["--out", "--write-map", "--picture", "--json"])
def test_solve_exits_with_2_and_a_sentence_when_it_cannot_write(option, options, tmp_path, capsys):
    pytest.importorskip("PIL")

    code = main([*options, option, str(tmp_path / "nowhere" / "result.png")])

    assert code == 2
    assert "cannot write" in capsys.readouterr().err


def test_solve_says_nothing_but_the_error_for_a_frame_without_targets(options, demo_dir, tmp_path, capsys):
    header, frame, *_ = (demo_dir / "ik_targets.csv").read_text().splitlines()
    (tmp_path / "gap.csv").write_text("\n".join([header, frame, "," * header.count(",")]))

    code = main([*options[:4], "--targets", str(tmp_path / "gap.csv")])

    captured = capsys.readouterr()
    assert (code, captured.out, captured.err.count("\n")) == (2, "", 1)
    assert "frame 1 has no target at all" in captured.err


def test_solve_exits_with_1_and_a_reason_when_the_targets_are_out_of_reach(options, tmp_path, capsys, demo_dir):
    header, frame, *_ = (demo_dir / "ik_targets.csv").read_text().splitlines()
    stretched = np.array(frame.split(","), float).reshape(-1, 3)
    stretched = stretched[0] + 1.5 * (stretched - stretched[0])
    (tmp_path / "far.csv").write_text(header + "\n" + ",".join(str(value) for value in stretched.reshape(-1)) + "\n")

    code = main([*options[:4], "--targets", str(tmp_path / "far.csv")])

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
