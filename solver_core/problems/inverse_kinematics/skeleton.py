"""Skeletons: names, parents and rest offsets, and the order in which a tree is walked level by level."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from solver_core.errors import SetupError
from solver_core.render.native import JointTree


class Level(NamedTuple):
    """All n nodes with the same number L of ancestors, siblings next to each other.

    nodes (n,); parents (n,) their parent nodes; parent_joints (n,) the same as joint numbers.
    inner (m,): positions within `nodes` of those that are joints; joints (m,): their joint numbers.
    family (n,): number of the parent among the p joints of the level above.
    summing (p, n): 1 where a node belongs to a parent, else 0; float32.  summing_joints (p, m): the same of the joints.
    lineages (p, L): joint numbers from the root down to each of these parents.
    pairs: where these lineages, flattened, stand in Skeleton.lineages.
    """

    nodes: np.ndarray
    parents: np.ndarray
    parent_joints: np.ndarray
    inner: np.ndarray
    joints: np.ndarray
    family: np.ndarray
    summing: np.ndarray
    summing_joints: np.ndarray
    lineages: np.ndarray
    pairs: slice


class Skeleton:
    """A tree of N nodes.  A node with children is a joint and can turn; a node without is an end site.

    names: N distinct names.  parents: (N,) node numbers, -1 for the one root; any order.  offsets: (N, 3) position in
    the parent's frame at rest, metres; the root's is not used.  At rest every rotation is the identity.
    Raises SetupError with a sentence for anything that is no such tree.
    """

    def __init__(self, names: Sequence[str], parents: Sequence[int] | np.ndarray, offsets: np.ndarray) -> None:
        self.names = tuple(names)
        self.parents = np.asarray(parents)
        self.offsets = np.asarray(offsets, dtype=np.float64)
        self._check()

    @classmethod
    def from_bvh(cls, path: str | Path, metres_per_unit: float | None = None) -> Skeleton:
        """The skeleton of a BVH file; see bvh.read_bvh for the unit."""
        from solver_core.problems.inverse_kinematics.bvh import read_bvh

        return read_bvh(path, metres_per_unit).skeleton

    def _check(self) -> None:
        count = len(self.names)
        if count < 2:
            raise SetupError(f"a skeleton needs at least 2 nodes, got {count}")
        if self.parents.shape != (count,) or self.offsets.shape != (count, 3):
            raise SetupError(
                f"a skeleton with {count} names needs {count} parents and offsets of shape ({count}, 3), "
                f"got {self.parents.shape} and {self.offsets.shape}"
            )
        if not np.issubdtype(self.parents.dtype, np.integer):
            raise SetupError(f"parents must be whole numbers, got {self.parents.dtype}")
        if not np.isfinite(self.offsets).all():
            bad = self.names[int(np.flatnonzero(~np.isfinite(self.offsets).all(axis=1))[0])]
            raise SetupError(f"the rest offset of {bad!r} must be finite numbers")
        if len(set(self.names)) < count:
            twice = next(name for name in self.names if self.names.count(name) > 1)
            raise SetupError(f"the name {twice!r} stands twice in the skeleton; give every joint its own name")
        roots = np.flatnonzero(self.parents == -1)
        if len(roots) != 1:
            raise SetupError(f"a skeleton needs exactly one root (parent -1), got {len(roots)}")
        if self.parents.min() < -1 or self.parents.max() >= count:
            raise SetupError(f"parents must be node numbers from 0 to {count - 1}, or -1 for the root")
        reached = self.parents == -1
        for _ in range(count):
            reached = reached | (reached[self.parents] & (self.parents >= 0))
        if not reached.all():
            looped = self.names[int(np.flatnonzero(~reached)[0])]
            raise SetupError(f"the parents of {looped!r} form a cycle that never reaches the root")

    @property
    def num_nodes(self) -> int:
        return len(self.names)

    @cached_property
    def root(self) -> int:
        return int(np.flatnonzero(self.parents == -1)[0])

    @cached_property
    def joints(self) -> np.ndarray:
        """(J,) node numbers of the joints, ascending; a joint number is a position in this array."""
        return np.unique(self.parents[self.parents >= 0])

    @property
    def num_joints(self) -> int:
        return len(self.joints)

    @cached_property
    def joint_of_node(self) -> np.ndarray:
        """(N,) joint number of every node, -1 for end sites."""
        numbers = np.full(self.num_nodes, -1)
        numbers[self.joints] = np.arange(self.num_joints)
        return numbers

    @cached_property
    def joint_names(self) -> tuple[str, ...]:
        return tuple(self.names[node] for node in self.joints)

    @cached_property
    def bone_lengths(self) -> np.ndarray:
        """(N,) distance to the parent; 0 for the root."""
        lengths = np.linalg.norm(self.offsets, axis=-1)
        lengths[self.root] = 0
        return lengths

    @cached_property
    def levels(self) -> tuple[Level, ...]:
        """The nodes below the root, the level nearest to it first."""
        levels: list[Level] = []
        lineages = np.array([[self.joint_of_node[self.root]]])
        while len(lineages):
            nodes = np.concatenate([np.flatnonzero(self.parents == self.joints[joint]) for joint in lineages[:, -1]])
            parents = self.parents[nodes]
            joint_of_node = self.joint_of_node[nodes]
            inner = np.flatnonzero(joint_of_node >= 0)
            family = np.cumsum(np.diff(parents, prepend=-1) != 0) - 1
            summing = np.eye(len(lineages), dtype=np.float32)[:, family]
            first = levels[-1].pairs.stop if levels else 0
            levels.append(
                Level(
                    nodes=nodes,
                    parents=parents,
                    parent_joints=self.joint_of_node[parents],
                    inner=inner,
                    joints=joint_of_node[inner],
                    family=family,
                    summing=summing,
                    summing_joints=summing[:, inner],
                    lineages=lineages,
                    pairs=slice(first, first + lineages.size),
                )
            )
            lineages = np.concatenate([lineages[family[inner]], joint_of_node[inner, None]], axis=1)
        return tuple(levels)

    @cached_property
    def lineages(self) -> np.ndarray:
        """(2, P) joint numbers: every joint, and every one from the root down to it, as Level.pairs says."""
        lasts = [np.broadcast_to(level.lineages[:, -1:], level.lineages.shape).ravel() for level in self.levels]
        return np.stack([np.concatenate(lasts), np.concatenate([level.lineages.ravel() for level in self.levels])])

    @cached_property
    def tree(self) -> JointTree:
        """The tree as the compiled kernel takes it."""
        order = np.concatenate([[self.root], *(level.nodes for level in self.levels)])
        return JointTree(*(a.astype(np.int32) for a in (order, self.parents, self.joint_of_node)), height=len(self.levels))

    def index(self, name: str) -> int:
        return self.names.index(name)

    def rest_positions(self) -> np.ndarray:
        """(N, 3) positions at rest, the root at the origin."""
        positions = np.zeros((self.num_nodes, 3))
        for level in self.levels:
            positions[level.nodes] = positions[level.parents] + self.offsets[level.nodes]
        return positions

    def scaled(self, factor: float) -> Skeleton:
        return Skeleton(self.names, self.parents, self.offsets * factor)
