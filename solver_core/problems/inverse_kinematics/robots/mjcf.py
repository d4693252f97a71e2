# SPDX-License-Identifier: Apache-2.0
"""Robots from MJCF, the files of MuJoCo: nested bodies with any number of joints each, defaults by class."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass, field, replace

import numpy as np

from solver_core import rotations
from solver_core.problems.inverse_kinematics.robots.robot import Joint, Robot, check_number_of_links, offered
from solver_core.problems.inverse_kinematics.robots.xml_values import placed, vector
from solver_core.problems.inverse_kinematics.skeleton.euler import wxyz_from_euler

KINDS = {"hinge": "revolute", "slide": "prismatic"}
WORLD = "world"
DEEPEST = 200  # bodies within bodies
WIDE_TURN = np.pi / 2  # of a ball joint: from here on, a limit of it says little about its three angles
NOT_READ = ("include", "replicate", "composite", "attach", "flexcomp")


def robot_of_mjcf(root: ET.Element) -> Robot:
    """The robot of a <mujoco> element.  Raises ValueError or SetupError."""
    unread = next((element.tag for element in root.iter() if element.tag in NOT_READ), None)
    if unread:
        raise ValueError(f"it has <{unread}>, which is not read; save it as one file with MuJoCo (mj_saveLastXML) first")
    worlds = root.findall("worldbody")
    if not worlds:
        raise ValueError("it has no <worldbody>")
    compiler = root.find("compiler")
    settings = {} if compiler is None else dict(compiler.items())
    if settings.get("coordinate", "local") != "local":
        raise ValueError("its coordinates are global; save it with MuJoCo first")
    reader = _Reader(settings.get("angle", "degree") == "degree", settings.get("eulerseq", "xyz"), _joint_defaults(root))
    check_number_of_links(1 + sum(1 for world in worlds for _ in world.iter("body")))
    for world in worlds:
        reader.read(world, WORLD, np.eye(4), "main", 0)
    for equality in (element for section in root.findall("equality") for element in section):
        if equality.get("active", "true") != "false":
            reader.add_equality(equality)
    return Robot(root.get("model", ""), WORLD, tuple(reader.joints), tuple(reader.notices))


def _joint_defaults(root: ET.Element) -> dict[str, dict[str, str]]:
    """Attributes of joints by class, those of the classes above included."""
    defaults: dict[str, dict[str, str]] = {"main": {}}
    for top in root.findall("default"):
        waiting = [(top, top.get("class", "main"), defaults["main"])]
        while waiting:
            element, name, above = waiting.pop()
            joint = element.find("joint")
            defaults[name] = above | ({} if joint is None else dict(joint.items()))
            waiting += [(below, below.get("class", ""), defaults[name]) for below in element.findall("default")]
        defaults["main"] = defaults[top.get("class", "main")]
    return defaults


@dataclass
class _Reader:
    """Gathers the joints of bodies."""

    is_degrees: bool
    euler_order: str
    defaults: dict[str, dict[str, str]]
    joints: list[Joint] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    references: dict[str, float] = field(default_factory=dict)  # values of joints as the file shows the robot

    def read(self, body: ET.Element, link: str, frame: np.ndarray, style: str, depth: int) -> None:
        """Adds what is in a body, whose link is there already; frame: (4, 4) of a <frame> within it."""
        if depth > DEEPEST:
            raise ValueError(f"its bodies lie more than {DEEPEST} deep within each other")
        style = body.get("childclass", style)
        for number, element in enumerate(body):
            if element.tag == "frame":
                self.read(element, link, frame @ self._pose(element), style, depth + 1)
            elif element.tag == "site" and element.get("name"):
                name = element.get("name", "")
                self.joints.append(Joint(f"{name} (site)", "fixed", link, name, frame @ self._pose(element)))
            elif element.tag == "body":
                name = element.get("name") or f"{link}/{number}"
                self._add_body(element, link, name, frame @ self._pose(element), element.get("childclass", style))
                self.read(element, name, np.eye(4), style, depth + 1)

    def _add_body(self, body: ET.Element, parent: str, link: str, pose: np.ndarray, style: str) -> None:
        """Its joints one after the other, with a link between each two."""
        steps = [step for element in body.findall("joint") for step in self._steps(element, link, style)]
        if body.find("freejoint") is not None or len(steps) < len(body.findall("joint")):
            self.notices.append(f"{link} may move freely; it stays where it is")
        if not steps:
            self.joints.append(Joint(f"{link} (fixed)", "fixed", parent, link, pose))
            return
        back = np.zeros(3)  # to the body's own frame, from where the joint before turns about
        for number, (name, kind, axis, place, lower, upper) in enumerate(steps):
            there = placed(back + place, np.eye(3))
            between = f"{link} after {name}"
            before = (pose if number == 0 else np.eye(4)) @ there @ self._unmoved(name, kind, axis)
            self.joints.append(Joint(name, kind, parent, between, before, axis, lower, upper))
            parent, back = between, -place
        self.joints.append(Joint(f"{link} (fixed)", "fixed", parent, link, placed(back, np.eye(3))))

    def add_equality(self, equality: ET.Element) -> None:
        """Lets a joint follow another one where that is linear; anything else is noted."""
        ends = [end for key in ("joint1", "joint2", "body1", "body2", "site1", "site2") if (end := equality.get(key))]
        noted = f"the <{equality.tag}> of {' and '.join(ends) or 'the file'} under <equality> is left out"
        if equality.tag != "joint":
            self.notices.append(noted)
            return
        numbers = {joint.name: number for number, joint in enumerate(self.joints) if joint.kind != "fixed"}
        if unknown := next((end for end in ends if end not in numbers), None):
            raise ValueError(f"its <equality> names {unknown!r}, no joint that it has{offered(unknown, numbers)}")
        name = equality.get("name", ends[0] if ends else "")
        terms = np.zeros(5)
        given = equality.get("polycoef", "0 1 0 0 0").split()
        terms[: len(given)] = vector(equality, "polycoef", min(len(given), 5), name, (0, 1, 0, 0, 0))
        follower = self.joints[numbers[ends[0]]] if ends else None
        if follower is None or follower.source or terms[2:].any():
            self.notices.append(noted)
            return
        offset = self.references.get(follower.name, 0.0) + float(terms[0])
        if len(ends) == 1:
            held = replace(follower, lower=offset, upper=offset)
        else:
            offset -= float(terms[1]) * self.references.get(ends[1], 0.0)
            held = replace(follower, source=ends[1], factor=float(terms[1]), offset=offset)
        self.joints[numbers[follower.name]] = held

    def _unmoved(self, name: str, kind: str, axis: np.ndarray) -> np.ndarray:
        """(4, 4) that takes the value of a joint back by which the file shows it moved."""
        back = -self.references.get(name, 0.0) * axis
        if kind == "revolute":
            return placed(np.zeros(3), rotations.matrix_from_wxyz(rotations.wxyz_from_rotvec(back)))
        return placed(back, np.eye(3))

    def _steps(self, element: ET.Element, link: str, style: str) -> list[tuple[str, str, np.ndarray, np.ndarray, float, float]]:
        """(name, kind, axis, place, lower, upper) of the joints of one axis that a joint is; none of a free one."""
        style = element.get("class", style)
        if style not in self.defaults:
            raise ValueError(f"it has no <default> of the class {style!r}{offered(style, self.defaults)}")
        known = ET.Element("joint", self.defaults[style] | dict(element.items()))
        name, kind = known.get("name", f"{link} joint"), known.get("type", "hinge")
        place = vector(known, "pos", 3, name, (0, 0, 0))
        if kind == "free":
            return []
        if kind == "ball":
            most = self._range(known, name, self._unit)[1]
            if np.isfinite(most):
                how = "limited in each of its three angles, not as a whole" if most < WIDE_TURN else "not limited"
                self.notices.append(f"the turn of the ball joint {name} is {how}")
            most = most if most < WIDE_TURN else np.inf
            return [
                (f"{name}_{letter}", "revolute", axis, place, -most, most)
                for letter, axis in zip("xyz", np.eye(3), strict=True)
            ]
        if kind not in KINDS:
            raise ValueError(f"the joint {name!r} is {kind!r}; it must be hinge, slide, ball or free")
        axis = vector(known, "axis", 3, name, (0, 0, 1))
        if not axis.any():
            raise ValueError(f"the axis of the joint {name!r} has no length")
        unit = self._unit if kind == "hinge" else 1.0
        self.references[name] = unit * float(vector(known, "ref", 1, name, (0,))[0])
        return [(name, KINDS[kind], axis / np.linalg.norm(axis), place, *self._range(known, name, unit))]

    @property
    def _unit(self) -> float:
        """Radians in the unit of the file's angles."""
        return np.pi / 180 if self.is_degrees else 1.0

    def _range(self, joint: ET.Element, name: str, unit: float) -> tuple[float, float]:
        """Lowest and highest value of a joint."""
        if joint.get("range") is None or joint.get("limited", "auto") == "false":
            return -np.inf, np.inf
        lower, upper = unit * vector(joint, "range", 2, name, (0, 0))
        return float(lower), float(upper)

    def _pose(self, element: ET.Element) -> np.ndarray:
        """(4, 4) of a body, site or frame in what it lies in."""
        name = element.get("name", element.tag)
        return placed(vector(element, "pos", 3, name, (0, 0, 0)), self._rotation(element, name))

    def _rotation(self, element: ET.Element, name: str) -> np.ndarray:
        unit = self._unit
        if element.get("quat"):
            wxyz = vector(element, "quat", 4, name, ())
            if not wxyz.any():
                raise ValueError(f"quat of {name!r} has no length")
            return rotations.matrix_from_wxyz(wxyz / np.linalg.norm(wxyz))
        if element.get("axisangle"):
            *axis, angle = vector(element, "axisangle", 4, name, ())
            axis = np.array(axis) / max(np.linalg.norm(axis), 1e-12)
            return rotations.matrix_from_wxyz(rotations.wxyz_from_rotvec(unit * angle * axis))
        if element.get("euler"):
            angles = unit * vector(element, "euler", 3, name, ())
            order = self.euler_order
            if len(order) != 3 or not set(order.lower()) <= set("xyz"):
                raise ValueError(f"eulerseq must be three of x, y and z, and is {order[:20]!r}")
            if order.islower():  # about the axes that turn along
                return rotations.matrix_from_wxyz(wxyz_from_euler(angles, order.upper()))
            return rotations.matrix_from_wxyz(wxyz_from_euler(angles[::-1], order[::-1].upper()))
        if element.get("xyaxes"):
            x, y = vector(element, "xyaxes", 6, name, ()).reshape(2, 3)
            x = x / max(np.linalg.norm(x), 1e-12)
            y = y - (y @ x) * x
            y = y / max(np.linalg.norm(y), 1e-12)
            return np.stack([x, y, np.cross(x, y)], axis=1)
        if element.get("zaxis"):
            z = vector(element, "zaxis", 3, name, ())
            z = z / max(np.linalg.norm(z), 1e-12)
            about = np.cross([0, 0, 1.0], z)
            angle = np.arctan2(np.linalg.norm(about), z[2])
            about = about / np.linalg.norm(about) if about.any() else np.array([1.0, 0, 0])
            return rotations.matrix_from_wxyz(rotations.wxyz_from_rotvec(angle * about))
        return np.eye(3)
