# SPDX-License-Identifier: Apache-2.0
"""Robots from URDF and MJCF: where their links are, and joint values that bring them to targets."""

import json
from pathlib import Path

import numpy as np
import pytest

import solver_core as sc
from solver_core import rotations
from solver_core.command.cli import main
from solver_core.errors import ObservationError, SetupError
from solver_core.problems.inverse_kinematics.robots.robot import Joint

DATA = Path(__file__).parents[2] / "data" / "ik"
SIX = (((0, 0, 0.3), (0, 0, 1)), ((0, 0, 0.1), (0, 1, 0)), ((0, 0, 0.45), (0, 1, 0)))
SIX += (((0.05, 0, 0.2), (1, 0, 0)), ((0.25, 0, 0), (0, 1, 0)), ((0.08, 0, 0), (1, 0, 0)))


def text_of(numbers) -> str:
    return " ".join(map(str, numbers))


@pytest.fixture
def six(tmp_path) -> Path:
    """A six-axis arm with a tool that is turned."""
    lines = ['<robot name="six"><link name="base"/>', *(f'<link name="l{n}"/>' for n in range(6)), '<link name="tool"/>']
    for number, (origin, axis) in enumerate(SIX):
        parent = f"l{number - 1}" if number else "base"
        lines.append(
            f'<joint name="j{number}" type="revolute"><parent link="{parent}"/><child link="l{number}"/>'
            f'<origin xyz="{text_of(origin)}" rpy="0.1 0 0.2"/><axis xyz="{text_of(axis)}"/>'
            '<limit lower="-2.6" upper="2.6" effort="1" velocity="1"/></joint>'
        )
    lines.append(
        '<joint name="flange" type="fixed"><parent link="l5"/><child link="tool"/><origin xyz="0 0 0.1" rpy="0 0.3 0"/></joint>'
    )
    path = tmp_path / "six.urdf"
    path.write_text("\n".join([*lines, "</robot>"]))
    return path


def tool_poses(robot: sc.Robot, values: np.ndarray, link: str = "tool") -> np.ndarray:
    """(F, 7) metres and wxyz of a link."""
    poses, number = robot.poses(values), robot.link_names.index(link)
    return np.concatenate([poses.positions[:, number], rotations.wxyz_from_matrix(poses.orientations[:, number])], axis=1)


def test_a_urdf_file_is_read_with_its_limits():
    robot = sc.read_robot(DATA / "arm.urdf")

    poses = robot.poses(np.array([[0.0, 0.0], [np.pi / 2, 0.1]]))

    assert robot.joint_names == ("j1", "j2")
    assert robot.link_names == ("base", "a", "b")
    np.testing.assert_allclose(robot.limits, [[-1, 1], [0, 0.2]])
    np.testing.assert_allclose(poses.positions[:, 2], [[0.3, 0, 0.1], [0, 0.4, 0.1]], atol=1e-12)


def test_mjcf_bodies_with_several_joints_defaults_and_sites_are_read(tmp_path):
    (tmp_path / "arm.xml").write_text(
        """<mujoco model="arm"><compiler angle="degree"/>
        <default><joint range="-90 90"/>
        <default class="slider"><joint type="slide" axis="1 0 0" range="0 0.2"/></default></default>
        <worldbody><body name="a" pos="0 0 0.1" euler="0 0 90"><joint name="turn" axis="0 0 1" pos="0.1 0 0"/>
        <joint name="tilt" axis="0 1 0"/><body name="b" pos="0.3 0 0"><joint name="slide" class="slider"/>
        <site name="tip" pos="0 0 0.05" quat="0 0 0 2"/></body></body></worldbody></mujoco>"""
    )

    robot = sc.read_robot(tmp_path / "arm.xml")
    poses = robot.poses(np.array([[0.0, 0.0, 0.1], [np.pi / 2, 0.0, 0.0], [0.0, np.pi / 2, 0.0]]))

    assert robot.joint_names == ("turn", "tilt", "slide")
    np.testing.assert_allclose(robot.limits, [[-np.pi / 2, np.pi / 2], [-np.pi / 2, np.pi / 2], [0, 0.2]])
    # Turned by a right angle about (0, 0.1), which lies 0.1 along the body's own x; MuJoCo gives the same places.
    expected = [[0, 0.4, 0.15], [-0.2, 0.1, 0.15], [0, 0.05, -0.2]]
    np.testing.assert_allclose(poses.positions[:, robot.link_names.index("tip")], expected, atol=1e-9)


