# SPDX-License-Identifier: Apache-2.0
"""Targets from the files of captures, estimators and generators."""

import json
from pathlib import Path

import numpy as np
import pytest

from solver_core import rotations
from solver_core.errors import ConfigError, ObservationError, SolverError
from solver_core.problems.inverse_kinematics.files.arrays import MEAN_BODY
from solver_core.problems.inverse_kinematics.files.bvh import read_bvh
from solver_core.problems.inverse_kinematics.files.landmarks import MODELS
from solver_core.problems.inverse_kinematics.files.targets import AXES, NamedTargets, read_targets
from solver_core.problems.inverse_kinematics.names.mapping import match_targets
from solver_core.problems.inverse_kinematics.placing import fit_to_skeleton
from solver_core.problems.inverse_kinematics.solve import solve_inverse_kinematics
from solver_core.solution import Verdict

CASES = Path(__file__).parents[2] / "data" / "ik"
SMPL = MODELS[0].names


@pytest.fixture(scope="module")
def motion():
    return read_bvh(Path(__file__).parents[3] / "assets" / "demo" / "ik_truth.bvh")


@pytest.fixture(scope="module")
def points(motion):
    """Joints of the demo's figure in the order of HumanML3D, (72, 22, 3)."""
    of = {"pelvis": "Hips", "spine1": "Spine", "spine2": "Spine1", "spine3": "Spine1", "neck": "Neck", "head": "Head"}
    limbs = {"hip": "UpLeg", "knee": "Leg", "ankle": "Foot", "foot": "ToeBase", "collar": "Shoulder", "shoulder": "Arm"}
    limbs |= {"elbow": "ForeArm", "wrist": "Hand"}
    of |= {f"{side}_{name}": side.title() + joint for side in ("left", "right") for name, joint in limbs.items()}
    return motion.positions()[:, [motion.skeleton.index(of[name]) for name in SMPL]]


@pytest.mark.parametrize(
    "file", ["walk.trc", "dot_axis.csv", "freemocap_body.csv", "humanml3d_22.npy", "z_up.csv", "landmarks.csv", "y_down.csv"]
)
def test_handed_files_are_read_and_met_upright(file, demo_dir):
    skeleton = read_bvh(demo_dir / "ik_rest.bvh").skeleton

    result = solve_inverse_kinematics(read_targets(CASES / file), skeleton)

    assert result.verdict is Verdict.GOOD
    assert np.nanmax(result.position_error) < 2e-4
    feet = [skeleton.index(f"{side}Foot") for side in ("Left", "Right")]
    assert {skeleton.names[node] for node in np.flatnonzero(np.isfinite(result.position_error[0]))} > {"LeftArm", "RightFoot"}
    height = read_targets(demo_dir / "ik_truth.bvh").positions[0, skeleton.root, 1]
    assert result.root[0, 1] == pytest.approx(height, abs=1.0)
    assert (result.position_error[:, feet] < 2e-4).all()


def test_points_without_names_that_no_program_has_are_refused_with_the_way_out():
    with pytest.raises(ObservationError, match=r"17 points have no names .*MediaPipe.* columns name_x, name_y, name_z"):
        read_targets(CASES / "mediapipe_world.json")


def test_names_that_match_no_joint_are_said(demo_dir):
    result = solve_inverse_kinematics(read_targets(CASES / "landmarks.csv"), read_bvh(demo_dir / "ik_rest.bvh").skeleton)

    assert any("left out the targets nose, left_ear, right_ear" in notice for notice in result.notices)
    assert result.matching.left_out == ("nose", "left_ear", "right_ear")


HEADERS = {
    "underscores": ("hip_x,hip_y,hip_z", ","),
    "dots": ("hip.x;hip.y;hip.z", ";"),
    "spaces and tabs": ("hip X\thip Y\thip Z", "\t"),
    "white space": ("hip_x hip_y hip_z", " "),
    "axis first": ("x_hip,y_hip,z_hip", ","),
    "capital axes": ("hipX,hipY,hipZ", ","),
    "position": ("hip_position_x,hip_position_y,hip_position_z", ","),
    "colons": ("hip:x|hip:y|hip:z", "|"),
}


