# SPDX-License-Identifier: Apache-2.0
"""Turns after which an object looks the same, found from its mesh by looking at it.

A silhouette cannot tell such poses apart, so a solve keeps the turn of its start and lists the others, and errors are
measured to the nearest of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from solver_core import render, rotations
from solver_core.frames import matrix_from_pose
from solver_core.mesh import Mesh

VIEW_SIZE = 64  # pixels
SAME_OVERLAP = 0.985  # of the silhouettes before and after a turn, mean over the views: edges differ by a few pixels
VIEW_DISTANCE = 3.0  # diagonals
FOLDS = (2, 3, 5)  # turns by a half, a third and a fifth, and where those hold by a fourth, sixth and eighth
ODD_TURN = 1.0  # radians; whoever looks the same after it has a round axis
MAX_UNEVEN = 0.1  # relative difference of second moments that a silhouette would not show
MAX_TURNS = 60  # of the icosahedron, the largest group without a round axis
SAME_TURN = np.radians(2.0)
CACHED = 32  # meshes whose symmetries are kept


@dataclass(frozen=True)
class Symmetries:
    """Rotations of a unit mesh about a point after which it looks the same.

    turns: (K, 4) wxyz, the first is none.  axis: (3,) about which any turn is one, or None; turns then hold one turn each
    of what the axis does not reach.  centre: (3,) that stays.
    """

    turns: np.ndarray = field(default_factory=lambda: np.array([[1.0, 0, 0, 0]]))
    axis: np.ndarray | None = None
    centre: np.ndarray = field(default_factory=lambda: np.zeros(3))

    @property
    def is_any(self) -> bool:
        """Whether there is more than the turn by nothing."""
        return self.axis is not None or len(self.turns) > 1

    def equivalents(self, pose: np.ndarray, toward_wxyz: np.ndarray) -> np.ndarray:
        """(K, 7) poses that look like pose (7,); about a round axis they are turned to be nearest to a rotation (4,)."""
        wxyz = rotations.multiply(pose[None, :4], self.turns)
        if self.axis is not None:
            wxyz = rotations.multiply(wxyz, self._turns_toward(wxyz, toward_wxyz))
        turned_centre = rotations.rotate(wxyz, np.broadcast_to(self.centre, (len(wxyz), 3)))
        position = pose[4:] + rotations.rotate(pose[:4], self.centre) - turned_centre
        return np.concatenate([rotations.normalized(wxyz), position], axis=1)

    def nearest(self, pose: np.ndarray, toward_wxyz: np.ndarray) -> np.ndarray:
        """(7,) the pose that looks like pose (7,) and is turned least from a rotation (4,)."""
        if not self.is_any:
            return pose
        same = self.equivalents(pose, toward_wxyz)
        return same[np.argmin(rotations.angle_between(same[:, :4], toward_wxyz))]

    def _turns_toward(self, wxyz: np.ndarray, toward_wxyz: np.ndarray) -> np.ndarray:
        """(K, 4) turns about the axis that bring rotations (K, 4) nearest to another."""
        assert self.axis is not None
        # The angle between them is least where the quaternion left between them has no part along the axis.
        between = rotations.multiply(rotations.inverse(wxyz), np.broadcast_to(toward_wxyz, wxyz.shape))
        angle = 2 * np.arctan2(between[:, 1:] @ self.axis, between[:, 0])
        return rotations.wxyz_from_rotvec(angle[:, None] * self.axis)


_found: dict[bytes, Symmetries] = {}


def find_symmetries(mesh: Mesh) -> Symmetries:
    """Symmetries of a mesh that is centred and has a diagonal of 1; those of a mesh seen before are not looked for again."""
    key = hashlib.blake2b(mesh.vertices.tobytes() + mesh.faces.tobytes()).digest()
    if key not in _found:
        while len(_found) >= CACHED:
            _found.pop(next(iter(_found)))
        _found[key] = _find(mesh)
    return _found[key]


def _find(mesh: Mesh) -> Symmetries:
    centre, moments = _centre_and_moments(mesh)
    views = _Views(mesh, centre)
    generators: list[np.ndarray] = []
    round_axis: np.ndarray | None = None
    for axis in _axes(moments):
        is_even = _is_even_about(axis, moments)
        if is_even and views.look_the_same(axis * ODD_TURN):
            if round_axis is not None and abs(axis @ round_axis) < 0.99:
                return Symmetries(axis=round_axis, centre=centre)  # a ball: one axis serves
            round_axis = axis
            continue
        folds = [fold for fold in (FOLDS if is_even else FOLDS[:1]) if views.look_the_same(axis * (2 * np.pi / fold))]
        if is_even and 2 in folds:
            folds += [fold for fold in (4, 8) if views.look_the_same(axis * (2 * np.pi / fold))]
        generators += [axis * (2 * np.pi / fold) for fold in folds]
    if round_axis is not None:
        flips = [turn for turn in generators if abs(turn @ round_axis) < 0.1 * np.linalg.norm(turn)]
        generators = flips[:1]
    return Symmetries(_closed(generators), round_axis, centre)


class _Views:
    """Silhouettes of a mesh from all around, to compare with those after a turn."""

    def __init__(self, mesh: Mesh, centre: np.ndarray) -> None:
        self.mesh, self.centre = mesh, centre
        rng = np.random.default_rng(0)  # views that no symmetric object has a liking for
        self.wxyz = rotations.random_wxyz(rng, 4)
        focal_px = 0.8 * VIEW_SIZE * VIEW_DISTANCE  # the diagonal takes up to 0.8 of the image
        self.intrinsics = np.tile([focal_px, focal_px, VIEW_SIZE / 2, VIEW_SIZE / 2], (len(self.wxyz), 1))
        self.before = self._masks(self.wxyz)

    def look_the_same(self, rotvec: np.ndarray) -> bool:
        """Whether the mesh turned by a rotation vector about its centre is seen as before."""
        turn = rotations.wxyz_from_rotvec(rotvec)
        overlaps: list[float] = []
        for part in (slice(0, 1), slice(1, None)):  # most turns show in the first view
            after = self._masks(rotations.multiply(self.wxyz[part], turn[None]))
            before = self.before[part]
            union = (before | after).sum(axis=(1, 2))
            overlaps += list((before & after).sum(axis=(1, 2)) / np.maximum(union, 1))
            if np.mean(overlaps) < SAME_OVERLAP:
                return False
        return True

    def _masks(self, wxyz: np.ndarray) -> np.ndarray:
        position = np.array([0.0, 0.0, -VIEW_DISTANCE]) - rotations.rotate(wxyz, np.broadcast_to(self.centre, (len(wxyz), 3)))
        poses = matrix_from_pose(np.concatenate([wxyz, position], axis=1))
        return np.isfinite(
            render.render_depth([self.mesh] * len(wxyz), poses, self.intrinsics[: len(wxyz)], VIEW_SIZE, VIEW_SIZE)
        )


def _centre_and_moments(mesh: Mesh) -> tuple[np.ndarray, np.ndarray]:
    """The centre (3,) of the surface, and its second moments (3, 3) about it."""
    corners = mesh.vertices.astype(np.float64)[mesh.faces]  # (F, 3, 3)
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    middle = corners.mean(axis=1)
    centre = area @ middle / max(area.sum(), 1e-12)
    arms, middle_arms = corners - centre, middle - centre
    # The integral of x x^T over a triangle: its area, times those of its corners and nine of its middle, by twelve.
    moments = np.einsum("f,fki,fkj->ij", area, arms, arms) + 9 * np.einsum("f,fi,fj->ij", area, middle_arms, middle_arms)
    return centre, moments


def _axes(moments: np.ndarray) -> list[np.ndarray]:
    """Axes that symmetric objects turn about: those of the file, and of inertia."""
    _, principal = np.linalg.eigh(moments)
    axes = list(np.eye(3))
    for axis in principal.T:
        if all(abs(axis @ other) < 0.999 for other in axes):
            axes.append(axis)
    return axes


def _is_even_about(axis: np.ndarray, moments: np.ndarray) -> bool:
    """Whether the second moments across an axis are about the same all round: else no turn but a half can look the same."""
    across = np.eye(3) - np.outer(axis, axis)
    _, low, high = np.linalg.eigvalsh(across @ moments @ across)
    return bool(high - low < MAX_UNEVEN * (high + low))


def _closed(generators: list[np.ndarray]) -> np.ndarray:
    """(K, 4) all products of turns by rotation vectors, the turn by nothing first."""
    group = [np.array([1.0, 0, 0, 0])]
    turns = [rotations.wxyz_from_rotvec(generator) for generator in generators]
    for turn in _products(group, turns):
        if len(group) >= MAX_TURNS:
            break
        group.append(turn)
    return np.stack(group)


def _products(group: list[np.ndarray], turns: list[np.ndarray]) -> Iterator[np.ndarray]:
    """New members of a group that grows while they are taken."""
    for member in group:
        for turn in turns:
            product = rotations.multiply(member, turn)
            if all(rotations.angle_between(product, other) > SAME_TURN for other in group):
                yield product


def errors_modulo(symmetries: Symmetries, pose: np.ndarray, truth: np.ndarray, mesh: Mesh) -> tuple[float, float, float]:
    """Rotation error in degrees, translation error and MSSD, both in diagonals, to the nearest pose that looks the same.

    pose, truth: (7,) of the unit mesh.  MSSD: the largest distance of a vertex from where it should be (Hodan et al. 2020).
    """
    same = symmetries.equivalents(pose, truth[:4])
    vertices = mesh.vertices.astype(np.float64)
    placed = [rotations.rotate(one[:4], vertices) + one[4:] for one in (*same, truth)]
    mssd = [np.linalg.norm(points - placed[-1], axis=1).max() for points in placed[:-1]]
    best = int(np.argmin(mssd))
    rotation_deg = np.degrees(rotations.angle_between(same[best, :4], truth[:4]))
    return float(rotation_deg), float(np.linalg.norm(same[best, 4:] - truth[4:])), float(mssd[best])