def test_a_joint_that_follows_another_one_has_no_value_of_its_own():
    joints = [
        Joint("one", "prismatic", "base", "left", np.eye(4), np.array([1.0, 0, 0]), 0, 1),
        Joint("two", "prismatic", "base", "right", np.eye(4), np.array([1.0, 0, 0]), source="one", factor=-2.0, offset=0.1),
    ]
    robot = sc.Robot("gripper", "base", tuple(joints))

    result = sc.solve_robot({"right": np.array([[-0.5, 0, 0]])}, robot)

    assert result.joint_names == ("one",)
    np.testing.assert_allclose(result.joint_values, [[0.3]], atol=1e-5)


def joint_of(name: str, parent: str, child: str, inside: str = "", limit: str = '<limit lower="-2" upper="2"/>') -> str:
    """A joint about z, half a metre along x, of a URDF file."""
    ends = f'<parent link="{parent}"/><child link="{child}"/><origin xyz="0.5 0 0"/><axis xyz="0 0 1"/>'
    return f'<joint name="{name}" type="revolute">{ends}{limit}{inside}</joint>'


def urdf_of(links: str, *joints: str) -> str:
    declared = "".join(f'<link name="{link}"/>' for link in links)
    return f'<robot name="r">{declared}{"".join(joints)}</robot>'


def mjcf_of(joint: str, after: str = "") -> str:
    """Two bodies of a metre with a hinge each, the first one as given, and a site at their end."""
    return (
        f'<mujoco><worldbody><body name="one">{joint}<body name="two" pos="1 0 0"><joint name="h2" axis="0 0 1"/>'
        f'<site name="tip" pos="1 0 0"/></body></body></worldbody>{after}</mujoco>'
    )


def read_text(folder: Path, text: str) -> sc.Robot:
    (folder / "robot.xml").write_text(text)
    return sc.read_robot(folder / "robot.xml")


def test_joints_that_follow_one_another_narrow_the_limits_of_the_first(tmp_path):
    follow = '<mimic joint="{}" multiplier="{}" offset="{}"/>'
    joints = [
        joint_of("j1", "a", "b"),
        joint_of("j2", "b", "c", follow.format("j1", -2, 0.5)),
        joint_of("j3", "c", "d", follow.format("j2", 3, 1), '<limit lower="-5" upper="1"/>'),
    ]
    robot = read_text(tmp_path, urdf_of("abcd", *joints))

    lowest, highest = robot.limits[0]

    assert robot.joint_names == ("j1",)
    # j2 = 0.5 - 2 j1 lies from -2 to 2, and j3 = 3 j2 + 1 = 2.5 - 6 j1 from -5 to 1.
    np.testing.assert_allclose([lowest, highest], [0.25, 1.25])
    orientation = robot.poses(np.array([[1.0]])).orientations[0, 3]
    np.testing.assert_allclose(np.arctan2(orientation[1, 0], orientation[0, 0]), 1 - 1.5 - 3.5 + 2 * np.pi)


def test_mjcf_reference_values_are_kept(tmp_path):
    robot = read_text(tmp_path, mjcf_of('<joint name="h1" axis="0 0 1" pos="0.5 0 0" ref="30" range="-10 60"/>'))

    poses = robot.poses(np.radians([[30.0, 0], [60, 0]]))

    np.testing.assert_allclose(np.degrees(robot.limits[0]), [-10, 60])
    turned = [0.5 + 1.5 * np.cos(np.radians(30)), 1.5 * np.sin(np.radians(30)), 0]
    np.testing.assert_allclose(poses.positions[:, robot.link_names.index("tip")], [[2, 0, 0], turned], atol=1e-12)


