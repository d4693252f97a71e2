# SPDX-License-Identifier: Apache-2.0
"""Where a model stands in a photograph: the pose whose silhouette makes the image likeliest.

The likelihood (likelihood.py) has no useful slope, so poses are drawn: first all around the start, then around the best few
with ever smaller spread, in the directions that move the outline equally far.  What was drawn around one pose is also
averaged, by how likely each is: a step downhill that needs no derivative.  At first the image has few pixels, in the end as
many as tell the pose to a fraction of a degree.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from typing import Any, NamedTuple

import numpy as np

from solver_core import render, rotations
from solver_core.checks import checked_camera, checked_rigid
from solver_core.errors import SetupError
from solver_core.frames import Camera, matrix_from_pose, project
from solver_core.images import block_mean
from solver_core.kernel.contour import contour_points
from solver_core.manifolds import SE3
from solver_core.mesh import Mesh, UnitMesh
from solver_core.problems.pose.contour import damped_normal_equations
from solver_core.segmentation.hints import Hints, window_around
from solver_core.segmentation.likelihood import ImageLikelihood
from solver_core.simplify import simplified

SEARCH_PX, FINE_PX = 140, 320  # longer side of what is looked at, at first and in the end
SEARCH_MARGIN, FINE_MARGIN = 0.5, 0.3  # of the silhouette's longer side, around it
NUM_AROUND = 300  # poses drawn around the start
MAX_TURN, MAX_SHIFT = np.radians(45.0), 0.2  # how far these are from it, the shift along each axis in diagonals
NEAR_SHARE, NEAR = 0.3, 0.3  # share of them that is drawn so many times as near, for starts that are good


class Round(NamedTuple):
    """Poses that are moved by about so many pixels of the search; drawn are drawn around count, or fewer around fewer."""

    spread_px: float
    count: int
    drawn: int


WIDE = (
    *(Round(12.0, 12, 144), Round(8.0, 10, 140), Round(6.0, 8, 144), Round(4.0, 5, 140), Round(3.0, 3, 120)),
    *(Round(2.0, 2, 100), Round(1.5, 2, 100), Round(1.0, 2, 80)),
)
NARROW = (Round(1.0, 2, 80), Round(0.6, 2, 64), Round(0.4, 1, 40), Round(0.25, 1, 40))
BEHIND = 32.0  # nats for each square pixel of spread, by which a pose may be less likely than the best to be followed
CELL_PX = 1.0  # vertices of the mesh that are nearer to each other may be one
MOST_FINE = 3  # poses that are followed where the image has many pixels
MOST_COMPARED = 80  # poses of a round, the likeliest, of which those that differ are taken
SMALL_SHARE = 0.35  # of the spread, by which half of the steps are drawn
TEMPERATURE = 4.0  # nats a pixel of spread, by which the likelier half of the steps weighs more in the average
EXTRAPOLATED = 1.6  # times the average step, which is tried too
LARGEST_STEP = 0.6, 0.3  # radians, and image widths at depth 1: what the outline does not see is not known beyond the linear
# Poses that are followed on their own differ by so much, for each pixel that they will be moved: radians, image widths.
APART = np.radians(0.6), 0.005
# What is expected of a start: how far it is off in rotation, and in place in diagonals; and nats for twice the variance.
EXPECTED_TURN, EXPECTED_SHIFT, PENALTY = np.radians(50.0), 0.4, 60.0


class Model(NamedTuple):
    """An object whose shape is known: its mesh, the camera that sees it, and (7,) the pose of its unit mesh at the start."""

    unit: UnitMesh
    camera: Camera
    start: np.ndarray

    def silhouette(self, pose: np.ndarray) -> np.ndarray:
        """(H, W) bool where it is seen at a pose (7,).  Raises SetupError if it is not in view."""
        matrix = matrix_from_pose(pose)
        if (self.unit.mesh.vertices @ matrix[2, :3] + matrix[2, 3] >= 0).any():
            raise SetupError("the start puts a part of the object behind the camera; move it into view")
        camera = self.camera
        seen = render.render_silhouettes(self.unit.mesh, matrix[None], camera.intrinsics, camera.height, camera.width)[0]
        if not seen.any():
            raise SetupError("at the start the object is out of view; move it into the image")
        return seen

    def fitted_to(self, area: np.ndarray) -> Model:
        """The same, started where its box is about that of an area (H, W)."""
        points = self.unit.mesh.vertices @ matrix_from_pose(self.start)[:3, :3].T + self.start[4:]
        seen = project(points, self.camera.intrinsics)
        low, high = seen.min(axis=0), seen.max(axis=0)
        spans = np.array([np.flatnonzero(area.any(axis=axis))[[0, -1]] + [0, 1] for axis in (0, 1)])
        nearer = np.log(np.mean(np.ptp(spans, axis=1)) / np.mean(high - low))
        shift = (spans.mean(axis=1) - (low + high) / 2) / [self.camera.fx, -self.camera.fy]
        return self._replace(start=SE3().retract(self.start[None], np.array([[0, 0, 0, *shift, -nearer]]))[0])


def checked_model(vertices: Any, faces: Any, camera: Any, start: Any, size: tuple[int, int]) -> Model | None:
    """A model before the camera of an image of a size (H, W), or None if there is none.  Raises SetupError."""
    given = {"vertices": vertices, "faces": faces, "camera": camera, "start": start}
    missing = [name for name, value in given.items() if value is None]
    if len(missing) == len(given):
        return None
    if missing:
        raise SetupError(f"the model is vertices, faces, camera and start together; {', '.join(missing)} is missing")
    if (checked_camera(camera).height, camera.width) != size:
        raise SetupError(
            f"image and camera must have the same size, got {size[1]} x {size[0]} pixels for a camera of "
            f"{camera.width} x {camera.height}"
        )
    unit = UnitMesh.checked(vertices, faces)
    return Model(unit, camera, unit.unit_pose(checked_rigid(start, "start")))


class Placed(NamedTuple):
    """poses: (B, 7) camera_from_object, the likeliest first.  log_likelihood: (B,), nats, to compare them by."""

    poses: np.ndarray
    log_likelihood: np.ndarray

    def at(self, rows: list[int] | slice) -> Placed:
        """Those with the given numbers."""
        return Placed(self.poses[rows], self.log_likelihood[rows])


class View(NamedTuple):
    """A part of a photograph with few pixels.  mesh: the unit mesh, about.  camera: of the part.  start: (7,)."""

    mesh: Mesh
    camera: Camera
    likelihood: ImageLikelihood
    start: np.ndarray

    def depth(self, poses: np.ndarray) -> np.ndarray:
        """(B, h, w) of the mesh at poses (B, 7), infinite beside it."""
        camera, count = self.camera, len(poses)
        intrinsics = np.repeat(camera.intrinsics[None], count, axis=0)
        return render.render_depth([self.mesh] * count, matrix_from_pose(poses), intrinsics, camera.height, camera.width)

    def silhouettes(self, poses: np.ndarray) -> np.ndarray:
        """(B, h, w) bool where the mesh is seen at poses (B, 7)."""
        camera = self.camera
        return render.render_silhouettes(self.mesh, matrix_from_pose(poses), camera.intrinsics, camera.height, camera.width)

    def judged(self, poses: np.ndarray) -> Placed:
        """Poses (B, 7) as they are, with their likelihoods."""
        turn = rotations.angle_between(poses[:, :4], self.start[None, :4]) / EXPECTED_TURN
        shift = SE3().difference(np.repeat(self.start[None], len(poses), axis=0), poses)[:, 3:]
        shift = shift * -self.start[6] / EXPECTED_SHIFT
        far = np.stack([turn**2, (shift[:, :2] ** 2).sum(axis=1), shift[:, 2] ** 2])
        penalty = PENALTY * np.maximum(0, far - 1).sum(axis=0)
        return Placed(poses, self.likelihood(self.silhouettes(poses)) - penalty)


def coarse_view(image: np.ndarray, hints: Hints, model: Model) -> View:
    """The part of an image (H, W, 3) around the model's start, with the pixels of the search."""
    return _view(image, hints, model, model.start, SEARCH_MARGIN, SEARCH_PX)


