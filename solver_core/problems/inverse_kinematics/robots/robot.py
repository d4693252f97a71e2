# SPDX-License-Identifier: Apache-2.0
"""A robot: a tree of links, each with one joint to its parent, and where joint values take it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np

from solver_core import rotations
from solver_core.errors import SetupError

MOST_LINKS = 2000  # of a tree; a humanoid with hands has 100


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
        if len(self.joints) >= MOST_LINKS:
            raise SetupError(f"a robot may have {MOST_LINKS} links, this one has {len(self.joints) + 1}")
        names = [joint.name for joint in self.joints]
        links = [self.base, *(joint.link for joint in self.joints)]
        for what, several in (("joint", names), ("link", links)):
            if twice := next((name for name in several if several.count(name) > 1), None):
                raise SetupError(f"the {what} {twice!r} stands twice in the robot")
        for joint in self.joints:
            if joint.parent not in links:
                raise SetupError(
                    f"the joint {joint.name!r} hangs from the link {joint.parent!r}, which the robot does not have"
                )
            if joint.lower > joint.upper:
                raise SetupError(f"the lower limit of the joint {joint.name!r} is above its upper one")
            if joint.source and joint.source not in self.joint_names:
                raise SetupError(f"the joint {joint.name!r} follows {joint.source!r}, which is no joint that moves by itself")
        if len(self._ordered) < len(self.joints):
            raise SetupError("the links of the robot form a cycle that never reaches its base")
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
        """(D, 2) lowest and highest values."""
        by_name = {joint.name: joint for joint in self.joints}
        return np.array([[by_name[name].lower, by_name[name].upper] for name in self.joint_names])

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
            gain[row, columns[joint.source or joint.name]] = joint.factor if joint.source else 1.0
            offset[row] = joint.offset if joint.source else 0.0
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