def test_linear_equalities_of_mjcf_are_kept_and_others_are_said(tmp_path):
    joint = '<joint name="h1" axis="0 0 1" ref="10"/>'
    linear = '<joint joint1="h2" joint2="h1" polycoef="0.1 -2 0 0 0"/><connect body1="one" body2="two" anchor="0 0 0"/>'
    robot = read_text(tmp_path, mjcf_of(joint, f"<equality>{linear}</equality>"))
    bent = read_text(tmp_path, mjcf_of(joint, '<equality><joint joint1="h2" joint2="h1" polycoef="0 1 1"/></equality>'))

    result = sc.solve_robot({"tip": robot.poses(np.array([[0.5]])).positions[:, -1]}, robot)

    assert robot.joint_names == ("h1",)
    turn, second = 0.5 - np.radians(10), 0.1 - 2 * (0.5 - np.radians(10))
    end = np.exp(1j * turn) * (1 + np.exp(1j * second))
    np.testing.assert_allclose(robot.poses(np.array([[0.5]])).positions[0, -1], [end.real, end.imag, 0], atol=1e-12)
    assert "<connect> of one and two under <equality> is left out" in result.explanation
    assert result.notices == robot.notices
    assert bent.joint_names == ("h1", "h2")
    assert "<joint> of h2 and h1" in bent.notices[0]


def test_the_range_of_a_ball_joint_limits_its_angles(tmp_path):
    robot = read_text(tmp_path, mjcf_of('<joint name="ball" type="ball" range="0 30"/>'))

    np.testing.assert_allclose(np.degrees(robot.limits[:3]), [[-30, 30]] * 3)
    assert "ball joint ball" in robot.notices[0]


def test_joints_without_the_limits_that_urdf_asks_for_are_said(tmp_path):
    robot = read_text(tmp_path, urdf_of("abc", joint_of("j1", "a", "b", limit=""), joint_of("j2", "b", "c")))

    assert np.isinf(robot.limits[0]).all()
    assert robot.notices == ("the file gives no limits of j1",)


def test_targets_in_millimetres_are_said(tmp_path):
    result = sc.solve_robot({"b": np.array([[300.0, 0, 100.0]])}, sc.read_robot(DATA / "arm.urdf"))

    assert "--unit mm" in result.explanation


def test_poses_within_reach_are_reached_within_the_limits(six):
    robot = sc.read_robot(six)
    values = np.random.default_rng(0).uniform(*robot.limits.T, size=(200, 6))

    result = sc.solve_robot({"tool": tool_poses(robot, values)}, robot)

    assert result.is_reached.mean() >= 0.99
    assert (result.joint_values >= robot.limits[:, 0]).all()
    assert (result.joint_values <= robot.limits[:, 1]).all()
    reached = result.joint_values[result.is_reached]
    off = tool_poses(robot, reached) - tool_poses(robot, values)[result.is_reached]
    assert np.abs(off[:, :3]).max() < 1e-3


def test_joints_do_not_jump_in_a_motion(six):
    robot = sc.read_robot(six)
    rng = np.random.default_rng(0)
    start, end = rng.uniform(*robot.limits.T, size=(2, 6))
    values = start + np.linspace(0, 1, 40)[:, None] * (end - start)

    result = sc.solve_robot({"tool": tool_poses(robot, values)}, robot)

    assert result.is_reached.all()
    assert np.abs(np.diff(result.joint_values, axis=0)).max() < 0.3


def test_positions_alone_and_orientations_alone_can_be_asked_for(six):
    robot = sc.read_robot(six)
    wanted = tool_poses(robot, np.full((2, 6), 0.4))
    wanted[0, 3:], wanted[1, :3] = np.nan, np.nan

    result = sc.solve_robot({"tool": wanted}, robot)

    found = tool_poses(robot, result.joint_values)
    np.testing.assert_allclose(found[0, :3], wanted[0, :3], atol=1e-3)
    assert np.degrees(rotations.angle_between(found[1, 3:], wanted[1, 3:])) < 0.5
    assert np.isnan(result.angle_error[0]).all()
    assert np.isnan(result.position_error[1]).all()