@pytest.mark.parametrize("way", HEADERS)
def test_tables_are_read_whatever_separates_their_columns(way, tmp_path):
    header, separator = HEADERS[way]
    (tmp_path / "t.csv").write_text("\n".join([header, separator.join(["1", "2.5", "3"]), separator.join(["4", "5", "6"])]))

    targets = read_targets(tmp_path / "t.csv")

    assert targets.names == ("hip",)
    np.testing.assert_array_equal(targets.positions[:, 0], [[1, 2.5, 3], [4, 5, 6]])


def test_a_table_of_a_spreadsheet_with_decimal_commas_is_read(tmp_path):
    (tmp_path / "t.csv").write_text("\ufefftime;hip_x;hip_y;hip_z\n0;1,5;2;3\n0,02;;;\n0,04;4;5;6,25\n", encoding="utf-8")

    targets = read_targets(tmp_path / "t.csv")

    assert targets.frame_time == pytest.approx(0.02)
    np.testing.assert_array_equal(targets.positions[:, 0], [[1.5, 2, 3], [np.nan] * 3, [4, 5, 6.25]])


@pytest.mark.parametrize(("title", "step", "seconds"), [("time", 0.01, 0.01), ("timestamp", 10, 0.01), ("time_ms", 40, 0.04)])
def test_a_column_of_times_gives_the_rate(title, step, seconds, tmp_path):
    rows = [f"{frame},{frame * step},high,1,2,3,0.9" for frame in range(4)]
    (tmp_path / "t.csv").write_text("\n".join([f"frame,{title},quality,hip_x,hip_y,hip_z,hip_likelihood", *rows]))

    targets = read_targets(tmp_path / "t.csv")

    assert targets.frame_time == pytest.approx(seconds)
    assert targets.names == ("hip",)


def test_rotations_beside_positions_are_no_points(tmp_path):
    (tmp_path / "t.csv").write_text("hip_pos_x,hip_pos_y,hip_pos_z,hip_rot_x,hip_rot_y,hip_rot_z\n1,2,3,90,0,0\n")

    assert read_targets(tmp_path / "t.csv").names == ("hip",)


def test_a_table_with_a_line_a_point_is_read(tmp_path):
    lines = [
        f"{frame},{0.04 * frame},{name},{frame},{place},0" for frame in range(3) for place, name in enumerate(("hip", "head"))
    ]
    (tmp_path / "long.csv").write_text("\n".join(["frame,time,landmark_name,x,y,z", *lines[:-1]]))

    targets = read_targets(tmp_path / "long.csv")

    assert (targets.names, targets.frame_time) == (("hip", "head"), pytest.approx(0.04))
    np.testing.assert_array_equal(targets.positions[1], [[1, 0, 0], [1, 1, 0]])
    assert np.isnan(targets.positions[2, 1]).all()  # the last line is missing


def test_deeplabcut_is_read(tmp_path):
    text = "scorer,net,net,net,net,net,net,net\nbodyparts,hip,hip,hip,hip,head,head,head\n"
    text += "coords,x,y,z,likelihood,x,y,z\n0,1,2,3,0.9,4,5,6\n1,1,2,3,0.9,4,5,7\n"
    (tmp_path / "dlc.csv").write_text(text)

    targets = read_targets(tmp_path / "dlc.csv")

    assert targets.names == ("hip", "head")
    np.testing.assert_array_equal(targets.positions[1], [[1, 2, 3], [4, 5, 7]])


def test_of_several_animals_the_first_is_read_and_that_said(tmp_path):
    text = "scorer,n,n,n,n,n,n\nindividuals,a,a,a,b,b,b\nbodyparts,hip,hip,hip,hip,hip,hip\ncoords,x,y,z,x,y,z\n0,1,2,3,4,5,6\n"
    (tmp_path / "dlc.csv").write_text(text)

    targets = read_targets(tmp_path / "dlc.csv")

    np.testing.assert_array_equal(targets.positions, [[[1, 2, 3]]])
    assert targets.notices == ("a is read, b left out",)


