# SPDX-License-Identifier: Apache-2.0
"""What a solve works with: targets at the skeleton's size, without faults, and how sure each is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from solver_core.problems.inverse_kinematics.observation import Targets
from solver_core.problems.inverse_kinematics.skeleton.skeleton import Skeleton
from solver_core.problems.inverse_kinematics.solver.faults import Faults, find_faults
from solver_core.problems.inverse_kinematics.solver.series import cosine_transform, frequencies, smooth_series

SAME_SIZE = 0.03  # share; a body that is nearer to the skeleton's size is taken to be of it
SPREAD_OF_DEVIATION = 1.4826  # standard deviation of normal noise over the median of deviations
FEWEST_BONES = 4  # that tell the size of a body
ORDER = 3  # of the differences that are kept small: what moves a body changes its acceleration smoothly
STIFFNESSES = 10.0 ** np.arange(-2, 6.1, 0.5)  # from none to what leaves one hertz at 60 frames a second
BRIDGE_ORDER = 2  # over gaps: keeps the speed, and no more
GUESS, MOST_GUESS = 0.002, 0.15  # metres: what bridged targets are off after 1 frame, growing as frames^1.5, and at most
LASTING = 10.0  # frames for which drift lasts; so many say as much as one
LISTED = 5  # names in a sentence


class Given(NamedTuple):
    """Checked targets: positions (F, N, 3) world metres without nan; weights (F, N) >= 0, 0 = not given."""

    positions: np.ndarray
    weights: np.ndarray


@dataclass(frozen=True, eq=False)
class Evidence:
    """Targets of F frames as a solve sees them.

    observation: relative to origin (F, 1, 3), what is lost being guessed; without noise it is exact but for the guesses.
    positions: (F, N, 3) world metres, as measured.  variance: (F, N) square metres, infinite where nothing is known.
    is_lost: (F, N) where a target is missing or an outlier that is there in other frames.  scale: of the body that was
    measured over the skeleton.  noise: metres an axis at the skeleton's size, 0 = exact.  notices: sentences about all of it.
    """

    observation: Targets
    origin: np.ndarray
    positions: np.ndarray
    variance: np.ndarray
    is_lost: np.ndarray
    scale: float
    noise: float
    notices: tuple[str, ...]

    @cached_property
    def known(self) -> Targets:
        """The observation without guesses."""
        weights = np.where(self.is_lost, 0, self.observation.weights)
        alone = weights.sum(axis=1) == 0  # frames without any target keep their guesses: they cannot contradict
        weights[alone] = self.observation.weights[alone]
        return Targets(self.observation.positions, weights, np.where(self.is_lost & ~alone[:, None], 0, self.observation.noise))


def gather(given: Given, skeleton: Skeleton, noise: float | None, scale: float | None) -> Evidence:
    """Evidence from targets.

    Args:
        given: the targets.
        skeleton: their nodes.
        noise: metres an axis; None = found from bones whose lengths change.
        scale: of the measured body over the skeleton, None = found from the lengths of bones.
    """
    notices = []
    if scale is None:
        scale = measured_scale(given, skeleton)
        if scale != 1:
            notices.append(
                f"the targets are those of a body {scale:.2f} times as large as the skeleton; they and the ways it goes were "
                "brought to the skeleton's size (scale=1 keeps them)"
            )
    faults = find_faults(given.positions / scale, given.weights, skeleton)
    notices += _said_of_faults(faults, skeleton)
    if noise is not None:
        faults = faults._replace(noise=noise / scale, drift=0.0)
    is_known = faults.weights > 0
    is_expected = is_known.any(axis=0)
    is_lost = ~is_known & is_expected
    notices += _said_of_gaps(is_lost & ~faults.is_outlier, skeleton)
    positions, left = _bridged(faults.positions, is_known), np.ones(skeleton.num_nodes)
    if faults.noise > 0 and len(positions) > ORDER:
        positions, left = smoothed_positions(positions, is_known, faults.noise)
    std = np.where(is_lost, _doubt(is_known), 0)
    std = np.maximum(std, np.hypot(faults.noise * np.sqrt(left), faults.drift))
    weights = np.where(is_lost, _usual_weights(faults.weights), faults.weights)
    of_root = weights[:, skeleton.root, None, None] > 0
    mean = (weights[..., None] * positions).sum(axis=1, keepdims=True) / weights.sum(axis=1)[:, None, None]
    origin = np.where(of_root, positions[:, [skeleton.root]], mean)
    relative = np.where((weights > 0)[..., None], positions - origin, 0)
    whole = faults.noise**2 + LASTING * faults.drift**2
    variance = np.where(is_known, whole / np.maximum(faults.weights / faults.weights.max(), 1e-12), np.inf)
    observation = Targets(*(array.astype(np.float32) for array in (relative, weights, std)))
    total = float(np.hypot(faults.noise, faults.drift))
    return Evidence(observation, origin, faults.positions, variance, is_lost, scale, total, tuple(notices))


def measured_scale(given: Given, skeleton: Skeleton) -> float:
    """Size of the body that was measured over the skeleton's; exactly 1 where they are alike or nothing tells."""
    nodes = np.flatnonzero(skeleton.parents >= 0)
    parents = skeleton.parents[nodes]
    has_both = (given.weights[:, nodes] > 0) & (given.weights[:, parents] > 0)
    tells = has_both.any(axis=0) & (skeleton.bone_lengths[nodes] > 0.5 * np.median(skeleton.bone_lengths[nodes]))
    if tells.sum() < FEWEST_BONES:
        return 1.0
    bones = np.linalg.norm(given.positions[:, nodes] - given.positions[:, parents], axis=-1)
    measured = np.ma.array(bones, mask=~has_both)
    middle = np.ma.median(measured, axis=0)
    spread = SPREAD_OF_DEVIATION * np.ma.median(abs(measured - middle), axis=0)
    # Noise across a bone makes it longer, by as much as its variance along the bone over the length.
    lengths = (middle - spread**2 / np.maximum(middle, 1e-9)).filled(0)[tells]
    ratios = lengths / skeleton.bone_lengths[nodes][tells]
    order = np.argsort(ratios)
    share = np.cumsum(skeleton.bone_lengths[nodes][tells][order])
    ratio = float(ratios[order][np.searchsorted(share, share[-1] / 2)])  # median, longer bones counting more
    return 1.0 if abs(np.log(max(ratio, 1e-9))) < SAME_SIZE else ratio


