# SPDX-License-Identifier: Apache-2.0
"""Carries targets from a skeleton to the human that the networks know, and its rotations back.

The two skeletons may differ in bone lengths, in rest pose, in which way they face and in how many joints they have.
What connects them is a mapping from joints of the human to joints of the skeleton.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np

from solver_core import rotations
from solver_core.problems.inverse_kinematics.problem import KinematicProblem, Targets
from solver_core.problems.inverse_kinematics.skeleton.body import Body
from solver_core.problems.inverse_kinematics.skeleton.kinematics import forward_kinematics, local_rotations
from solver_core.problems.inverse_kinematics.skeleton.limits import JointLimits
from solver_core.problems.inverse_kinematics.skeleton.skeleton import Skeleton
from solver_core.problems.inverse_kinematics.solver.closed_form import SHORT, shortest_arc
from solver_core.problems.inverse_kinematics.solver.start import nearest_rotation

UNKNOWN_SPREAD = 0.1  # radians, of joints without counterpart: fewer than most, so that the others turn first
STRAIGHT_PRIOR = 1e-6  # settles the twist of a skeleton that is one straight line: none
LIKE_REST = np.radians(10)  # bones differ by so much from body to body in the same pose
ROUGHLY = np.radians(60)
NEARLY_UPRIGHT = np.radians(25)  # the same for all bones together


class Transfer:
    """A skeleton seen as a trained body.

    node_of: names of the body's nodes -> names of the skeleton's; nodes without counterpart are not given to the networks
    and keep their rest rotation on the way back.
    """

    def __init__(self, skeleton: Skeleton, body: Body, node_of: dict[str, str]) -> None:
        self.skeleton, self.body = skeleton, body
        pairs = [(body.skeleton.index(known), skeleton.index(own)) for known, own in node_of.items()]
        self.known, self.own = (np.array(side) for side in zip(*pairs, strict=True))  # (M,) nodes of both
        self._leave_out_bones_without_length()

    def _leave_out_bones_without_length(self) -> None:
        """Nodes that lie where their mapped ancestor lies say nothing that it does not."""
        shortest = SHORT * self.skeleton.bone_lengths.mean()
        while len(ends := self._bones[self._distances(self.skeleton, self.own) <= shortest, 1]):
            self.known, self.own = np.delete(self.known, ends[0]), np.delete(self.own, ends[0])
            del self._bones  # of the mapping before

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
        weights, noise = np.zeros((2, count, num_nodes), np.float32)
        positions[:, self.known] = targets.positions[:, self.own] / self.scale
        weights[:, self.known] = targets.weights[:, self.own]
        noise[:, self.known] = targets.noise[:, self.own] / self.scale
        root = self.body.skeleton.root
        origin = np.where(weights[:, root, None, None] > 0, positions[:, [root]], 0)
        return Targets(positions - origin, weights, noise)

    def to_skeleton(self, x: np.ndarray) -> np.ndarray:
        """(B, J', 4) local rotations of the skeleton's joints from (B, J, 4) of the body's."""
        offsets = np.broadcast_to(self.body.skeleton.offsets, (len(x), *self.body.skeleton.offsets.shape))
        known = forward_kinematics(self.body.skeleton, offsets, x).orientations
        return local_rotations(self.skeleton, self.orientations(known)).astype(x.dtype)

    def orientations(self, known: np.ndarray) -> np.ndarray:
        """(B, J', 3, 3) root_from_joint of the skeleton from (B, J, 3, 3) of the body.

        Joints between two that have counterparts share the turn from one to the other.
        """
        known = np.concatenate([known, np.broadcast_to(np.eye(3, dtype=known.dtype), (len(known), 1, 3, 3))], axis=1)
        orientations = known[:, self._guides] @ self._alignment
        for joint, upper, lower, share in self._between:
            turn = orientations[:, upper].swapaxes(1, 2) @ orientations[:, lower]
            part = rotations.wxyz_from_rotvec(share * rotations.rotvec_from_wxyz(rotations.wxyz_from_matrix(turn)))
            orientations[:, joint] = orientations[:, upper] @ rotations.matrix_from_wxyz(part)
        return orientations

    @cached_property
    def has_guide(self) -> np.ndarray:
        """(J',) whether a joint has a counterpart, or lies between two that have."""
        is_known = self.body.skeleton.joint_of_node[self.known] >= 0
        has_guide = np.isin(self.skeleton.joints, self.own[is_known])
        has_guide[[joint for joint, *_ in self._between]] = True
        return has_guide

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
    def _between(self) -> list[tuple[int, int, int, float]]:
        """Joints of the skeleton without counterpart that have one above and, on the only way down to any, one below.

        (joint, joint above, joint below, share of the way between them by length).
        """
        skeleton, own, joint_of_node = self.skeleton, set(self.own.tolist()), self.skeleton.joint_of_node
        num_below = np.isin(np.arange(skeleton.num_nodes), self.own).astype(int)
        for level in reversed(skeleton.levels):
            np.add.at(num_below, level.parents, num_below[level.nodes])
        found = []
        for lower in own:
            chain = [lower]
            while skeleton.parents[chain[-1]] not in own and num_below[skeleton.parents[chain[-1]]] == num_below[lower]:
                chain.append(int(skeleton.parents[chain[-1]]))
            upper = int(skeleton.parents[chain[-1]])
            lengths = np.cumsum(skeleton.bone_lengths[chain[::-1]])
            if upper in own and joint_of_node[lower] >= 0 and lengths[-1] > 0:
                ends = (int(joint_of_node[upper]), int(joint_of_node[lower]))
                shares = lengths / lengths[-1]
                found += [(int(joint_of_node[n]), *ends, float(share)) for n, share in zip(chain[:0:-1], shares, strict=False)]
        return found

    @cached_property
    def _offsets(self) -> np.ndarray:
        """(N, 3) float32 the body's offsets with the skeleton's bones: each mapped bone as long and pointing as it does there.

        Bones of the body in between keep their shares.
        """
        known, own = self.body.skeleton, self.skeleton
        known_rest, own_rest = known.rest_positions()[self.known], own.rest_positions()[self.own]
        offsets: list[list[np.ndarray]] = [[] for _ in known.names]
        for ancestor, node in self._bones:
            alignment = self._alignment[own.joint_of_node[self.own[ancestor]]]
            wanted = alignment @ (own_rest[node] - own_rest[ancestor]) / self.scale
            bone = known_rest[node] - known_rest[ancestor]
            turn = np.linalg.norm(wanted) / np.linalg.norm(bone) * shortest_arc(bone[None], wanted[None])[0]
            step = int(self.known[node])
            while step != self.known[ancestor]:
                offsets[step].append(turn @ known.offsets[step])
                step = int(known.parents[step])
        return np.array([np.mean(o, axis=0) if o else own for o, own in zip(offsets, known.offsets, strict=True)], np.float32)

    def points_alike(self, nodes: Sequence[str]) -> bool:
        """Whether the bones to those nodes of the body that are mapped point roughly alike in both rest poses."""
        own, known = self._directions
        is_asked = np.isin(self.known[self._bones[:, 1]], [self.body.skeleton.index(name) for name in nodes])
        return bool(((own @ self._whole.T * known).sum(axis=1)[is_asked] > np.cos(ROUGHLY)).all())

    @cached_property
    def _directions(self) -> tuple[np.ndarray, np.ndarray]:
        """(K, 3) unit vectors of the mapped bones at rest, the skeleton's and the body's."""
        rests = self.skeleton.rest_positions()[self.own], self.body.skeleton.rest_positions()[self.known]
        own, known = (_unit(rest[self._bones[:, 1]] - rest[self._bones[:, 0]]) for rest in rests)
        return own, known

    @cached_property
    def _whole(self) -> np.ndarray:
        """(3, 3) the body's axes from the skeleton's, at rest as a whole."""
        own, known = self._directions
        return _upright(nearest_rotation((known.T @ own + STRAIGHT_PRIOR * np.eye(3))[None])[0])

    @cached_property
    def _alignment(self) -> np.ndarray:
        """(J', 3, 3) the body's axes from those of each of the skeleton's joints.

        The trunk stands upright in both rest poses.  Where a bone points elsewhere than the body's, such as an arm that is
        lowered, the joint is turned the short way, and what hangs on it is turned along.
        """
        skeleton = self.skeleton
        own_bones, known_bones = self._directions
        alignment = np.tile(self._whole, (skeleton.num_joints, 1, 1))
        position = {int(node): number for number, node in enumerate(self.own)}
        for level in skeleton.levels:
            for place, joint in zip(level.inner, level.joints, strict=True):
                alignment[joint] = alignment[level.parent_joints[place]]
                starting = np.flatnonzero(self._bones[:, 0] == position.get(int(level.nodes[place]), -1))
                if len(starting) == 1:
                    pointing = alignment[joint] @ own_bones[starting[0]]
                    if pointing @ known_bones[starting[0]] < np.cos(LIKE_REST):
                        alignment[joint] = shortest_arc(pointing[None], known_bones[starting])[0] @ alignment[joint]
        return alignment.astype(np.float32)


def _upright(rotation: np.ndarray) -> np.ndarray:
    """The rotation (3, 3) that takes axes to axes, if there is one nearby: rest poses look along an axis."""
    nearest = np.round(rotation)
    is_near = np.linalg.det(nearest) == 1 and np.trace(nearest.T @ rotation) > 1 + 2 * np.cos(NEARLY_UPRIGHT)
    return nearest if is_near else rotation


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)