def test_trc_keeps_rate_unit_and_gaps(tmp_path):
    head = "PathFileType\t4\t(X/Y/Z)\tw.trc\nDataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\n50\t50\t2\t2\tmm\n"
    text = (
        head + "Frame#\tTime\tHip\t\t\tHead\t\t\n\t\tX1\tY1\tZ1\tX2\tY2\tZ2\n\n1\t0\t1\t2\t3\t4\t5\t6\n2\t.02\t1\t2\t3\t\t\t\n"
    )
    (tmp_path / "w.trc").write_text(text)

    targets = read_targets(tmp_path / "w.trc")

    assert (targets.names, targets.frame_time, targets.is_unit_known) == (("Hip", "Head"), 0.02, True)
    np.testing.assert_allclose(
        targets.positions, [[[0.001, 0.002, 0.003], [0.004, 0.005, 0.006]], [[0.001, 0.002, 0.003], [np.nan] * 3]]
    )


def test_c3d_keeps_labels_rate_unit_and_gaps(tmp_path):
    ezc3d = pytest.importorskip("ezc3d", reason="needs a writer of C3D files: pip install ezc3d")
    content = ezc3d.c3d()
    content["parameters"]["POINT"]["RATE"]["value"] = [100]
    content["parameters"]["POINT"]["LABELS"]["value"] = ("man:LASI", "*4")
    content["parameters"]["POINT"]["UNITS"]["value"] = ("mm",)
    places = np.arange(1.0, 13.0).reshape(3, 2, 2)  # axes, markers, frames
    places[:, 0, 1] = np.nan
    content["data"]["points"] = np.concatenate([places, np.ones((1, 2, 2))])
    content.write(str(tmp_path / "m.c3d"))

    targets = read_targets(tmp_path / "m.c3d")

    assert (targets.names, targets.frame_time, targets.is_unit_known) == (("man:LASI",), 0.01, True)
    np.testing.assert_allclose(targets.positions[0, 0], [0.001, 0.005, 0.009])
    assert np.isnan(targets.positions[1]).all()


def c3d_bytes(processor: int, places: np.ndarray, scale: float) -> bytes:
    """A C3D file of one marker, "hip", at places (F, 3): whole numbers times the scale, or floats where it is negative."""
    order = ">" if processor == 86 else "<"

    def number(value: float) -> bytes:
        if processor != 85:
            return np.array(value, f"{order}f4").tobytes()
        return np.array([4 * value], "<f4").view("<u2")[::-1].tobytes()

    def ints(*values: int) -> bytes:
        return np.array(values, f"{order}i2").tobytes()

    header = bytes([2, 0x50]) + ints(1, 0, 1, len(places), 0) + number(scale) + ints(3, 0) + number(50)
    label = b"\x06\x01LABELS" + ints(10) + b"\xff\x02\x03\x01hip" + b"\0"
    parameters = bytes([1, 0x50, 1, processor]) + b"\x05\xffPOINT" + ints(3) + b"\0" + label + b"\0\0"
    rows = np.column_stack([places, np.zeros(len(places))])
    data = b"".join(map(number, rows.ravel())) if scale < 0 else ints(*np.round(rows / scale).astype(int).ravel())
    return header.ljust(512, b"\0") + parameters.ljust(512, b"\0") + data


@pytest.mark.parametrize("scale", [-1.0, 0.5])
@pytest.mark.parametrize("processor", [84, 85, 86])
def test_c3d_is_read_as_any_processor_wrote_it(processor, scale, tmp_path):
    places = np.array([[1.0, -2, 3], [4.5, 5, 6]])
    (tmp_path / "m.c3d").write_bytes(c3d_bytes(processor, places, scale))

    targets = read_targets(tmp_path / "m.c3d", unit="m", up="y")

    assert (targets.names, targets.frame_time) == (("hip",), 0.02)
    np.testing.assert_allclose(targets.positions[:, 0], places)


def test_c3d_that_is_cut_off_is_a_sentence(tmp_path):
    """Wherever that is."""
    whole = c3d_bytes(84, np.array([[1.0, 2, 3], [4, 5, 6]]), -1.0)
    for length in range(0, len(whole), 3):
        (tmp_path / "m.c3d").write_bytes(whole[:length])
        with pytest.raises(ObservationError, match=r"m\.c3d: it is (cut off|no C3D file)"):
            read_targets(tmp_path / "m.c3d")


