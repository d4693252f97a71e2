"""Carries targets from a skeleton to the human that the networks know, and its rotations back.

The two skeletons may differ in bone lengths, in rest pose, in which way they face and in how many joints they have.
What connects them is a mapping from joints of the human to joints of the skeleton.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import numpy as np

from solver_core import rotations
from solver_core.problems.inverse_kinematics.problem import KinematicProblem, Targets
from solver_core.problems.inverse_kinematics.skeleton.body import Body
from solver_core.problems.inverse_kinematics.skeleton.kinematics import forward_kinematics
from solver_core.problems.inverse_kinematics.skeleton.limits import JointLimits
from solver_core.problems.inverse_kinematics.skeleton.skeleton import Skeleton
from solver_core.problems.inverse_kinematics.solver.start import nearest_rotation

UNKNOWN_SPREAD = 0.1  # radians, of joints without counterpart: fewer than most, so that the others turn first
STRAIGHT_PRIOR = 1e-6  # settles the twist of a skeleton that is one straight line: none
REST_PRIOR = 1e-3  # how much the twist that bone directions leave open counts beside them


class Transfer:
    """A skeleton seen as a trained body.

    node_of: names of the body's nodes -> names of the skeleton's; nodes without counterpart are not given to the networks
    and keep their rest rotation on the way back.
    """

    def __init__(self, skeleton: Skeleton, body: Body, node_of: dict[str, str]) -> None:
        self.skeleton, self.body = skeleton, body
        pairs = [(body.skeleton.index(known), skeleton.index(own)) for known, own in node_of.items()]
        self.known, self.own = (np.array(side) for side in zip(*pairs, strict=True))  # (M,) nodes of both

    @cached_property
    def scale(self) -> float:
        """Size of the skeleton over the body's, by the median distance between neighbouring mapped nodes."""
        return float(np.median(self._distances(self.skeleton, self.own) / self._distances(self.body.skeleton, self.known)))

    def problem(self, count: int, limits: JointLimits | None = None) -> KinematicProblem:
        """The body with the skeleton's proportions, at its own size, `count` times.

        The skeleton's limits are kept where both have the same joints.
        """
        own, known = self.skeleton, self.body.skeleton
        has_same_joints = own.names == known.names and (own.parents == known.parents).all()
        offsets = np.broadcast_to(self._offsets, (count, *self._offsets.shape))
        return KinematicProblem(self.body, offsets, limits if has_same_joints else None)

    def targets(self, targets: Targets) -> Targets:
        """Targets of the skeleton as targets of the body."""
        count, num_nodes = len(targets.positions), self.body.skeleton.num_nodes
        positions = np.zeros((count, num_nodes, 3), np.float32)
        weights = np.zeros((count, num_nodes), np.float32)
        positions[:, self.known] = targets.positions[:, self.own] / self.scale
        weights[:, self.known] = targets.weights[:, self.own]
        root = self.body.skeleton.root
        origin = np.where(weights[:, root, None, None] > 0, positions[:, [root]], 0)
        return Targets(positions - origin, weights)

    def to_skeleton(self, x: np.ndarray) -> np.ndarray:
        """(B, J', 4) local rotations of the skeleton's joints from (B, J, 4) of the body's."""
        offsets = np.broadcast_to(self._offsets, (len(x), *self._offsets.shape))
        known = forward_kinematics(self.body.skeleton, offsets, x).orientations
        known = np.concatenate([known, np.broadcast_to(np.eye(3, dtype=x.dtype), (len(x), 1, 3, 3))], axis=1)
        orientations = known[:, self._guides] @ self._alignment
        skeleton = self.skeleton
        parents = skeleton.parents[skeleton.joints]
        local = orientations[:, skeleton.joint_of_node[parents]].swapaxes(2, 3) @ orientations
        local[:, parents < 0] = orientations[:, parents < 0]
        return rotations.wxyz_from_matrix(local).astype(x.dtype)

    @cached_property
    def natural_body(self) -> Body:
        """The skeleton, its joints turning about the same axes and as far as their counterparts do."""
        rest = Body.at_rest(self.skeleton)
        axes = np.concatenate([self.body.axes, UNKNOWN_SPREAD * np.eye(3)[None]])[self._guides] @ self._alignment
        is_own = np.isin(self.skeleton.joints, self.own)
        return replace(rest, axes=np.where(is_own[:, None, None], axes, UNKNOWN_SPREAD * np.eye(3)))

    @cached_property
    def _guides(self) -> np.ndarray:
        """(J',) joint of the body that each of the skeleton's joints follows; -1 = none.

        That is its counterpart or, without one, that of the nearest ancestor that has one.
        """
        known_joint = self.body.skeleton.joint_of_node[self.known]
        guide = {int(node): int(joint) for node, joint in zip(self.own, known_joint, strict=True) if joint >= 0}
        guides = []
        for node in self.skeleton.joints:
            while node >= 0 and node not in guide:
                node = int(self.skeleton.parents[node])
            guides.append(guide.get(node, -1))
        return np.array(guides)

    def _mapped_ancestor(self, skeleton: Skeleton, mapped: np.ndarray) -> np.ndarray:
        """(M,) position within `mapped` of the nearest mapped ancestor of each mapped node, -1 if there is none."""
        position = {int(node): number for number, node in enumerate(mapped)}
        ancestors = []
        for node in mapped:
            node = int(skeleton.parents[node])
            while node >= 0 and node not in position:
                node = int(skeleton.parents[node])
            ancestors.append(position.get(node, -1))
        return np.array(ancestors)

    @cached_property
    def _bones(self) -> np.ndarray:
        """(K, 2) pairs (ancestor, node) of positions within the mapping, neighbours in the body's tree."""
        ancestors = self._mapped_ancestor(self.body.skeleton, self.known)
        nodes = np.flatnonzero(ancestors >= 0)
        return np.stack([ancestors[nodes], nodes], axis=1)

    def _distances(self, skeleton: Skeleton, mapped: np.ndarray) -> np.ndarray:
        """(K,) rest lengths of the mapped bones."""
        rest = skeleton.rest_positions()[mapped]
        return np.linalg.norm(rest[self._bones[:, 1]] - rest[self._bones[:, 0]], axis=1)

    @cached_property
    def _offsets(self) -> np.ndarray:
        """(N, 3) float32 the body's offsets with the skeleton's proportions: each mapped bone as long as it is there."""
        known = self.body.skeleton
        ratios = self._distances(self.skeleton, self.own) / self.scale / self._distances(known, self.known)
        factors: list[list[float]] = [[] for _ in known.names]
        for (ancestor, node), ratio in zip(self._bones, ratios, strict=True):
            step = int(self.known[node])
            while step != self.known[ancestor]:
                factors[step].append(float(ratio))
                step = int(known.parents[step])
        scale = np.array([np.mean(factor) if factor else 1.0 for factor in factors])
        return (scale[:, None] * known.offsets).astype(np.float32)

    @cached_property
    def _alignment(self) -> np.ndarray:
        """(J', 3, 3) turns each of the skeleton's joints at rest so that its bones point as the body's do at rest."""
        known_rest = self.body.skeleton.rest_positions()[self.known]
        own_rest = self.skeleton.rest_positions()[self.own]
        own_directions = _unit(own_rest[self._bones[:, 1]] - own_rest[self._bones[:, 0]])
        known_directions = _unit(known_rest[self._bones[:, 1]] - known_rest[self._bones[:, 0]])
        whole = nearest_rotation((known_directions.T @ own_directions + STRAIGHT_PRIOR * np.eye(3))[None])[0]
        alignment = np.tile(whole, (self.skeleton.num_joints, 1, 1))
        alignment[self._guides < 0] = np.eye(3)
        is_guided = np.zeros(self.skeleton.num_joints, dtype=bool)
        for number, own in enumerate(self.own):
            starts_here = self._bones[:, 0] == number
            joint = self.skeleton.joint_of_node[own]
            if joint >= 0:
                is_guided[joint] = True
            if joint >= 0 and starts_here.any():
                covariance = known_directions[starts_here].T @ own_directions[starts_here] + REST_PRIOR * whole
                alignment[joint] = nearest_rotation(covariance[None])[0]
        for level in self.skeleton.levels:  # the others move with the joint above, as at rest
            for position, joint in zip(level.inner, level.joints, strict=True):
                if not is_guided[joint]:
                    alignment[joint] = alignment[level.parent_joints[position]]
        return alignment.astype(np.float32)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)