def smoothed_positions(positions: np.ndarray, is_known: np.ndarray, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Positions (F, N, 3) without most of their noise, and the share (N,) of the noise's variance that is left.

    Positions that are not known are guesses, which count for nothing.  Each node is smoothed as much as is best for its own
    motion, by Stein's unbiased estimate of the risk.
    """
    count, num_nodes = positions.shape[:2]
    amounts = (cosine_transform(_without_parabola(positions)) ** 2).sum(axis=2) / 3  # (F, N)
    gains = 1 / (1 + STIFFNESSES[:, None] * frequencies(count, ORDER))  # (S, F)
    risks = (1 - gains) ** 2 @ amounts + 2 * noise**2 * gains.sum(axis=1)[:, None]  # (S, N)
    best = risks.argmin(axis=0)
    weights = np.repeat(is_known.astype(float), 3, axis=1)
    series = smooth_series(positions.reshape(count, -1), weights, np.repeat(STIFFNESSES[best], 3), ORDER)
    return series.reshape(count, num_nodes, 3), gains.mean(axis=1)[best]


def _bridged(positions: np.ndarray, is_known: np.ndarray) -> np.ndarray:
    """Positions with smooth ways over the gaps, the others untouched."""
    positions = positions.copy()
    nodes = np.flatnonzero(~is_known.all(axis=0) & is_known.any(axis=0))
    if len(nodes) == 0:
        return positions
    known = np.repeat(is_known[:, nodes], 3, axis=1)
    values = positions[:, nodes].reshape(len(positions), -1)
    series = smooth_series(values, known.astype(float), np.full(values.shape[1], 1e-6), BRIDGE_ORDER)
    positions[:, nodes] = np.where(known, values, series).reshape(len(positions), -1, 3)
    return positions


def _doubt(is_known: np.ndarray) -> np.ndarray:
    """(F, N) standard deviation of guesses, by the distance in frames to what is known."""
    frames = np.arange(len(is_known))[:, None]
    last = np.maximum.accumulate(np.where(is_known, frames, -len(frames)), axis=0)
    following = np.minimum.accumulate(np.where(is_known, frames, 2 * len(frames))[::-1], axis=0)[::-1]
    return np.minimum(GUESS * np.minimum(frames - last, following - frames) ** 1.5, MOST_GUESS)


def _usual_weights(weights: np.ndarray) -> np.ndarray:
    """(N,) the median of each node's weights where it has any."""
    return np.ma.median(np.ma.array(weights, mask=weights <= 0), axis=0).filled(0)


def _without_parabola(series: np.ndarray) -> np.ndarray:
    """(F, N, 3) less the best parabola, so that their ends do not pass for noise."""
    powers = np.vander(np.linspace(-1, 1, len(series)), 3)
    flat = series.reshape(len(series), -1)
    return (flat - powers @ np.linalg.lstsq(powers, flat, rcond=None)[0]).reshape(series.shape)


def _said_of_faults(faults: Faults, skeleton: Skeleton) -> list[str]:
    """Sentences about outliers and exchanged sides."""
    said = []
    if faults.is_swapped.any():
        said.append(f"left and right are exchanged in {_frames(np.any(faults.is_swapped, axis=1))}; they were exchanged back")
    if faults.is_outlier.any():
        names = _listed([skeleton.names[node] for node in np.flatnonzero(faults.is_outlier.any(axis=0))])
        count = int(faults.is_outlier.sum())
        said.append(
            f"{'1 target is' if count == 1 else f'{count} targets are'} far from where bones and motion allow "
            f"({names}, {_frames(np.any(faults.is_outlier, axis=1))}) and {'was' if count == 1 else 'were'} left out"
        )
    return said


def _said_of_gaps(is_lost: np.ndarray, skeleton: Skeleton) -> list[str]:
    if not is_lost.any():
        return []
    names = _listed([skeleton.names[node] for node in np.flatnonzero(is_lost.any(axis=0))])
    count = int(is_lost.sum())
    subject = "1 target is missing" if count == 1 else f"{count} targets are missing"
    return [f"{subject} ({names}, {_frames(np.any(is_lost, axis=1))}) and {'was' if count == 1 else 'were'} bridged over time"]


def _frames(is_there: np.ndarray) -> str:
    """Ranges of frames, counted from 0."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], is_there.astype(int), [0]])))
    ranges = [str(a) if a + 1 == b else f"{a} to {b - 1}" for a, b in edges.reshape(-1, 2)]
    word = "frame" if len(ranges) == 1 and "to" not in ranges[0] else "frames"
    return f"{word} {_listed(ranges)}"


def _listed(words: list[str]) -> str:
    return ", ".join(words[:LISTED]) + (f" and {len(words) - LISTED} more" if len(words) > LISTED else "")
