# SPDX-License-Identifier: Apache-2.0
"""A mask from a photograph and a rough word on where the object is.

As GrabCut does (Rother, Kolmogorov and Blake 2004): mixtures of the colours of object and surroundings, and a minimum cut
between them, take turns.  The cut is continuous (cut.py), and where the object's mesh is known, so is
about where its outline runs.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from solver_core import render
from solver_core.checks import checked_camera, checked_rigid
from solver_core.errors import ObservationError, SetupError
from solver_core.frames import Camera, project
from solver_core.images import block_mean
from solver_core.mesh import Mesh
from solver_core.segmentation.cut import minimum_cut
from solver_core.segmentation.edge import fine_mask
from solver_core.segmentation.hints import Hints, checked_hints, checked_image
from solver_core.segmentation.mixture import Mixture, fit_mixture, log_density

WORKING_PX = 256  # longer side of what is cut; the edge is found in the image's own pixels afterwards
NUM_INSIDE, NUM_OUTSIDE = 5, 12  # Gaussians
NOISE = np.array([0.02, 0.02, 0.02])  # of colours in [0, 1]
SAMPLES = 2500  # pixels that mixtures are fitted to
FIRST_ROUNDS, ROUNDS = 6, 2  # of expectation maximisation
TURNS = 6  # of mixtures and cuts
SURE = 30.0  # log odds of what the user marked
LIMIT = 20.0  # of the log odds of a colour: none is a proof
OUTLINE, SMOOTH = 15.0, 0.1  # cost of a pixel's length of outline, where the image has no edge; and the least share of it
TOLERANCE = 0.08  # of the silhouette's longer side: standard deviation of where its outline is thought to be
SETTLED = 0.002  # share of the pixels that still change sides
ALIKE = 0.5  # log odds: colours on the two sides of an outline that differ by less are alike
NOTED = 0.2  # share of the outline
SMALL = 0.01  # share of what was marked
CUT_OFF = 0.02  # share of the outline
FIRST = 0.95  # of its probability that a pixel near the middle shows the object before any colour was looked at


class ImageMask(NamedTuple):
    """coverage: (H, W) float32, fraction of each pixel that the object covers.

    alike: share of the outline, in [0, 1], along which object and surroundings have the same colours, so that the image does
    not tell where it runs.  notes: what else is known of it, in sentences.
    """

    coverage: np.ndarray
    alike: float
    notes: list[str]


def mask_from_image(
    image: np.ndarray,
    box: tuple[float, float, float, float] | None = None,
    lasso: np.ndarray | None = None,
    inside: np.ndarray | None = None,
    outside: np.ndarray | None = None,
    vertices: np.ndarray | None = None,
    faces: np.ndarray | None = None,
    camera: Camera | None = None,
    start: np.ndarray | None = None,
) -> ImageMask:
    """Mask of an object in a photograph, from a rough word on where it is (after GrabCut, Rother et al. 2004).

    At least one of box, lasso, inside and the model must be given; together they narrow it further.

    Args:
        image: (H, W, 3) sRGB, uint8 or float in [0, 1].
        box: (left, top, right, bottom) in pixels around all of the object.
        lasso: (N, 2) columns and rows of the corners of a polygon around all of the object, pixels.
        inside: (H, W) bool, True where the user painted over the object.
        outside: (H, W) bool, True where the user painted over what is beside it.
        vertices: (V, 3) of the object's mesh in any unit; with faces, camera and start they tell about where its outline is.
        faces: (F, 3) int, indices into vertices.
        camera: of the image's size.
        start: (4, 4) camera_from_object, about as good as solve_pose takes it; a box or lasso mends its place and size.

    Returns:
        ImageMask with the coverage as solve_pose takes it.

    Raises:
        ObservationError: if image or hints cannot be used, or nothing says where the object is.
        SetupError: if the model cannot be used, or is out of view.
    """
    image = checked_image(image)
    size = image.shape[0], image.shape[1]
    model = checked_model(vertices, faces, camera, start, size)
    silhouette = None if model is None else silhouette_of(*model)
    hints = checked_hints(size, box, lasso, inside, outside, silhouette)
    if model is not None and (box is not None or lasso is not None):
        silhouette = silhouette_of(*model, fitted_to=~hints.is_outside)
    return segment(image, hints, None if silhouette is None else prior_of(silhouette, TOLERANCE))


def segment(image: np.ndarray, hints: Hints, prior: np.ndarray | None) -> ImageMask:
    """Mask of a checked image (H, W, 3), with log odds (H, W) of each pixel before its colour is seen, or None."""
    left, top, right, bottom = hints.window
    window = slice(top, bottom), slice(left, right)
    reduction = math.ceil(max(right - left, bottom - top) / WORKING_PX)
    colours = block_mean(image[window][None], reduction)[0] / np.float32(255 if image.dtype == np.uint8 else 1)
    inside, outside = (
        block_mean(one[window][None].astype(np.float32), reduction)[0] > 0.5 for one in (hints.is_inside, hints.is_outside)
    )
    odds = _middle(~outside) if prior is None else block_mean(prior[window][None], reduction)[0]
    coarse, ratio = _take_turns(colours, inside, outside, odds, has_model=prior is not None)
    coverage = np.zeros(image.shape[:2], np.float32)
    coverage[window] = fine_mask(image[window], colours, coarse, reduction)
    coverage[hints.is_outside], coverage[hints.is_inside] = 0, 1
    if not (coverage >= 0.5).any():
        raise ObservationError("no pixel there looks like an object; mark some of it with strokes inside")
    alike = _share_alike(coarse >= 0.5, ratio)
    notes = []
    if alike > NOTED:
        notes.append(f"The object and what is around it have the same colours along {alike:.0%} of the outline.")
    if prior is None and not hints.is_outside.any():
        notes.append("Nothing is known to be beside the object; draw the box closer around it, or mark what is beside it.")
    if np.mean(coverage[~hints.is_outside] >= 0.5) < SMALL:
        notes.append(f"Less than {SMALL:.0%} of what was marked is taken for the object; mark some of it with strokes inside.")
    if _share_cut_off(coarse >= 0.5, outside, ratio) > CUT_OFF:
        notes.append("What looks like the object goes on beyond what was marked; a larger box may hold more of it.")
    return ImageMask(coverage, alike, notes)


def _take_turns(
    colours: np.ndarray, inside: np.ndarray, outside: np.ndarray, odds: np.ndarray, has_model: bool
) -> tuple[np.ndarray, np.ndarray]:
    """(h, w) in [0, 1] what is inside, and (h, w) log odds by colour."""
    rng = np.random.default_rng(0)
    height, width = odds.shape
    features = colours.reshape(-1, 3)
    drawn = rng.permutation(len(features))[:SAMPLES]
    known = SURE * (inside.astype(np.float32) - outside)
    length = _outline_weight(colours)
    belief = 1 / (1 + np.exp(-np.clip(odds + known, -SURE, SURE)))
    mixtures: list[Mixture | None] = [None, None]
    cut, ratio = None, np.zeros_like(odds)
    for turn in range(TURNS):
        for index, (weight, count) in enumerate(((belief, NUM_INSIDE), (1 - belief, NUM_OUTSIDE))):
            weights = weight.ravel()[drawn].astype(np.float64) + 1e-6
            rounds = ROUNDS if turn else FIRST_ROUNDS
            mixtures[index] = fit_mixture(features[drawn], weights, count, NOISE, rounds, rng, mixtures[index])
        by_colour = [log_density(mixture, features) for mixture in mixtures if mixture is not None]
        ratio = np.clip(by_colour[0] - by_colour[1], -LIMIT, LIMIT).reshape(height, width)
        before = cut
        cut = minimum_cut(-(ratio + (odds if has_model else 0) + known), length, before)
        belief = cut
        if before is not None and np.mean((cut >= 0.5) != (before >= 0.5)) < SETTLED:
            break
    assert cut is not None
    return cut, ratio


def _outline_weight(colours: np.ndarray) -> np.ndarray:
    """(h, w) cost of a pixel's length of outline: less where the image has an edge."""
    squared = np.zeros(colours.shape[:2], np.float32)
    squared[:, :-1] += ((colours[:, 1:] - colours[:, :-1]) ** 2).sum(axis=2)
    squared[:-1] += ((colours[1:] - colours[:-1]) ** 2).sum(axis=2)
    return OUTLINE * (SMOOTH + (1 - SMOOTH) * np.exp(-squared / (2 * squared.mean() + 1e-6)))


