# SPDX-License-Identifier: Apache-2.0
"""A mask from a photograph and a rough word on where the object is.

As GrabCut does (Rother, Kolmogorov and Blake 2004): mixtures of the colours of object and surroundings, and a minimum cut
between them, take turns.  The cut is continuous (cut.py), and where the object's mesh is known, so is about where its outline
runs.  Where it is not, what is joined to the surroundings without an edge between (barrier.py) is taken for a part of them, as
long as the object then still reaches the sides of what was marked.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from solver_core import render
from solver_core.errors import ObservationError
from solver_core.frames import Camera
from solver_core.images import block_mean, block_repeat, gaussian_blur
from solver_core.segmentation.barrier import barrier_distance
from solver_core.segmentation.cut import minimum_cut
from solver_core.segmentation.edge import fine_mask
from solver_core.segmentation.hints import Hints, checked_hints, checked_image, window_around
from solver_core.segmentation.likelihood import HUE, oklab
from solver_core.segmentation.mixture import Mixture, fit_mixture, log_density
from solver_core.segmentation.placing import Model, checked_model, coarse_view, place
from solver_core.segmentation.prior import log_odds

WORKING_PX = 256  # longer side of what mixtures and cuts take turns on
MODEL_PX = 160  # where a model is known, whose pose tells more than the pixels do
FINE_PX = 512  # and of the last cut where no model is known; the edge is found in the image's own pixels afterwards
BAND_PX = 2.0  # of these beside an outline found in few pixels: what is farther away stays on its side in the last cut
MODEL_MARGIN = 0.25  # of the silhouette's longer side, around it: what shows the colours of the surroundings
NUM_INSIDE, NUM_OUTSIDE = 5, 12  # Gaussians
NOISE = np.array([0.02, 0.02, 0.02])  # of colours in [0, 1]
SAMPLES = 2500  # pixels that mixtures are fitted to
FIRST_ROUNDS, ROUNDS = 6, 2  # of expectation maximisation
TURNS, MODEL_TURNS = 6, 1  # of mixtures and cuts, and where a model is known
SURE = 30.0  # log odds of what the user marked
LIMIT = 20.0  # of the log odds of a colour: none is a proof
OUTLINE, SMOOTH = 15.0, 0.1  # cost of a pixel's length of outline, where the image has no edge; and the least share of it
TOLERANCE = 0.02  # of the silhouette's longer side: standard deviation of where its outline is thought to be once it was placed
PLACED_PX = 1.0  # of the image: how far a model that was placed may be off at its outline
TRUSTED = 3.0  # log odds of the network that are marked as though a user had
SETTLED = 0.002  # share of the pixels that still change sides
ALIKE = 0.5  # log odds: colours on the two sides of an outline that differ by less are alike
NOTED = 0.2  # share of the outline
SMALL = 0.01  # share of what was marked
CUT_OFF = 0.02  # share of the outline
FIRST = 3.0  # log odds that what is left of the marked shows the object before any colour was looked at
# What a path from the surroundings leads to is joined to them if its colours differ by less; the next one counts where the
# object does not reach the sides of what was marked.
APART = 0.05, 0.03, 0.0
JOINED = 6.0  # log odds against the object where colours do not differ at all
APART_BLUR_PX = 0.8  # against noise
# Of the longer side of what was marked: farther from a side of it an object is taken for a part, and so much nearer another
# answer must come.
LOOSE, NEARER = 0.1, 0.05


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
        image: (H, W, 3) sRGB, or (H, W) grey, which tells less; uint8 or float in [0, 1].
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
    hints = checked_hints(size, box, lasso, inside, outside, None if model is None else model.silhouette(model.start))
    if model is None:
        return segment(image, hints, None)
    if box is None and lasso is None:
        pose = place(image, hints, model, np.random.default_rng(0))
    else:
        model = model.fitted_to(~hints.is_outside)
        pose = _placed_twice(image, hints, model)
    return segment_model(image, hints, model, pose)._replace(coverage=model_coverage(image, hints, model, pose))


def _placed_twice(image: np.ndarray, hints: Hints, model: Model) -> np.ndarray:
    """(7,) where a model stands: by the image alone or with what the network is sure of marked, whichever is likelier."""
    places = (hints, _with_prior(image, hints, model.silhouette(model.start)))
    poses = np.stack([place(image, one, model, np.random.default_rng(0)) for one in places])
    return poses[coarse_view(image, hints, model).judged(poses).log_likelihood.argmax()]


def _with_prior(image: np.ndarray, hints: Hints, silhouette: np.ndarray) -> Hints:
    """Hints with what the network is sure of, if a model's silhouette is about (H, W) bool."""
    window, reduction, colours = _working(image, hints)
    inside, outside, seen = (_blocks(one[window], reduction) for one in (hints.is_inside, hints.is_outside, silhouette))
    found = log_odds(colours, inside, outside, seen)
    odds = np.zeros(silhouette.shape, np.float32)
    odds[window] = block_repeat(found, reduction, (odds[window].shape[0], odds[window].shape[1]))
    return hints._replace(is_inside=hints.is_inside | (odds > TRUSTED), is_outside=hints.is_outside | (odds < -TRUSTED))


