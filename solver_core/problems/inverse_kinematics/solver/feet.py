# SPDX-License-Identifier: Apache-2.0
"""Feet that stand: when they do, where they are held, and how far they slide and sink in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from solver_core.problems.inverse_kinematics.observation import Targets
from solver_core.problems.inverse_kinematics.skeleton.skeleton import Skeleton

NEAR, SLOW = 0.03, 0.3  # metres over where it stands and metres a second, below which a node of a foot stands
USUAL_RATE = 50.0  # frames a second of targets that state none
LOWEST = 0.03  # share of the frames in which a node may be below where it stands: noise and soft ground
SHORTEST, LONGEST_GAP = 3, 3  # frames of a contact, and between two that are one
RAMP = 6  # frames over which a foot comes to where it is held, and leaves it
HOLD = 100.0  # weight of a foot that is held, beside 1 of all nodes where they were
DEEP = 0.002  # metres under the floor from which on a node is held fully


class Footing(NamedTuple):
    """How feet stand.  slide: metres a frame along the floor, mean over contacts.  penetration: metres below the floor, mean
    over nodes and frames.  A motion without contacts has a slide of 0.
    """

    slide: float
    penetration: float


@dataclass(frozen=True, eq=False)
class Feet:
    """K nodes of feet over F frames.

    up: (3,) unit vector.  levels: (K,) heights at which the nodes stand.  is_standing: (F, K).
    """

    nodes: np.ndarray
    up: np.ndarray
    levels: np.ndarray
    is_standing: np.ndarray

    @classmethod
    def found(
        cls,
        positions: np.ndarray,
        skeleton: Skeleton,
        ankles: list[int],
        up: np.ndarray,
        frame_time: float | None,
        floor: float | None,
    ) -> Feet:
        """Feet of a motion.

        Args:
            positions: (F, N, 3) of the nodes, metres, without much noise.
            skeleton: with these nodes.
            ankles: the nodes that feet begin at.
            up: (3,) unit vector.
            frame_time: seconds, None = unknown.
            floor: height, metres; None = where the feet are lowest.
        """
        is_foot = np.isin(np.arange(skeleton.num_nodes), ankles)
        for level in skeleton.levels:
            is_foot[level.nodes] |= is_foot[level.parents]
        nodes = np.flatnonzero(is_foot)
        heights = positions[:, nodes] @ up  # (F, K)
        if floor is None:
            levels = np.quantile(heights, LOWEST, axis=0)
        else:
            at_rest = skeleton.rest_positions()[nodes] @ up
            levels = floor + at_rest - at_rest.min()
        speeds = _speeds(positions[:, nodes]) / (frame_time or 1 / USUAL_RATE)
        is_standing = (heights < levels + NEAR) & (speeds < SLOW)
        return cls(nodes, up, levels, np.stack([_steady(column) for column in is_standing.T], axis=1))

    @property
    def floor(self) -> float:
        """Height of the floor, metres."""
        return float(self.levels.min())

    def footing(self, positions: np.ndarray) -> Footing:
        """How the feet stand in a motion (F, N, 3)."""
        feet = positions[:, self.nodes]
        heights = feet @ self.up
        flat = feet - heights[..., None] * self.up
        both = self.is_standing[1:] & self.is_standing[:-1]
        slides = np.linalg.norm(np.diff(flat, axis=0), axis=-1)[both]
        depth = np.maximum(self.floor - heights, 0)
        return Footing(float(slides.mean()) if len(slides) else 0.0, float(depth.mean()))

    def held(self, positions: np.ndarray, root: int) -> Targets:
        """What is to be met: nodes where positions (F, N, 3) have them, feet that stand where they do on average.

        Positions are relative to the root; its own target is not exact, so that the body may go along with its feet.
        """
        wanted, weights = positions.copy(), np.ones(positions.shape[:2])
        for number, node in enumerate(self.nodes):
            place, share = self._places(positions[:, node], self.is_standing[:, number])
            goal = positions[:, node] + share[:, None] * (place - positions[:, node])
            depth = np.maximum(self.floor - goal @ self.up, 0)
            wanted[:, node] = goal + depth[:, None] * self.up
            weights[:, node] = 1 + (HOLD - 1) * np.maximum(share, np.minimum(depth / DEEP, 1))
        noise = np.zeros(weights.shape)
        noise[:, root] = 1e-5
        relative = wanted - positions[:, [root]]
        return Targets(*(array.astype(np.float32) for array in (relative, weights, noise)))

    def _places(self, path: np.ndarray, is_standing: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(F, 3) where a node with this path (F, 3) is held in the nearest contact, and (F,) how much, from 0 to 1."""
        places, shares = path.copy(), np.zeros(len(path))
        frames = np.arange(len(path))
        for first, end in _runs(is_standing):
            place = np.median(path[first:end], axis=0)
            share = 1 - np.maximum(np.maximum(first - frames, frames - end + 1), 0) / RAMP
            share = np.clip(share, 0, 1) ** 2 * (3 - 2 * np.clip(share, 0, 1))
            is_nearest = share > shares
            places[is_nearest], shares[is_nearest] = place, share[is_nearest]
        return places, shares


def _speeds(paths: np.ndarray) -> np.ndarray:
    """(F, K) metres a frame, over the two frames beside each."""
    if len(paths) < 2:
        return np.zeros(paths.shape[:2])
    return np.linalg.norm(np.gradient(paths, axis=0), axis=-1)


def _runs(is_there: np.ndarray) -> list[tuple[int, int]]:
    """First frames and ends, exclusive, of the stretches where it is."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], is_there.astype(int), [0]])))
    return [(int(first), int(end)) for first, end in edges.reshape(-1, 2)]


def _steady(is_standing: np.ndarray) -> np.ndarray:
    """(F,) without short gaps and short contacts."""
    steady = is_standing.copy()
    for first, end in _runs(~is_standing):
        if first > 0 and end < len(steady) and end - first <= LONGEST_GAP:
            steady[first:end] = True
    for first, end in _runs(steady):
        if end - first < min(SHORTEST, len(steady)):
            steady[first:end] = False
    return steady