def fine_view(image: np.ndarray, hints: Hints, model: Model, pose: np.ndarray, coarse: View) -> View:
    """The part of an image around a pose (7,), with the pixels that tell a fraction of a degree.

    coarse: the view that it was found in.
    """
    return _view(image, hints, model, pose, FINE_MARGIN, FINE_PX, coarse.likelihood.palette)


def _view(
    image: np.ndarray,
    hints: Hints,
    model: Model,
    around: np.ndarray,
    margin: float,
    longest: int,
    palette: np.ndarray | None = None,
) -> View:
    left, top, right, bottom = window_around(model.silhouette(around), margin)
    reduction = math.ceil(max(right - left, bottom - top) / longest)
    window = slice(top, bottom), slice(left, right)
    colours = block_mean(image[window][None], reduction)[0] / np.float32(255 if image.dtype == np.uint8 else 1)
    inside, outside = (block_mean(one[window][None].astype(np.float32), reduction)[0] > 0.5 for one in hints[:2])
    height, width = colours.shape[:2]
    camera = model.camera.window(left, top, right - left, bottom - top).scaled(1 / reduction, width, height)
    scale = max(1.0, max(height, width) / SEARCH_PX)
    likelihood = ImageLikelihood(colours, inside, outside, scale, palette)
    cell = CELL_PX * -around[6] / camera.fx
    return View(simplified(model.unit.mesh, cell), camera, likelihood, model.start)