def segment_model(image: np.ndarray, hints: Hints, model: Model, pose: np.ndarray) -> ImageMask:
    """Mask of a checked image (H, W, 3) by its colours, in which a model stands about at a pose (7,)."""
    silhouette = model.silhouette(pose)
    return segment(image, _window_on(hints, silhouette), prior_of(silhouette, TOLERANCE))


def model_coverage(image: np.ndarray, hints: Hints, model: Model, pose: np.ndarray) -> np.ndarray:
    """(H, W) float32 what a model covers at a pose (7,), whose edge is where the image has it within a pixel or two."""
    silhouette = model.silhouette(pose)
    hints = _window_on(hints, silhouette)
    window, reduction, colours = _working(image, hints)
    distance = render.signed_distance(silhouette[window][None])[0]
    expected = np.clip(0.5 - distance, 0, 1)
    coarse = block_mean(expected[None], reduction)[0]
    coverage = np.zeros(image.shape[:2], np.float32)
    found = fine_mask(image[window], colours, coarse, reduction, expected)
    coverage[window] = np.where(np.abs(distance) < PLACED_PX, found, expected)
    return _marked(coverage, hints)


def _window_on(hints: Hints, silhouette: np.ndarray) -> Hints:
    return hints._replace(window=window_around(silhouette | hints.is_inside, MODEL_MARGIN))


def _working(image: np.ndarray, hints: Hints, longest: int = WORKING_PX) -> tuple[tuple[slice, slice], int, np.ndarray]:
    """The window of an image, pixels of it that are one when it is cut, each way, and (h, w, 3) its means in [0, 1]."""
    left, top, right, bottom = hints.window
    window = slice(top, bottom), slice(left, right)
    reduction = math.ceil(max(right - left, bottom - top) / longest)
    colours = block_mean(image[window][None], reduction)[0] / np.float32(255 if image.dtype == np.uint8 else 1)
    return window, reduction, colours


def _marked(coverage: np.ndarray, hints: Hints) -> np.ndarray:
    """The coverage (H, W) with what a user marked."""
    return np.where(hints.is_outside, 0, np.where(hints.is_inside, 1, coverage)).astype(np.float32)


def segment(image: np.ndarray, hints: Hints, prior: np.ndarray | None) -> ImageMask:
    """Mask of a checked image (H, W, 3), with log odds (H, W) of each pixel before its colour is seen, or None."""
    window, reduction, colours = _working(image, hints, FINE_PX if prior is None else MODEL_PX)
    inside, outside, beyond = (_blocks(one[window], reduction) for one in hints[:3])
    if prior is None:
        coarse, ratio = _cut_from_marks(colours, inside, outside, beyond)
    else:
        known = _sure(inside, outside) + block_mean(prior[window][None], reduction)[0]
        coarse, ratio, _ = _take_turns(colours, known, 0, MODEL_TURNS)
    coverage = np.zeros(image.shape[:2], np.float32)
    coverage[window] = fine_mask(image[window], colours, coarse, reduction)
    coverage = _marked(coverage, hints)
    if not (coverage >= 0.5).any():
        raise ObservationError("no pixel there looks like an object; mark some of it with strokes inside")
    alike = _share_alike(coarse >= 0.5, ratio)
    notes = []
    if not np.ptp(colours, axis=2).any():
        notes.append("The photograph is grey, which tells less of where the object ends than colours do: look at the mask.")
    if alike > NOTED:
        notes.append(f"The object and what is around it have the same colours along {alike:.0%} of the outline.")
    if prior is None and not hints.is_outside.any():
        notes.append("Nothing is known to be beside the object; draw the box closer around it, or mark what is beside it.")
    if np.mean(coverage[~hints.is_outside] >= 0.5) < SMALL:
        notes.append(f"Less than {SMALL:.0%} of what was marked is taken for the object; mark some of it with strokes inside.")
    if _share_cut_off(coarse >= 0.5, outside, ratio) > CUT_OFF:
        notes.append("What looks like the object goes on beyond what was marked; a larger box may hold more of it.")
    return ImageMask(coverage, alike, notes)


class _Cut(NamedTuple):
    """inside: (h, w) in [0, 1].  ratio: (h, w) log odds by colour.  mixtures: of the colours inside and outside."""

    inside: np.ndarray
    ratio: np.ndarray
    mixtures: list[Mixture]


