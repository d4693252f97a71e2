# SPDX-License-Identifier: Apache-2.0
"""Several views of one object as one inverse problem: f renders them all, E is their mean, Gauss-Newton adds them up.

The unknown is the pose before the first camera.  A small step of it is one before every other camera as well, by a linear
map, so the normal equations of all outlines are carried to the first camera's steps and added.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

import numpy as np

from solver_core import rotations
from solver_core.kernel.contour import ContourPoints, contour_points, normal_equations
from solver_core.manifolds import SE3
from solver_core.problem import Update, repeated
from solver_core.problems.pose.contour import damped, step_of
from solver_core.problems.pose.problem import PoseProblem
from solver_core.problems.pose.refine import ROBUST_PX, RefineLevel
from solver_core.problems.pose.settle import noise_scale

LEAST_DEPTH = 1e-6  # diagonals; a step says nothing of an object in the plane of a camera
STAY = 1e-3  # weight of a position that was met, against one for the ray of a view: decides what parallel rays leave open


class EachView(tuple[Any, ...]):
    """What belongs to each view in turn, batch first like everything in the loop."""

    @classmethod
    def _make(cls, parts: Iterator[Any]) -> Self:
        return cls(parts)


@dataclass(frozen=True, eq=False)
class ViewsProblem:
    """One object before several cameras at once, in a batch of B instances.

    views: the problem of each camera, of the same B meshes.  view_from_first: (V, 4, 4), in the meshes' unit.
    x: (B, 7) pose before the first camera.  f(x): EachView of renders (B, H, W).
    """

    views: Sequence[PoseProblem]
    view_from_first: np.ndarray
    manifold: SE3 = SE3()

    def pose_in(self, view: int, x: np.ndarray) -> np.ndarray:
        """(B, 7) poses x before the camera of a view."""
        return carried(self.view_from_first[view], x)

    def forward(self, x: np.ndarray, rows: np.ndarray) -> EachView:
        return EachView(one.forward(self.pose_in(view, x), rows) for view, one in enumerate(self.views))

    def energies(self, prediction: EachView, observation: EachView, rows: np.ndarray) -> np.ndarray:
        """(V, B) how badly each view is explained."""
        parts = zip(self.views, prediction, observation, strict=True)
        return np.stack([one.energy(seen, mask, rows) for one, seen, mask in parts])

    def energy(self, prediction: EachView, observation: EachView, rows: np.ndarray) -> np.ndarray:
        return self.energies(prediction, observation, rows).mean(axis=0)

    def step_in(self, view: int, x: np.ndarray) -> np.ndarray:
        """(B, 6, 6) derivative of the step that a view sees by an SE3 step from x (B, 7)."""
        turn = self.view_from_first[view, :3, :3]
        before, seen = (_position_by_step(pose[:, 4:]) for pose in (x, self.pose_in(view, x)))
        derivative = np.zeros((len(x), 6, 6))
        derivative[:, :3, :3] = turn
        derivative[:, 3:, 3:] = np.linalg.solve(seen, turn @ before)
        return derivative


class ViewsLevel(NamedTuple):
    """All views at one resolution each: the problem and what was observed."""

    levels: Sequence[RefineLevel]
    problem: ViewsProblem
    observation: EachView

    @classmethod
    def of(cls, levels: Sequence[RefineLevel], view_from_first: np.ndarray) -> ViewsLevel:
        """Of the levels of single views."""
        problem = ViewsProblem([level.problem for level in levels], view_from_first)
        return cls(levels, problem, EachView(level.observation for level in levels))

    @property
    def exact(self) -> ViewsLevel:
        """The same with 1 - IoU as energy."""
        return ViewsLevel.of([level.exact for level in self.levels], self.problem.view_from_first)

    def repeated(self, count: int) -> ViewsLevel:
        """A single instance as `count` equal ones."""
        problem = replace(self.problem, views=[one.repeated(count) for one in self.problem.views])
        return ViewsLevel(self.levels, problem, EachView(repeated(one, count) for one in self.observation))

    @property
    def update(self) -> Update:
        """Gauss-Newton on the outlines of all views, which takes the robust scales in turn."""
        return views_update(self, lambda stage, points, level: ROBUST_PX[stage % len(ROBUST_PX)])

    @property
    def settling(self) -> Update:
        """The same for a single pose, each view weighted by the noise of its outline."""
        return views_update(self, lambda stage, points, level: noise_scale(points, level))


def views_update(level: ViewsLevel, scale_px: Callable[[int, ContourPoints, RefineLevel], float]) -> Update:
    """Gauss-Newton on poses of a single instance, whose Cauchy scale in each view follows from the stage and the outline."""
    problem = level.problem

    def update(stage: int, x: np.ndarray, prediction: EachView, observation: EachView, rows: np.ndarray) -> np.ndarray:
        hessian, gradient = np.zeros((len(x), 6, 6)), np.zeros((len(x), 6))
        for view, (one, depth, mask) in enumerate(zip(problem.views, prediction, observation, strict=True)):
            position = problem.pose_in(view, x)[:, 4:]
            points = contour_points(position, depth, mask.distance, mask.evidence, np.repeat(one.intrinsics, len(x), axis=0))
            robust_px = np.full(len(x), scale_px(stage, points, level.levels[view]))
            seen_hessian, seen_gradient = normal_equations(points, robust_px)
            derivative = problem.step_in(view, x)
            hessian += derivative.transpose(0, 2, 1) @ seen_hessian @ derivative
            gradient += np.einsum("bij,bi->bj", derivative, seen_gradient)
        return step_of(damped(hessian), gradient)

    return update


def carried(b_from_a: np.ndarray, pose_a: np.ndarray) -> np.ndarray:
    """(B, 7) poses in frame b, for poses in a; b_from_a: (4, 4) rigid."""
    wxyz = rotations.multiply(rotations.wxyz_from_matrix(b_from_a[:3, :3])[None], pose_a[:, :4])
    return np.concatenate([rotations.normalized(wxyz), pose_a[:, 4:] @ b_from_a[:3, :3].T + b_from_a[:3, 3]], axis=1)


def where_rays_meet(view_from_first: np.ndarray, centres: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """(B, 3) points nearest to the rays of all views, in the first camera's frame.

    centres: (V, 3) a point on the ray of each view, in its own frame.  positions: (B, 3), where the rays leave it open.
    """
    first_from_view = np.linalg.inv(view_from_first)
    ray = np.einsum("vij,vj->vi", first_from_view[:, :3, :3], centres)
    ray /= np.linalg.norm(ray, axis=1, keepdims=True)
    across = np.eye(3) - ray[:, :, None] * ray[:, None]  # (V, 3, 3)
    matrix = across.sum(axis=0) + STAY * np.eye(3)
    right = np.einsum("vij,vj->i", across, first_from_view[:, :3, 3]) + STAY * positions
    return np.linalg.solve(matrix, right.T).T


def joint_covariance(problem: ViewsProblem, pose: np.ndarray, covariances: Sequence[np.ndarray]) -> np.ndarray:
    """(6, 6) of an SE3 step from a pose (7,) before the first camera, from those of each view's own steps."""
    information = np.zeros((6, 6))
    for view, covariance in enumerate(covariances):
        derivative = problem.step_in(view, pose[None])[0]
        information += derivative.T @ np.linalg.solve(covariance, derivative)
    return np.linalg.inv(information)


def _position_by_step(position: np.ndarray) -> np.ndarray:
    """(B, 3, 3) derivative of positions (B, 3) by the last three numbers of an SE3 step."""
    depth = -position[:, 2]
    depth = np.where(np.abs(depth) < LEAST_DEPTH, LEAST_DEPTH, depth)
    derivative = np.zeros((len(position), 3, 3))
    derivative[:, 0, 0] = derivative[:, 1, 1] = depth
    derivative[:, :, 2] = np.column_stack([position[:, :2], -depth])
    return derivative