def place(image: np.ndarray, hints: Hints, model: Model, rng: np.random.Generator) -> np.ndarray:
    """(7,) the pose whose silhouette makes an image (H, W, 3) likeliest."""
    coarse = coarse_view(image, hints, model)
    *_, found = followed(coarse, search_around(coarse, rng), WIDE, rng)
    view = fine_view(image, hints, model, found.poses[0], coarse)
    *_, found = followed(view, view.judged(found.poses[distinct(found, MOST_FINE, *APART)]), NARROW, rng)
    return found.poses[0]


def search_around(view: View, rng: np.random.Generator) -> Placed:
    """Poses all around the start of a view."""
    turn = rotations.random_rotvec(rng, NUM_AROUND, MAX_TURN)
    shift = rng.uniform(-1, 1, (NUM_AROUND, 3)) * MAX_SHIFT / -view.start[6]
    steps = np.concatenate([turn, shift], axis=1)
    steps[: round(NEAR_SHARE * NUM_AROUND)] *= NEAR
    steps[0] = 0
    return view.judged(SE3().retract(np.repeat(view.start[None], NUM_AROUND, axis=0), steps))


def followed(view: View, placed: Placed, rounds: tuple[Round, ...], rng: np.random.Generator) -> Generator[Placed, None, None]:
    """Likelier poses after each round."""
    for one in rounds:
        placed = placed.at(distinct(placed, one.count, *(one.spread_px * apart for apart in APART)))
        is_kept = placed.log_likelihood >= placed.log_likelihood[0] - BEHIND * one.spread_px**2
        placed = _moved(view, placed.at(np.flatnonzero(is_kept).tolist()), one, rng)
        yield placed


def _moved(view: View, placed: Placed, one: Round, rng: np.random.Generator) -> Placed:
    """Poses and what was drawn around them, the likeliest first."""
    poses, manifold = placed.poses, SE3()
    count = one.drawn // one.count // 2
    half = rng.normal(size=(len(poses), count, 6))
    drawn = np.concatenate([half, -half], axis=1) * rng.choice((SMALL_SHARE, 1.0), size=(len(poses), 2 * count, 1))
    steps = _limited(one.spread_px * view.likelihood.pixel_scale * drawn @ _outline_steps(view, poses))
    found = view.judged(manifold.retract(np.repeat(poses, 2 * count, axis=0), steps.reshape(-1, 6)))
    likelihood = found.log_likelihood.reshape(len(poses), -1)
    least = np.sort(likelihood, axis=1)[:, [-max(3, count // 3)]]
    weight = np.exp((likelihood - likelihood.max(axis=1, keepdims=True)) / (TEMPERATURE * one.spread_px))
    weight = np.where(likelihood >= least, np.maximum(weight, 0.1), 0)
    mean = (weight[..., None] * steps).sum(axis=1) / weight.sum(axis=1, keepdims=True)
    averaged = view.judged(manifold.retract(np.concatenate([poses, poses]), np.concatenate([mean, EXTRAPOLATED * mean])))
    every = Placed(*(np.concatenate(parts) for parts in zip(placed, found, averaged, strict=True)))
    return every.at(np.argsort(-every.log_likelihood, kind="stable").tolist())


def _outline_steps(view: View, poses: np.ndarray) -> np.ndarray:
    """(B, 6, 6) rows of steps that each move the outline by a pixel, root mean square, and do not add up."""
    depth = view.depth(poses)
    seen, intrinsics = np.isfinite(depth), np.repeat(view.camera.intrinsics[None], len(poses), axis=0)
    points = contour_points(poses[:, 4:], depth, render.signed_distance(seen), np.ones_like(seen), intrinsics)
    hessian, _ = damped_normal_equations(points, np.full(len(poses), np.inf))
    length = np.bincount(points.instance, points.weight, len(poses))
    return np.linalg.inv(np.linalg.cholesky(hessian)) * np.sqrt(np.maximum(length, 1) / 6)[:, None, None]


def _limited(steps: np.ndarray) -> np.ndarray:
    turn, shift = LARGEST_STEP
    angle = np.linalg.norm(steps[..., :3], axis=-1, keepdims=True)
    return np.concatenate(
        [steps[..., :3] * np.minimum(1, turn / np.maximum(angle, 1e-9)), np.clip(steps[..., 3:], -shift, shift)], axis=-1
    )


def distinct(placed: Placed, count: int, turn_apart: float, shift_apart: float) -> list[int]:
    """Rows of up to count poses that differ by an angle or by a shift, the likeliest first."""
    rows = np.argsort(-placed.log_likelihood, kind="stable")[:MOST_COMPARED]
    poses = placed.poses[rows]
    cosine = np.abs(poses[:, :4] @ poses[:, :4].T)  # of half the angle between two
    shift = np.abs(poses[:, None, 4:] - poses[None, :, 4:]).max(axis=2)
    is_apart = (cosine < np.cos(turn_apart / 2)) | (shift > shift_apart)
    kept: list[int] = []
    for row in range(len(rows)):
        if is_apart[row, kept].all():
            kept.append(row)
        if len(kept) == count:
            break
    return rows[kept].tolist()