def _middle(is_possible: np.ndarray) -> np.ndarray:
    """(h, w) log odds that the object is near the middle of where it may be."""
    squared = np.zeros(is_possible.shape)
    for axis, places in enumerate(np.nonzero(is_possible)):
        middle, half = (places.min() + places.max()) / 2, max(np.ptp(places) / 2, 1)
        along = ((np.arange(is_possible.shape[axis]) - middle) / half) ** 2
        squared = squared + (along[:, None] if axis == 0 else along)
    return (np.log(FIRST / (1 - FIRST)) * (1 - squared)).astype(np.float32)


def prior_of(silhouette: np.ndarray, tolerance: float) -> np.ndarray:
    """(H, W) float32 log odds that a silhouette (H, W) bool gives, whose outline is off by a share of its longer side.

    They are those of the normal distribution, to a few percent.
    """
    rows, columns = np.flatnonzero(silhouette.any(axis=1)), np.flatnonzero(silhouette.any(axis=0))
    scale = tolerance * max(np.ptp(rows) + 1, np.ptp(columns) + 1)
    deviations = -render.signed_distance(silhouette[None])[0] / np.float32(scale)
    return np.clip(deviations * (1.6 + np.abs(deviations) / 2), -SURE, SURE)


def _share_alike(is_inside: np.ndarray, ratio: np.ndarray) -> float:
    """Share of the outline of a mask (h, w) beside which the log odds by colour do not tell the sides apart."""
    alike = total = 0
    for first, second in (((slice(None), slice(1, -2)), (slice(None), slice(2, -1))), ((slice(1, -2),), (slice(2, -1),))):
        crossed = is_inside[first] != is_inside[second]
        sign = np.where(is_inside[first], 1, -1)
        difference = sign * (ratio[first] - ratio[second]) / 2
        alike, total = alike + int(np.sum(crossed & (difference < ALIKE))), total + int(crossed.sum())
    return alike / max(total, 1)