def _cut_from_marks(
    colours: np.ndarray, inside: np.ndarray, outside: np.ndarray, beyond: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(h, w) in [0, 1] what is inside, and (h, w) log odds by colour, of an object of which no model is known."""
    reduction = math.ceil(max(outside.shape) / WORKING_PX)
    small = block_mean(colours[None], reduction)[0]
    *marks, around = (_blocks(one, reduction) for one in (inside, outside, beyond))
    is_marked = around.any()
    first = FIRST if is_marked else _middle((small.shape[0], small.shape[1]))
    apart, found = _barrier_to(small, marks[0], around), []
    for least in APART if is_marked else APART[-1:]:
        joined = -JOINED * np.clip(1 - apart / least, 0, 1) if least > 0 else np.zeros_like(apart)
        cut = _take_turns(small, _sure(*marks) + joined, first)
        found.append((_missing(cut.inside >= 0.5, ~around), joined, cut))
        if found[-1][0] < LOOSE:
            break
    least_missing = min(missing for missing, _, _ in found)
    joined, cut = next((joined, cut) for missing, joined, cut in found if missing <= least_missing + NEARER)
    if reduction == 1:
        return cut.inside, cut.ratio
    size = outside.shape[0], outside.shape[1]
    distance = render.signed_distance((cut.inside >= 0.5)[None])[0]
    far = -SURE * np.where(np.abs(distance) > BAND_PX, np.sign(distance), 0)
    start, joined, far = (block_repeat(one, reduction, size) for one in (cut.inside, joined, far))
    ratio = _log_odds(cut.mixtures, colours)
    known = joined + far + _sure(inside, outside)
    return minimum_cut(-(ratio + known), _outline_weight(colours), start), ratio


def _barrier_to(colours: np.ndarray, inside: np.ndarray, beyond: np.ndarray) -> np.ndarray:
    """(h, w) how far colours change on the way to what is beyond; infinite where what is marked as inside is nearer."""
    felt = oklab(colours) * np.array([1, HUE, HUE], np.float32)
    felt = np.stack([gaussian_blur(channel, APART_BLUR_PX) for channel in np.moveaxis(felt, 2, 0)], axis=2)
    apart = barrier_distance(felt, beyond)
    return np.where(barrier_distance(felt, inside) < apart, np.inf, apart) if inside.any() else apart


def _missing(is_inside: np.ndarray, is_possible: np.ndarray) -> float:
    """How far a mask (h, w) stays away from a side of where it may be, of the longer side of that."""
    gaps, sides = [], []
    for axis in (0, 1):
        found, possible = (np.flatnonzero(one.any(axis=axis)) for one in (is_inside, is_possible))
        sides.append(np.ptp(possible) + 1)
        gaps += [found[0] - possible[0], possible[-1] - found[-1]] if len(found) else [sides[-1]]
    return float(max(gaps) / max(sides))


def _sure(inside: np.ndarray, outside: np.ndarray) -> np.ndarray:
    return SURE * (inside.astype(np.float32) - outside)


def _blocks(pixels: np.ndarray, reduction: int) -> np.ndarray:
    """(h, w) bool of blocks of pixels (H, W) bool, by their majority."""
    return block_mean(pixels[None].astype(np.float32), reduction)[0] > 0.5


def _take_turns(colours: np.ndarray, known: np.ndarray, first: np.ndarray | float, turns: int = TURNS) -> _Cut:
    """What has the colours of an object in (h, w, 3).

    known: (h, w) log odds whatever the colours.  first: log odds that are added to them before any colour was looked at.
    turns: at most.
    """
    rng = np.random.default_rng(0)
    features = colours.reshape(-1, 3)
    drawn = rng.permutation(len(features))[:SAMPLES]
    length = _outline_weight(colours)
    inside = 1 / (1 + np.exp(-np.clip(known + first, -SURE, SURE)))
    fitted: list[Mixture | None] = [None, None]
    for turn in range(turns):
        before = inside
        for index, (weight, count) in enumerate(((before, NUM_INSIDE), (1 - before, NUM_OUTSIDE))):
            weights = weight.ravel()[drawn].astype(np.float64) + 1e-6
            rounds = ROUNDS if turn else FIRST_ROUNDS
            fitted[index] = fit_mixture(features[drawn], weights, count, NOISE, rounds, rng, fitted[index])
        mixtures = [one for one in fitted if one is not None]
        ratio = _log_odds(mixtures, colours)
        inside = minimum_cut(-(ratio + known), length, before if turn else None)
        if turn and np.mean((inside >= 0.5) != (before >= 0.5)) < SETTLED:
            break
    return _Cut(inside, ratio, mixtures)


def _log_odds(mixtures: list[Mixture], colours: np.ndarray) -> np.ndarray:
    """(h, w) of the first of two mixtures, by colours (h, w, 3)."""
    first, second = (log_density(mixture, colours.reshape(-1, 3)) for mixture in mixtures)
    return np.clip(first - second, -LIMIT, LIMIT).reshape(colours.shape[:2])


def _outline_weight(colours: np.ndarray) -> np.ndarray:
    """(h, w) cost of a pixel's length of outline: less where the image has an edge."""
    squared = np.zeros(colours.shape[:2], np.float32)
    squared[:, :-1] += ((colours[:, 1:] - colours[:, :-1]) ** 2).sum(axis=2)
    squared[:-1] += ((colours[1:] - colours[:-1]) ** 2).sum(axis=2)
    return OUTLINE * (SMOOTH + (1 - SMOOTH) * np.exp(-squared / (2 * squared.mean() + 1e-6)))


def _middle(size: tuple[int, int]) -> np.ndarray:
    """(h, w) log odds that the object is near the middle of an image."""
    down, across = (np.linspace(-1, 1, length) for length in size)
    return FIRST * (1 - down[:, None] ** 2 - across**2)


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
