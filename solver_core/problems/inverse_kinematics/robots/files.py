# SPDX-License-Identifier: Apache-2.0
"""Reads robots from URDF and MJCF, by the standard library; meshes and masses are ignored."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path
from xml.parsers import expat

import numpy as np

from solver_core import rotations
from solver_core.checks import checked_path
from solver_core.errors import SetupError
from solver_core.problems.inverse_kinematics.robots.mjcf import robot_of_mjcf
from solver_core.problems.inverse_kinematics.robots.robot import Joint, Robot, check_number_of_links, offered
from solver_core.problems.inverse_kinematics.robots.xml_values import placed, vector
from solver_core.problems.inverse_kinematics.skeleton.euler import wxyz_from_euler
from solver_core.reading import read_bytes, reading

SUFFIXES = (".urdf", ".xml", ".mjcf")
MAX_BYTES = 64 * 2**20
KINDS = {"revolute": "revolute", "continuous": "revolute", "prismatic": "prismatic", "fixed": "fixed"}
NEED_LIMITS = ("revolute", "prismatic")


def read_robot(path: str | Path) -> Robot:
    """The robot of a URDF or MJCF file: revolute, continuous, prismatic and fixed joints, limits, joints that follow others.

    Args:
        path: of the file.  Of MJCF also hinge, slide and ball joints, which become three revolute ones, and sites, which are
            links; a free joint is left out, so that the body stays where it is.

    Returns:
        Robot, whose base is the world of its targets.

    Raises:
        SetupError: if it cannot be read or is no robot.
    """
    path = checked_path(path, "path", SetupError)
    with reading(path, "robot"):
        root = _parsed(read_bytes(path, MAX_BYTES))
        if root.tag == "robot":
            return _of_urdf(root)
        if root.tag == "mujoco":
            return robot_of_mjcf(root)
        raise ValueError(f"it must begin with <robot> (URDF) or <mujoco> (MJCF), and begins with <{root.tag[:50]}>")


def _parsed(content: bytes) -> ET.Element:
    """The tree of an XML document; one that declares entities is refused, since these can grow without bound."""
    builder, parser = ET.TreeBuilder(), expat.ParserCreate()

    def refuse(*_: object) -> None:
        raise ValueError("it declares a document type, which robots do not need")

    parser.StartElementHandler, parser.EndElementHandler = builder.start, builder.end
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(content, True)
    except expat.ExpatError as error:
        raise ValueError(f"it is no XML: {error}") from error
    return builder.close()


def _of_urdf(root: ET.Element) -> Robot:
    if any("xacro" in element.tag for element in root.iter()):
        raise ValueError("it is a xacro file; make a URDF file of it first: xacro robot.xacro > robot.urdf")
    links = Counter(element.get("name", "") for element in root.findall("link"))
    elements = root.findall("joint")
    check_number_of_links(max(links.total(), len(elements) + 1))
    if twice := next((name for name, count in links.items() if count > 1), None):
        raise ValueError(f"the link {twice!r} is declared twice")
    joints = tuple(map(_urdf_joint, elements))
    for joint in joints:
        for end in (joint.parent, joint.link):
            if end not in links:
                raise ValueError(f"the joint {joint.name!r} names the link {end!r}, which is not declared{offered(end, links)}")
    hanging = {joint.link for joint in joints}
    bases = [link for link in links if link not in hanging]
    if len(bases) != 1:
        raise ValueError(
            f"one of its links must be the base, which hangs from no other; these do: {', '.join(bases[:5]) or 'none'}"
        )
    free = [
        joint.name
        for element, joint in zip(elements, joints, strict=True)
        if element.get("type") in NEED_LIMITS and not joint.source and np.isinf(joint.lower)
    ]
    notices = (f"the file gives no limits of {', '.join(free[:5])}{' and more' * (len(free) > 5)}",)
    return Robot(root.get("name", ""), bases[0], joints, notices if free else ())


def _urdf_joint(element: ET.Element) -> Joint:
    name, stated = element.get("name", ""), element.get("type", "")
    if stated not in KINDS:
        raise ValueError(f"the joint {name!r} is {stated!r}; it must be {', '.join(KINDS)}")
    ends = [element.find(end) for end in ("parent", "child")]
    if None in ends:
        raise ValueError(f"the joint {name!r} needs a parent and a child")
    parent, child = (end.get("link", "") for end in ends if end is not None)
    origin, axis, limit, mimic = (element.find(part) for part in ("origin", "axis", "limit", "mimic"))
    place, angles = (vector(origin, key, 3, name, (0, 0, 0)) for key in ("xyz", "rpy"))
    along = vector(axis, "xyz", 3, name, (1, 0, 0))
    lower, upper = (float(vector(limit, key, 1, name, (0,))[0]) for key in ("lower", "upper"))
    if stated == "continuous" or limit is None or not {"lower", "upper"}.intersection(limit.keys()):
        lower, upper = -np.inf, np.inf
    length = np.linalg.norm(along)
    if length == 0 and stated != "fixed":
        raise ValueError(f"the axis of the joint {name!r} has no length")
    return Joint(
        name,
        KINDS[stated],
        parent,
        child,
        placed(place, rotations.matrix_from_wxyz(wxyz_from_euler(angles[::-1], "ZYX"))),
        along / max(length, 1e-12),
        lower,
        upper,
        "" if mimic is None else mimic.get("joint", ""),
        float(vector(mimic, "multiplier", 1, name, (1,))[0]),
        float(vector(mimic, "offset", 1, name, (0,))[0]),
    )
