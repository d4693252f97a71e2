# SPDX-License-Identifier: Apache-2.0
"""Skeletons: names, parents and rest offsets."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from solver_core.checks import checked_array
from solver_core.errors import SetupError, shown
from solver_core.kernel.tree import JointTree
from solver_core.mesh import LARGEST
from solver_core.problems.inverse_kinematics.files.bvh_motion import read_bvh_motion


class Skeleton(JointTree):
    """A tree of N nodes with names and bones.

    names: N distinct names.  parents: (N,) node numbers, -1 for the one root; any order.  offsets: (N, 3) position in
    the parent's frame at rest, metres; the root's is not used.  At rest every rotation is the identity.
    Raises SetupError with a sentence for anything that is no such tree.
    """

    def __init__(self, names: Sequence[str], parents: Sequence[int] | np.ndarray, offsets: np.ndarray) -> None:
        super().__init__(checked_array(parents, "parents", "(N,)"))
        self.names = _checked_names(names)
        self.offsets = checked_array(offsets, "offsets", "(N, 3)").astype(np.float64)
        self.offsets.setflags(write=False)
        self._check()

    @classmethod
    def from_bvh(cls, path: str | Path, metres_per_unit: float | None = None) -> Skeleton:
        """The skeleton of a BVH file; see files/bvh.py for the unit."""
        motion = read_bvh_motion(path, metres_per_unit)
        return cls(motion.names, motion.parents, motion.offsets)

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
        is_usable = (np.abs(self.offsets) <= LARGEST).all(axis=1)
        if not is_usable.all():
            bad = self.names[int(np.flatnonzero(~is_usable)[0])]
            raise SetupError(f"the rest offset of {shown(bad)} must be finite numbers up to {LARGEST:g}")
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
    def reach(self) -> float:
        """Length of the longest way along the bones from the root to an end, metres."""
        lengths = np.zeros(self.num_nodes)
        for level in self.levels:
            lengths[level.nodes] = lengths[level.parents] + self.bone_lengths[level.nodes]
        return float(lengths.max())

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


def _checked_names(names: Sequence[str]) -> tuple[str, ...]:
    """Raises SetupError unless it is a list of texts."""
    try:
        found = () if isinstance(names, str) else tuple(names)
    except TypeError:
        found = ()
    if not found or not all(isinstance(name, str) for name in found):
        raise SetupError(f"the names of a skeleton must be a list of texts, got {shown(names)}")
    return found


def check_names(names: Iterable[str], known: Sequence[str], where: str, source: str = "the map") -> None:
    """Raises SetupError for a name in `source` that is not among the known ones `where`, offering the nearest."""
    for name in names:
        if not isinstance(name, str):
            raise SetupError(f"{source} must name joints by texts, got {shown(name)}")
        if name not in known:
            nearest = difflib.get_close_matches(name[:100], known, n=1, cutoff=0)[0]  # its time grows with the square
            raise SetupError(f"{source} names {name!r}, which {where} does not have; did you mean {nearest!r}?")
