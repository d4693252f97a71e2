# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import numpy as np
import pytest

from solver_core import rotations
from solver_core.errors import ObservationError
from solver_core.problems.inverse_kinematics.files.bvh import read_bvh, write_bvh
from solver_core.problems.inverse_kinematics.skeleton.euler import (
    continuous_euler,
    euler_axes,
    euler_from_wxyz,
    wxyz_from_euler,
)
from solver_core.problems.inverse_kinematics.skeleton.motion import Motion
from solver_core.problems.inverse_kinematics.skeleton.skeleton import Skeleton

CASES = Path(__file__).parents[2] / "data" / "ik"
ORDERS = ("XYZ", "XZY", "YXZ", "YZX", "ZXY", "ZYX")
SMALL = """HIERARCHY
ROOT hip
{
  OFFSET 0 0 0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
  JOINT left arm
  {
    OFFSET 30 0 0
    CHANNELS 1 Yrotation
    End Site
    {
      OFFSET 20 0 0
    }
  }
}
MOTION
Frames: 2
Frame Time: 0.04
1 2 3 0 0 0 0
1 2 3 90 0 0 90
"""


def motion_with_order(order: str, rng: np.random.Generator) -> Motion:
    skeleton = Skeleton(["hip", "spine", "head", "head_end", "tail"], [-1, 0, 1, 2, 0], 0.5 * rng.normal(size=(5, 3)).round(4))
    x = np.zeros((4, 5, 4))
    x[..., 0] = 1
    x[:, skeleton.joints] = rotations.random_wxyz(rng, 4, 3)
    return Motion(skeleton, x, rng.normal(size=(4, 3)), 1 / 60, (order,) * 5, 0.01)


@pytest.mark.parametrize("order", ORDERS)
def test_bvh_round_trip_keeps_rotations_to_a_thousandth_of_a_degree(order, rng, tmp_path):
    motion = motion_with_order(order, rng)

    write_bvh(tmp_path / "motion.bvh", motion)
    again = read_bvh(tmp_path / "motion.bvh", metres_per_unit=0.01)

    assert again.skeleton.names == motion.skeleton.names
    assert again.orders[0] == order
    assert np.degrees(rotations.angle_between(again.rotations, motion.rotations)).max() < 1e-3
    np.testing.assert_allclose(again.skeleton.offsets[1:], motion.skeleton.offsets[1:], atol=1e-7)
    np.testing.assert_allclose(again.root, motion.root, atol=1e-7)
    assert again.frame_time == pytest.approx(motion.frame_time, abs=1e-8)


def test_bvh_reads_end_sites_single_channels_and_names_with_spaces(tmp_path):
    (tmp_path / "small.bvh").write_text(SMALL)

    motion = read_bvh(tmp_path / "small.bvh")

    assert motion.skeleton.names == ("hip", "left arm", "left arm_end")
    assert motion.metres_per_unit == 0.01
    np.testing.assert_allclose(motion.skeleton.offsets[2], [0.2, 0, 0])
    np.testing.assert_allclose(motion.root, [[0.01, 0.02, 0.03]] * 2)
    np.testing.assert_allclose(motion.rotations[1, 1], [np.sqrt(0.5), 0, np.sqrt(0.5), 0], atol=1e-9)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("1 2 3 0 0 0 0\n1 2 3 90 0 0 90\n", "1 2 3 90", "it is truncated: it holds no complete frame"),
        ("1 2 3 0 0 0 0\n1 2 3 90 0 0 90\n", "1 2 3 0 0 0\n1 2 3 90 0 0 90 8\n9\n", "line 1 of its motion has 6 numbers for 7"),
        ("Frame Time: 0.04", "Frame Time: 0", "frame time is 0"),
        ("Frames: 2", "Frames: 0", "holds no frames"),
        ("90 0 0 90", "90 0 nan 90", "no finite numbers"),
        ("90 0 0 90", "90 0 x 90", "cannot read the BVH file .*float: 'x'"),
        ("Zrotation", "Wrotation", "unknown channel 'Wrotation'"),
        (SMALL[SMALL.index("MOTION") :], "", "HIERARCHY and MOTION"),
        (SMALL[SMALL.index("  }\n}\nMOTION") : SMALL.index("MOTION")], "", "truncated in the middle of its hierarchy"),
    ],
)
def test_read_bvh_raises_a_sentence_for_a_damaged_file(old, new, sentence, tmp_path):
    path = tmp_path / "damaged.bvh"
    path.write_text(SMALL.replace(old, new))

    with pytest.raises(ObservationError, match=sentence):
        read_bvh(path)


def test_read_bvh_raises_a_sentence_when_there_is_no_file(tmp_path):
    with pytest.raises(ObservationError, match="cannot read the BVH file"):
        read_bvh(tmp_path / "none.bvh")


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("middle", [0.3, -1.2, np.pi / 2, -np.pi / 2])
def test_euler_angles_give_the_rotation_back(order, middle, rng):
    angles = np.array([1.1, middle, -2.0])
    wxyz = wxyz_from_euler(angles, order)

    again = wxyz_from_euler(euler_from_wxyz(wxyz, order), order)

    assert rotations.angle_between(wxyz, again) < 1e-7