@pytest.mark.parametrize("order", ["frames first", "frames last", "one of several", "flat"])
def test_arrays_of_joints_are_named_by_their_number(order, points, tmp_path):
    arrays = {
        "frames first": points,
        "frames last": points.transpose(1, 2, 0),
        "one of several": np.stack([points.transpose(1, 2, 0)] * 2),
        "flat": points.reshape(len(points), -1),
    }
    np.save(tmp_path / "m.npy", arrays[order])

    targets = read_targets(tmp_path / "m.npy")

    assert targets.names == SMPL
    np.testing.assert_array_equal(targets.positions, points)
    assert "taken for those of HumanML3D" in targets.notices[0]


def test_what_mdm_writes_is_read_and_no_code_in_it_runs(points, tmp_path):
    np.save(
        tmp_path / "results.npy",
        {"motion": points.transpose(1, 2, 0)[None], "text": ["a man walks"], "lengths": np.array([72])},
    )

    targets = read_targets(tmp_path / "results.npy")

    np.testing.assert_array_equal(targets.positions, points)
    np.save(tmp_path / "bad.npy", {"motion": Path(tmp_path)})
    with pytest.raises(ObservationError, match="which is no array"):
        read_targets(tmp_path / "bad.npy")


def test_features_of_humanml3d_give_the_joints_back(points, tmp_path):
    """The features are made as its authors do: relative to a root that turns about the vertical and goes along the floor."""
    across = points[:, 1] - points[:, 2]
    facing = np.arctan2(-across[:, 2], across[:, 0])  # turn about y that takes the root's x to across
    world_from_root = rotations.wxyz_from_rotvec(np.stack([0 * facing, facing, 0 * facing], axis=1))
    root_from_world = rotations.inverse(world_from_root)
    origin = points[0, 0] * [1, 0, 1]
    start = root_from_world[0]
    moved = rotations.rotate(start, points - origin)  # the first frame faces z at the origin
    turns = rotations.multiply(start[None].repeat(72, 0), world_from_root)
    features = np.zeros((72, 263))
    half = -np.unwrap(facing - facing[0]) / 2  # they store half the turn from the world to the root
    features[:-1, 0] = np.diff(half)
    steps = np.diff(moved[:, 0], axis=0)
    features[:-1, [1, 2]] = rotations.rotate(rotations.inverse(turns[1:]), steps)[:, [0, 2]]
    features[:, 3] = moved[:, 0, 1]
    local = moved[:, 1:] - moved[:, :1] * [1, 0, 1]
    features[:, 4:67] = rotations.rotate(rotations.inverse(turns)[:, None], local).reshape(72, -1)
    np.save(tmp_path / "new_joint_vecs.npy", features)

    targets = read_targets(tmp_path / "new_joint_vecs.npy")

    assert (targets.names, targets.frame_time, targets.up) == (SMPL, 0.05, "y")
    np.testing.assert_allclose(targets.positions, moved, atol=1e-6)


def test_amass_gives_the_joints_of_a_mean_body_in_its_poses(tmp_path, rng):
    poses = np.zeros((3, 156))
    poses[1, :3] = [np.pi / 2, 0, 0]  # the body lies on its back
    poses[2, 3 * list(MEAN_BODY).index("left_shoulder") :][:3] = [0, 0, -np.pi / 2]  # the left arm hangs
    np.savez(
        tmp_path / "a.npz", poses=poses, trans=np.ones((3, 3)), betas=np.zeros(16), gender="neutral", mocap_framerate=120.0
    )

    targets = read_targets(tmp_path / "a.npz")

    at = {name: targets.positions[:, number] - 1 for number, name in enumerate(targets.names)}
    assert targets.frame_time == pytest.approx(1 / 120)
    assert at["head"][0, 1] == pytest.approx(0.60, abs=0.02)
    np.testing.assert_allclose(at["head"][1], at["head"][0] @ np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]]), atol=1e-9)
    assert at["left_wrist"][2, 1] < at["left_shoulder"][2, 1] - 0.5
    assert "mean proportions" in targets.notices[0]
    assert (
        match_targets(targets.names, read_bvh(Path(__file__).parents[3] / "assets/demo/ik_rest.bvh").skeleton).missing_parts
        == ()
    )


