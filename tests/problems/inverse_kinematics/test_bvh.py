import numpy as np
import pytest

from solver_core import rotations
from solver_core.errors import ObservationError
from solver_core.problems.inverse_kinematics.files.bvh import read_bvh, write_bvh
from solver_core.problems.inverse_kinematics.skeleton.euler import euler_axes, euler_from_wxyz, wxyz_from_euler
from solver_core.problems.inverse_kinematics.skeleton.motion import Motion
from solver_core.problems.inverse_kinematics.skeleton.skeleton import Skeleton

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
    np.testing.assert_allclose(motion.rotations[1, 1], [np.sqrt(0.5), 0, np.sqrt(0.5), 0])


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("1 2 3 90 0 0 90\n", "1 2 3 90", "is truncated: it announces 2 frames of 7 numbers and holds 1 complete"),
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