def _share_cut_off(is_inside: np.ndarray, is_outside: np.ndarray, ratio: np.ndarray) -> float:
    """Share of the outline of a mask (h, w) beyond which the user said that the object ends, but colours do not."""
    cut_off = total = 0
    for first, second in ((np.s_[:, 1:], np.s_[:, :-1]), (np.s_[1:], np.s_[:-1])):
        for inner, outer in ((first, second), (second, first)):
            crossed = is_inside[inner] & ~is_inside[outer]
            cut_off += int(np.sum(crossed & is_outside[outer] & (ratio[outer] > ALIKE)))
            total += int(crossed.sum())
    return cut_off / max(total, 1)


Model = tuple[Mesh, Camera, np.ndarray]


def checked_model(vertices: Any, faces: Any, camera: Any, start: Any, size: tuple[int, int]) -> Model | None:
    """Mesh, camera and (4, 4) start, or None if there is none.  Raises SetupError."""
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
    return Mesh.checked(vertices, faces), camera, checked_rigid(start, "start")


def silhouette_of(mesh: Mesh, camera: Camera, pose: np.ndarray, fitted_to: np.ndarray | None = None) -> np.ndarray:
    """(H, W) bool where a mesh is seen; moved and sized so that its box is that of an area (H, W) if one is given.

    Raises SetupError if it is not in view.
    """
    points = mesh.vertices @ pose[:3, :3].T + pose[:3, 3]
    if (points[:, 2] >= 0).any():
        raise SetupError("the start puts a part of the object behind the camera; move it into view")
    intrinsics = camera.intrinsics
    if fitted_to is not None:
        seen = project(points, intrinsics)
        low, high = seen.min(axis=0), seen.max(axis=0)
        spans = [np.flatnonzero(fitted_to.any(axis=axis))[[0, -1]] + [0, 1] for axis in (0, 1)]
        factor = float(np.mean([np.ptp(span) for span in spans]) / np.mean(high - low))
        shift = [span.mean() for span in spans] - factor * (low + high) / 2
        intrinsics = factor * intrinsics
        intrinsics[2:] += shift
    depth = render.render_depth([mesh], pose[None].astype(np.float64), intrinsics[None], camera.height, camera.width)[0]
    if not np.isfinite(depth).any():
        raise SetupError("at the start the object is out of view; move it into the image")
    return np.isfinite(depth)