def test_mediapipe_frames_are_read_whichever_key_they_are_under(points, tmp_path, rng):
    names = MODELS[-1].names
    body = rng.normal(size=(4, 33, 3))
    of = {
        f"{side}_{part}": f"{side}_{part}"
        for side in ("left", "right")
        for part in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
    }
    for name, own in of.items():
        body[:, names.index(name)] = points[:4, SMPL.index(own)]
    frames = [[dict(zip("xyz", point, strict=True)) | {"visibility": 0.9} for point in frame] for frame in body.tolist()]
    frames[1][0]["visibility"] = 0.0
    for number, content in enumerate((frames, {"fps": 25, "frames": [{"pose_world_landmarks": frame} for frame in frames]})):
        (tmp_path / f"{number}.json").write_text(json.dumps(content))

    plain, keyed = read_targets(tmp_path / "0.json"), read_targets(tmp_path / "1.json")

    assert plain.names == keyed.names == names
    assert (plain.frame_time, keyed.frame_time) == (None, 0.04)
    expected = body.copy()
    expected[1, 0] = np.nan
    np.testing.assert_array_equal(plain.positions, expected)
    np.testing.assert_array_equal(keyed.positions, expected)


def test_a_folder_of_openpose_is_read_frame_by_frame(points, tmp_path, rng):
    model = next(model for model in MODELS if model.model == "OpenPose BODY_25")
    parts = {"Shoulder": "shoulder", "Elbow": "elbow", "Wrist": "wrist", "Hip": "hip", "Knee": "knee", "Ankle": "ankle"}
    body = rng.normal(size=(3, 25, 3))
    for side, word in (("L", "left"), ("R", "right")):
        for part, own in parts.items():
            body[:, model.names.index(side + part)] = points[:3, SMPL.index(f"{word}_{own}")]
    body[:, model.names.index("MidHip")] = (body[:, model.names.index("LHip")] + body[:, model.names.index("RHip")]) / 2
    for number, frame in enumerate(body):
        flat = np.concatenate([frame, np.full((25, 1), 0.8)], axis=1).ravel().tolist()
        (tmp_path / f"clip_{number:03d}_keypoints.json").write_text(json.dumps({"people": [{"pose_keypoints_3d": flat}]}))

    targets = read_targets(tmp_path)

    assert targets.names == model.names
    np.testing.assert_allclose(targets.positions, body)


def test_named_points_of_json_keep_their_names(tmp_path):
    frames = [{"hip": [0, 1, 2], "head": {"x": 3, "y": 4, "z": 5}}, {"hip": [1, 1, 2], "head": [3, 4, 5]}]
    (tmp_path / "n.json").write_text(json.dumps({"frames": frames}))

    targets = read_targets(tmp_path / "n.json")

    assert targets.names == ("hip", "head")
    np.testing.assert_array_equal(targets.positions[1], [[1, 1, 2], [3, 4, 5]])


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.json", json.dumps([[{"x": 1, "y": 2}] * 17]), "points are in the image"),
        ("a.json", json.dumps([{"image_id": 1, "keypoints": [100.0, 200.0, 0.9] * 17}]), "points are in the image"),
        ("a.json", json.dumps([{"shoe": 3}]), "holds points that are known"),
        ("a.json", "[]", "holds no frames"),
        ("a.csv", "hip_x,hip_y\n1,2\n", "x and y only"),
        ("a.csv", "red,green\n1,2\n", "the columns name_x, name_y and name_z"),
        ("a.csv", "hip_x,hip_y,hip_z\n1,2\n", "line 2 does not have the 3 values"),
        ("a.csv", "hip_x,hip_y,hip_z\n1,2,a\n", "line 2: could not convert"),
        ("a.csv", "", "it is empty"),
        ("a.csv", "1,2,3,4,5,6\n1,2,3,4,5,6\n", "has no header"),
        ("a.trc", "Hello\n", "does not begin with PathFileType"),
        ("a.xyz", "", "must end in .bvh, .csv, .tsv, .txt, .trc, .c3d, .npy, .npz, .json"),
    ],
)
def test_what_holds_no_points_in_space_is_refused_with_a_sentence(name, content, sentence, tmp_path):
    (tmp_path / name).write_text(content)

    with pytest.raises(ObservationError, match=sentence):
        read_targets(tmp_path / name)


