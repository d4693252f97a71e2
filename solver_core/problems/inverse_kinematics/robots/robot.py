# SPDX-License-Identifier: Apache-2.0
"""A robot: a tree of links, each with one joint to its parent, and where joint values take it."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np

from solver_core import rotations
from solver_core.errors import SetupError

MOST_LINKS = 2000  # of a tree; a humanoid with hands has 100
FARTHEST = 1e6  # metres from one link to the next, and to targets; limits beyond it, also in radians, are none
FEW_NAMES = 8  # that a sentence lists
SAME_LIMIT = 1e-9


def check_number_of_links(count: int) -> None:
    """Raises SetupError for more links than a robot may have."""
    if count > MOST_LINKS:
        raise SetupError(f"a robot may have {MOST_LINKS} links, this one has {count}")


def offered(name: str, known: Collection[str]) -> str:
    """The end of a sentence about a name that is not known: all names if they are few, else the nearest."""
    if len(known) <= FEW_NAMES:
        return f"; it has {', '.join(map(repr, known)) or 'none'}"
    return f"; did you mean {difflib.get_close_matches(name[:100], known, n=1, cutoff=0)[0]!r}?"


@dataclass(frozen=True, eq=False)
class Joint:
    """What joins a link to its parent.

    kind: "revolute", "prismatic" or "fixed".  parent_from_link: (4, 4) at value 0.  axis: (3,) unit vector in the link.
    lower, upper: radians or metres, infinite where free.  source, factor, offset: a joint that follows another one has its
    value times factor plus offset.
    """

    name: str
    kind: str
    parent: str
    link: str
    parent_from_link: np.ndarray
    axis: np.ndarray = field(default_factory=lambda: np.array([1.0, 0, 0]))
    lower: float = -np.inf
    upper: float = np.inf
    source: str = ""
    factor: float = 1.0
    offset: float = 0.0


class LinkPoses(NamedTuple):
    """positions (B, K, 3) metres and orientations (B, K, 3, 3) of all links in the world, which is the base."""

    positions: np.ndarray
    orientations: np.ndarray


@dataclass(frozen=True, eq=False)
class Robot:
    """A tree of K links.  base: the link without parent.  joints: K - 1, in any order.

    notices: sentences about what of a file was left out.
    Raises SetupError with a sentence for anything that is no such tree.
    """

    name: str
    base: str
    joints: tuple[Joint, ...]
    notices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_number_of_links(len(self.joints) + 1)
        names = [joint.name for joint in self.joints]
        links = [self.base, *(joint.link for joint in self.joints)]
        for what, several in (("joint", names), ("link", links)):
            if twice := next((name for name, count in Counter(several).items() if count > 1), None):
                raise SetupError(f"the {what} {twice!r} stands twice in the robot")
        for joint in self.joints:
            if joint.parent not in links:
                raise SetupError(
                    f"the joint {joint.name!r} hangs from the link {joint.parent!r}, which the robot does not have"
                )
            if joint.lower > joint.upper:
                raise SetupError(f"the lower limit of the joint {joint.name!r} is above its upper one")
            if joint.source and joint.source not in names:
                raise SetupError(
                    f"the joint {joint.name!r} follows {joint.source!r}, a joint that the robot does not have"
                    f"{offered(joint.source, names)}"
                )
            if not (np.abs(joint.parent_from_link) <= FARTHEST).all():
                raise SetupError(f"the joint {joint.name!r} lies more than {FARTHEST:g} m from its parent")
        if len(self._ordered) < len(self.joints):
            raise SetupError("the links of the robot form a cycle that never reaches its base")
        for name, (lower, upper) in zip(self.joint_names, self.limits, strict=True):
            if lower > upper:
                raise SetupError(f"no value of the joint {name!r} keeps the limits of the joints that follow it")
        if not self.joint_names:
            raise SetupError("no joint of the robot moves")

    @cached_property
    def joint_names(self) -> tuple[str, ...]:
        """Names of the D joints that have a value of their own."""
        return tuple(joint.name for joint in self.joints if joint.kind != "fixed" and not joint.source)

    @cached_property
    def link_names(self) -> tuple[str, ...]:
        """Names of the K links, parents first."""
        return (self.base, *(joint.link for joint in self._ordered))

    @cached_property
    def limits(self) -> np.ndarray:
        """(D, 2) lowest and highest values that keep the limits of all joints, also of those that follow."""
        limits = dict.fromkeys(self.joint_names, (-np.inf, np.inf))
        for joint in self.joints:
            if joint.kind != "fixed":
                leader, factor, offset = self.couplings[joint.name]
                own = np.array([joint.lower, joint.upper])
                own = np.where(np.abs(own) > FARTHEST, [-np.inf, np.inf], own)
                if factor:
                    lower, upper = sorted((own - offset) / factor)
                else:  # it stands still, within its limits or not
                    stands = own[0] <= offset <= own[1]
                    lower, upper = (-np.inf, np.inf) if stands else (np.inf, -np.inf)
                lower, upper = max(lower, limits[leader][0]), min(upper, limits[leader][1])
                limits[leader] = (lower, lower if 0 < lower - upper < SAME_LIMIT else upper)
        return np.array(list(limits.values()))

    @cached_property
    def couplings(self) -> dict[str, tuple[str, float, float]]:
        """For each joint that moves the one with a value of its own that it follows in the end, its factor and its offset."""
        by_name, found = {joint.name: joint for joint in self.joints}, {}
        for joint in self.joints:
            if joint.kind == "fixed":
                continue
            leader, factor, offset, passed = joint, 1.0, 0.0, {joint.name}
            while leader.source:
                factor, offset, leader = factor * leader.factor, offset + factor * leader.offset, by_name[leader.source]
                if leader.name in passed:
                    raise SetupError(f"the joint {leader.name!r} follows itself in the end")
                if leader.kind == "fixed":
                    raise SetupError(f"the joint {joint.name!r} follows {leader.name!r}, which does not move")
                passed.add(leader.name)
            found[joint.name] = (leader.name, factor, offset)
        return found

    @cached_property
    def reach(self) -> float:
        """Length of the longest way from the base, with the joints at 0, metres."""
        lengths = {self.base: 0.0}
        for joint in self._ordered:
            lengths[joint.link] = lengths[joint.parent] + float(np.linalg.norm(joint.parent_from_link[:3, 3]))
        slides = sum(np.ptp(pair) for pair in self.limits[~self.is_turning] if np.isfinite(pair).all())
        return max(lengths.values()) + float(slides)

    @cached_property
    def is_turning(self) -> np.ndarray:
        """(D,) whether a joint's value is an angle."""
        by_name = {joint.name: joint for joint in self.joints}
        return np.array([by_name[name].kind == "revolute" for name in self.joint_names])

    @cached_property
    def _ordered(self) -> tuple[Joint, ...]:
        """The joints, parents first."""
        found, reached = [], {self.base}
        waiting = list(self.joints)
        while ready := [joint for joint in waiting if joint.parent in reached]:
            found += ready
            reached |= {joint.link for joint in ready}
            waiting = [joint for joint in waiting if joint.link not in reached]
        return tuple(found)

    @cached_property
    def tree(self) -> Tree:
        """The same in arrays."""
        number = {name: index for index, name in enumerate(self.link_names)}
        columns = {name: index for index, name in enumerate(self.joint_names)}
        moving = [(number[joint.link], joint) for joint in self._ordered if joint.kind != "fixed"]
        gain, offset = np.zeros((len(moving), len(columns))), np.zeros(len(moving))
        moves = np.zeros((len(moving), len(number)), bool)
        for row, (link, joint) in enumerate(moving):
            leader, gain_of_it, offset[row] = self.couplings[joint.name]
            gain[row, columns[leader]] = gain_of_it
            moves[row, link] = True
        parents = np.array([-1, *(number[joint.parent] for joint in self._ordered)])
        for link in range(1, len(parents)):
            moves[:, link] |= moves[:, parents[link]]
        return Tree(
            parents,
            np.stack([np.eye(4), *(joint.parent_from_link for joint in self._ordered)]),
            np.array([link for link, _ in moving]),
            np.stack([joint.axis for _, joint in moving]),
            np.array([joint.kind == "revolute" for _, joint in moving]),
            gain,
            offset,
            moves,
        )

    def poses(self, values: np.ndarray) -> LinkPoses:
        """Where the links are for joint values (B, D), in the order of joint_names."""
        tree = self.tree
        amounts = values @ tree.gain.T + tree.offset  # (B, M)
        turns = np.where(tree.is_turning[:, None], amounts[..., None] * tree.axes, 0)
        turned = rotations.matrix_from_wxyz(rotations.wxyz_from_rotvec(turns))
        shifts = np.where(tree.is_turning[:, None], 0, amounts[..., None] * tree.axes)
        row_of = {int(link): row for row, link in enumerate(tree.links)}
        count = len(tree.parents)
        positions, orientations = np.zeros((len(values), count, 3)), np.zeros((len(values), count, 3, 3))
        orientations[:, 0] = np.eye(3)
        for link in range(1, count):
            above, fixed = tree.parents[link], tree.parent_from_link[link]
            own = orientations[:, above] @ fixed[:3, :3]
            place = positions[:, above] + orientations[:, above] @ fixed[:3, 3]
            if link in row_of:
                place = place + (own @ shifts[:, row_of[link], :, None])[..., 0]
                own = own @ turned[:, row_of[link]]
            positions[:, link], orientations[:, link] = place, own
        return LinkPoses(positions, orientations)


class Tree(NamedTuple):
    """K links and M joints that move.

    parents: (K,) links, -1 for the base; every parent comes before its children.  parent_from_link: (K, 4, 4) at value 0.
    links: (M,) that the joints move.  axes: (M, 3).  is_turning: (M,).  gain (M, D), offset (M,): amounts of the joints from
    their values.  moves: (M, K) whether a joint moves a link.
    """

    parents: np.ndarray
    parent_from_link: np.ndarray
    links: np.ndarray
    axes: np.ndarray
    is_turning: np.ndarray
    gain: np.ndarray
    offset: np.ndarray
    moves: np.ndarray