@pytest.mark.parametrize("order", ORDERS)
def test_euler_axes_are_the_local_directions_of_finite_differences(order):
    angles, delta = np.array([0.4, 0.9, -1.3]), 1e-6

    axes = euler_axes(angles, order)

    here = wxyz_from_euler(angles, order)
    for number, axis in enumerate(axes):
        there = wxyz_from_euler(angles + delta * np.eye(3)[number], order)
        turn = rotations.rotvec_from_wxyz(rotations.multiply(rotations.inverse(here), there)) / delta
        np.testing.assert_allclose(turn, axis, atol=1e-5)


@pytest.mark.parametrize("order", ORDERS)
def test_angles_go_on_from_frame_to_frame_without_jumps(order, rng):
    steps = rotations.wxyz_from_rotvec(0.15 * rng.normal(size=(400, 5, 3)))
    wxyz = np.empty_like(steps)
    wxyz[0] = rotations.random_wxyz(rng, 5)
    for frame in range(1, len(wxyz)):
        wxyz[frame] = rotations.multiply(wxyz[frame - 1], steps[frame])

    angles = continuous_euler(wxyz, order)

    assert rotations.angle_between(wxyz_from_euler(angles, order), wxyz).max() < 1e-5
    assert np.abs(np.diff(angles, axis=0)).max() <= np.pi
    usual = np.median(np.abs(np.diff(angles, axis=0)).max(axis=-1))
    assert usual < 0.5


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("middle", [np.pi / 2, -np.pi / 2])
def test_angles_stay_smooth_where_the_outer_axes_coincide(order, middle):
    time = np.linspace(0, 1, 50)
    given = np.stack([1 + time, np.full_like(time, middle), 2 + 0 * time], axis=-1)[:, None]
    given[:3, :, 1] -= 0.2 * np.sign(middle)  # where both outer angles are known still

    angles = continuous_euler(wxyz_from_euler(given, order), order)

    np.testing.assert_allclose(np.diff(angles[3:], axis=0), np.diff(given[3:], axis=0), atol=1e-5)
    assert np.abs(np.diff(angles, axis=0)).max() < 0.3