@pytest.mark.parametrize(
    ("array", "sentence"),
    [
        (np.zeros((5, 17, 2)), "points are in the image"),
        (np.zeros((5, 6, 3)), "6 points have no names"),
        (np.zeros((0, 22, 3)), "it is empty"),
        (np.array(["a"]), "values, no numbers"),
        (np.zeros(7), "frames x points x 3"),
    ],
)
def test_arrays_that_are_no_points_are_refused_with_a_sentence(array, sentence, tmp_path):
    np.save(tmp_path / "a.npy", array)

    with pytest.raises(ObservationError, match=sentence):
        read_targets(tmp_path / "a.npy")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"unit": -1}, "unit must be"),
        ({"unit": "furlong"}, "unit must be"),
        ({"up": "w"}, "up must be"),
        ({"fps": 0}, "fps must be"),
    ],
)
def test_unit_axis_and_rate_are_checked(arguments, sentence, demo_dir):
    with pytest.raises(ConfigError, match=sentence):
        read_targets(demo_dir / "ik_targets.csv", **arguments)


@pytest.mark.parametrize("factor", [1, 100, 1000])
def test_the_unit_is_guessed_by_the_size_and_that_said(factor, points, tmp_path):
    np.savez(tmp_path / "a.npz", joints=factor * points)

    targets = read_targets(tmp_path / "a.npz")

    np.testing.assert_allclose(targets.positions, points, rtol=1e-12)
    assert any("by their size" in notice for notice in targets.notices) == (factor > 1)


def test_what_the_user_states_is_taken(points, tmp_path):
    np.savez(tmp_path / "a.npz", joints=points)

    targets = read_targets(tmp_path / "a.npz", unit="cm", up="z", fps=50)

    np.testing.assert_allclose(targets.positions, points / 100)
    assert (targets.up, targets.frame_time, targets.is_unit_known) == ("z", 0.02, True)


def placed(positions: np.ndarray, motion, **stated):
    names = motion.skeleton.names
    targets = NamedTargets(names, positions, **stated)
    return fit_to_skeleton(targets, match_targets(names, motion.skeleton), motion.skeleton)


@pytest.mark.parametrize("up", AXES)
def test_bodies_are_turned_upright_whichever_axis_pointed_up(up, motion):
    axis, sign = "xyz".index(up[-1]), -1 if up[0] == "-" else 1
    turn = np.roll(np.eye(3), axis - 1, axis=0)
    turn = turn @ np.diag([sign, sign, 1])  # a rotation that takes y to the axis
    positions = motion.positions()

    found = placed(positions @ turn.T, motion)

    upright = found.positions[:, motion.skeleton.index("Head")] - found.positions[:, motion.skeleton.index("LeftFoot")]
    assert (upright[:, 1] > 0.5).all()
    distances = [np.linalg.norm(np.diff(one, axis=1), axis=2) for one in (found.positions, positions)]
    np.testing.assert_allclose(*distances, atol=1e-9)
    assert (found.notices == ()) == (up == "y")


def test_a_stated_axis_is_believed_even_of_a_body_that_lies(motion):
    lying = motion.positions() @ np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])

    left = placed(lying, motion, up="y")

    np.testing.assert_array_equal(left.positions, lying)
    assert left.notices == ()


@pytest.mark.parametrize("factor", [0.01, 100.0, 1000.0])
def test_an_unknown_unit_is_found_by_the_skeleton_and_that_said(factor, motion):
    found = placed(factor * motion.positions(), motion, is_unit_known=False)

    np.testing.assert_allclose(found.positions, motion.positions(), rtol=1e-9)
    assert "their unit is taken for" in found.notices[0]


def test_a_stated_unit_that_cannot_be_right_is_refused(motion):
    targets = NamedTargets(motion.skeleton.names, 100 * motion.positions())

    with pytest.raises(SolverError, match="100 times larger than the skeleton"):
        solve_inverse_kinematics(targets, motion.skeleton)