def test_what_is_out_of_reach_is_said(six):
    result = sc.solve_robot({"tool": np.array([[5.0, 0, 0]])}, sc.read_robot(six))

    assert result.verdict is sc.Verdict.BAD
    assert "1 of 1 poses are not reached" in result.explanation


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("<robot", "no XML"),
        ('<!DOCTYPE r [<!ENTITY a "aaaa">]><robot name="&a;"/>', "document type"),
        ("<sdf/>", "must begin with"),
        ("<robot/>", "must be the base"),
        ('<robot><link name="a"/></robot>', "no joint of the robot moves"),
        ('<robot xmlns:xacro="x"><xacro:property/></robot>', "xacro file"),
        ('<robot><link name="a"/><joint name="j" type="planar"/></robot>', "'planar'"),
        ('<robot><link name="a"/><joint name="j" type="fixed"/></robot>', "needs a parent and a child"),
        ('<mujoco><worldbody/><include file="a.xml"/></mujoco>', "<include>"),
        ("<mujoco/>", "no <worldbody>"),
        ('<mujoco><worldbody><body name="a"><joint axis="0 0 x"/></body></worldbody></mujoco>', "3 finite numbers"),
        (mjcf_of('<joint name="h1" class="nope"/>'), "class 'nope'; it has 'main'"),
        (mjcf_of("<joint/>", '<equality><joint joint1="h3"/></equality>'), "'h3', no joint that it has; it has"),
        (urdf_of("ab", joint_of("j1", "a", "zz")), "the link 'zz', which is not declared; it has 'a', 'b'"),
        (urdf_of("aab", joint_of("j1", "a", "b")), "'a' is declared twice"),
        (
            urdf_of("ab", joint_of("j1", "a", "b", limit='<limit lower="-inf" upper="1"/>')),
            "lower of 'j1' must be a finite number",
        ),
        (urdf_of("ab", joint_of("j1", "a", "b", '<mimic joint="q"/>')), "follows 'q', a joint that the robot does not have"),
        (urdf_of("ab", joint_of("j1", "a", "b", '<mimic joint="j1"/>')), "follows itself in the end"),
        (
            urdf_of("abc", joint_of("j1", "a", "b"), joint_of("j2", "b", "c", '<mimic joint="j1" offset="9"/>')),
            "no value of the joint 'j1'",
        ),
        (urdf_of("ab", *(joint_of(f"j{n}", "a", f"l{n}") for n in range(2000))), "2000 links, this one has 2001"),
    ],
)
def test_what_is_no_robot_is_a_sentence(tmp_path, text, sentence):
    (tmp_path / "robot.xml").write_text(text)

    with pytest.raises(SetupError, match=sentence):
        sc.read_robot(tmp_path / "robot.xml")


@pytest.mark.parametrize(
    ("targets", "error", "sentence"),
    [
        ({}, ObservationError, "name no link"),
        ({"hand": np.zeros((1, 3))}, SetupError, "'hand', a link that the robot does not have; it has 'base', 'a', 'b'"),
        ({"b": np.array([[0.1, np.nan, 0]])}, ObservationError, "the position of 'b' in frame 0 lacks some"),
        ({"b": np.array([[0, 0, 0, 1, np.nan, 0, 0]])}, ObservationError, "the orientation of 'b' in frame 0 lacks some"),
        ({"b": np.array([[np.inf, 0, 0]])}, ObservationError, "is infinite"),
        ({"b": np.array([[1e300, 0, 0]])}, ObservationError, "beyond 1e"),
        ({"b": np.zeros((1, 5))}, ObservationError, r"\(F, 7\)"),
        ({"b": np.full((2, 3), np.nan)}, ObservationError, "frame 0 has no target"),
        ({"b": np.full((1, 7), 3.0)}, ObservationError, "unit quaternions"),
        ({"a": np.zeros((1, 3)), "b": np.zeros((2, 3))}, ObservationError, "same frames"),
    ],
)
def test_targets_that_cannot_be_used_are_a_sentence(targets, error, sentence):
    with pytest.raises(error, match=sentence):
        sc.solve_robot(targets, sc.read_robot(DATA / "arm.urdf"))