VARIANTS = {
    "glued": ("Frame Time: 0.04", "Frame Time:0.04"),
    "counted glued": ("Frames: 2", "Frames:2"),
    "lower-case keywords": ("HIERARCHY\nROOT", "hierarchy\nroot"),
    "lower-case motion": ("MOTION\nFrames: 2\nFrame Time:", "motion\nframes: 2\nframe time:"),
    "upper-case channels": ("Xposition Yposition Zposition", "XPOSITION YPOSITION ZPOSITION"),
    "glued braces": ("ROOT hip\n{", "ROOT hip{"),
    "comment": ("HIERARCHY", "HIERARCHY\n# made by a tool\n// another"),
    "byte order mark": ("HIERARCHY", "\ufeffHIERARCHY"),
    "separators": ("1 2 3 0 0 0 0", "1.0, 2.0, 3.0, 0, 0, 0, 0"),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_bvh_is_read_however_it_is_spelt(variant, tmp_path):
    (tmp_path / "usual.bvh").write_text(SMALL)
    (tmp_path / "variant.bvh").write_text(SMALL.replace(*VARIANTS[variant]), encoding="utf-8")

    usual, motion = read_bvh(tmp_path / "usual.bvh"), read_bvh(tmp_path / "variant.bvh")

    assert motion.skeleton.names == usual.skeleton.names
    np.testing.assert_allclose(motion.positions(), usual.positions(), atol=1e-12)
    assert motion.frame_time == usual.frame_time
    assert motion.notices == ()


def test_bvh_with_decimal_commas_is_read(tmp_path):
    text = SMALL.replace("0.04", "0,04").replace("OFFSET 30 0 0", "OFFSET 30,5 0 0").replace("1 2 3 0", "1,5 2 3 0")
    (tmp_path / "comma.bvh").write_text(text)

    motion = read_bvh(tmp_path / "comma.bvh")

    assert motion.frame_time == 0.04
    np.testing.assert_allclose(motion.skeleton.offsets[1], [0.305, 0, 0])
    np.testing.assert_allclose(motion.root[0], [0.015, 0.02, 0.03])


@pytest.mark.parametrize(
    ("old", "new", "frames", "notice"),
    [
        ("Frames: 2", "Frames: 3", 2, "announces 3 frames and holds 2"),
        ("Frames: 2", "Frames: 1", 2, "announces 1 frames and holds 2"),
        ("1 2 3 90 0 0 90\n", "1 2 3 90", 1, "last frame is incomplete"),
        ("0 0 0 0\n1 2 3 90 0 0 90\n", "0 0 0 0 7\n1 2 3 90 0 0 90 8\n", 2, "8 numbers for 7 channels"),
    ],
)
def test_what_is_mended_is_said(old, new, frames, notice, tmp_path, caplog):
    (tmp_path / "small.bvh").write_text(SMALL.replace(old, new))

    motion = read_bvh(tmp_path / "small.bvh")

    assert motion.num_frames == frames
    np.testing.assert_allclose(motion.root, [[0.01, 0.02, 0.03]] * frames)
    assert any(notice in sentence for sentence in motion.notices)
    assert notice in caplog.text


def test_joints_with_the_same_name_get_names_of_their_own(tmp_path):
    (tmp_path / "twice.bvh").write_text(SMALL.replace("left arm", "hip"))

    motion = read_bvh(tmp_path / "twice.bvh")

    assert motion.skeleton.names == ("hip", "hip.001", "hip.001_end")
    assert "the other hip is hip.001" in motion.notices[0]


def test_of_several_skeletons_the_largest_is_read(tmp_path):
    prop = "ROOT prop\n{\n OFFSET 0 0 0\n CHANNELS 1 Xposition\n}\n"
    values = SMALL.replace("1 2 3 0 0 0 0", "9 1 2 3 0 0 0 0").replace("1 2 3 90 0 0 90", "9 1 2 3 90 0 0 90")
    (tmp_path / "prop_first.bvh").write_text(values.replace("ROOT hip", prop + "ROOT hip"))

    motion = read_bvh(tmp_path / "prop_first.bvh")

    assert motion.skeleton.names[0] == "hip"
    np.testing.assert_allclose(motion.root, [[0.01, 0.02, 0.03]] * 2)
    assert "hip is read, prop left out" in motion.notices[0]


def moving(rng, parent_moves: bool, frames: int = 6) -> str:
    """A root above hips that have a place of their own in every frame."""
    places = rng.normal(size=(frames, 3)).round(3)
    rows = [
        f"{frame if parent_moves else 5} 0 0 0 0 90  {' '.join(map(str, place))} 0 0 0 10" for frame, place in enumerate(places)
    ]
    return "\n".join(
        [
            "HIERARCHY\nROOT reference\n{\nOFFSET 0 0 0",
            "CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation",
            "JOINT hips\n{\nOFFSET 0 0 0\nCHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation",
            "JOINT chest\n{\nOFFSET 0 3 0\nCHANNELS 1 Zrotation\nEnd Site\n{\nOFFSET 0 2 0\n}\n}\n}\n}",
            f"MOTION\nFrames: {frames}\nFrame Time: 0.04",
            *rows,
        ]
    )


def test_a_root_that_stands_still_above_moving_hips_is_left_out(rng, tmp_path):
    text = moving(rng, parent_moves=False)
    (tmp_path / "still.bvh").write_text(text)
    places = np.array([line.split()[6:9] for line in text.splitlines()[-6:]], float)

    motion = read_bvh(tmp_path / "still.bvh", 1.0)

    turn = np.array([[0, 0, 1], [0, 1, 0], [-1, 0, 0]])  # 90 degrees about y
    assert motion.skeleton.names == ("hips", "chest", "chest_end")
    np.testing.assert_allclose(motion.root, [5, 0, 0] + places @ turn.T, atol=1e-9)
    np.testing.assert_allclose(motion.positions()[:, 1] - motion.root, [[0, 3, 0]] * 6, atol=1e-9)
    assert "hips moves below reference, which stands still" in motion.notices[0]


def test_joints_that_move_within_their_parents_keep_their_places_as_targets(rng, tmp_path):
    text = moving(rng, parent_moves=True)
    (tmp_path / "moving.bvh").write_text(text)
    places = np.array([line.split()[6:9] for line in text.splitlines()[-6:]], float)

    motion = read_bvh(tmp_path / "moving.bvh", 1.0)

    turn = np.array([[0, 0, 1], [0, 1, 0], [-1, 0, 0]])
    np.testing.assert_allclose(motion.positions()[:, 1], motion.root + places @ turn.T, atol=1e-9)
    np.testing.assert_allclose(motion.skeleton.offsets[1], places.mean(axis=0))
    assert "move within their parents (hips)" in motion.notices[0]


@pytest.mark.parametrize("file", sorted(CASES.glob("bvh_*.bvh")), ids=lambda file: file.stem)
def test_handed_files_are_read_as_blender_does(file, demo_dir):
    truth = read_bvh(demo_dir / "ik_truth.bvh")

    motion = read_bvh(file)

    shared = [name for name in truth.skeleton.names if name in motion.skeleton.names]
    assert len(shared) >= 23
    ours, theirs = ([one.skeleton.index(name) for name in shared] for one in (motion, truth))
    difference = motion.positions()[:, ours] - truth.positions()[: motion.num_frames, theirs]
    assert motion.num_frames == truth.num_frames
    assert np.abs(difference).max() < 1e-5