class TestCommand:
    @pytest.mark.parametrize("kind", ["csv", "npz"])
    def test_joint_values_are_written(self, six, tmp_path, capsys, kind):
        robot = sc.read_robot(six)
        wanted = tool_poses(robot, np.linspace(0.1, 0.8, 5)[:, None] * np.ones(6))
        titles = [f"tool_{part}" for part in ("x", "y", "z", "qw", "qx", "qy", "qz")]
        rows = [",".join(["time", *titles]), *(text_of([0.1 * n, *row]).replace(" ", ",") for n, row in enumerate(wanted))]
        (tmp_path / "poses.csv").write_text("\n".join(rows))
        files = ["--skeleton", str(six), "--targets", str(tmp_path / "poses.csv"), "--out", str(tmp_path / f"out.{kind}")]

        assert main(["solve", "ik", *files]) == 0

        assert json.loads(capsys.readouterr().out)["reached"] == 5
        if kind == "npz":
            with np.load(tmp_path / "out.npz") as content:
                values, poses = content["joint_values"], content["link_rotations"]
                assert content["frame_time"] == pytest.approx(0.1)
            assert poses.shape == (5, 8, 4)
        else:
            lines = (tmp_path / "out.csv").read_text().splitlines()
            assert lines[0].split(",")[:3] == ["frame", "time", "j0"]
            values = np.array([line.split(",")[2:8] for line in lines[1:]], float)
        np.testing.assert_allclose(tool_poses(robot, values)[:, :3], wanted[:, :3], atol=1e-3)

    @pytest.mark.parametrize(
        "flags",
        [
            ["--rest", "1"],
            ["--feet", "plant"],
            ["--floor", "0.1"],
            ["--no-refine"],
            ["--jobs", "2"],
            ["--cluster", "tcp://x:1"],
            ["--shard", "1/2"],
            ["--format", "bvh"],
        ],
    )
    def test_what_belongs_to_skeletons_is_refused(self, six, capsys, flags):
        assert main(["solve", "ik", "--skeleton", str(six), "--targets", str(six), *flags]) == 2

        assert f"{flags[0]} belongs to skeletons" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("titles", "missing"),
        [
            (["b_x", "b_y", "b_z", "b_qx", "b_qy", "b_qz"], "'b' lacks b_qw"),
            (["b_x", "b_y", "b_z", "a_x", "a_y"], "'a' lacks a_z"),
            (["b_x", "b_y", "b_z", "a_qw", "a_qx", "a_qy", "a_qz"], "'a' lacks a_x, a_y, a_z"),
        ],
    )
    def test_columns_that_a_link_lacks_are_named(self, tmp_path, capsys, titles, missing):
        table = tmp_path / "poses.csv"
        table.write_text("\n".join([",".join(titles), ",".join("0" * len(titles))]))

        assert main(["solve", "ik", "--skeleton", str(DATA / "arm.urdf"), "--targets", str(table)]) == 2

        assert missing in capsys.readouterr().err

    def test_a_floor_without_planted_feet_is_refused(self, capsys):
        files = ["--skeleton", str(DATA / "bone_local_rest.bvh"), "--targets", str(DATA / "bone_local_rest.bvh")]

        assert main(["solve", "ik", *files, "--floor", "0"]) == 2

        assert "add --feet plant" in capsys.readouterr().err

    def test_other_kinds_of_files_are_refused(self, six, tmp_path, capsys):
        assert main(["solve", "ik", "--skeleton", str(six), "--targets", str(six), "--out", str(tmp_path / "o.bvh")]) == 2

        assert "must end in .csv or .npz" in capsys.readouterr().err
