# SPDX-License-Identifier: Apache-2.0
"""Light that does not come straight from its source: from a sky that other surfaces hide, and from other surfaces.

Where something hides the sky from a point, it shines as the patches of what the camera sees that face the point do on
average, weighted by how large they look from there.  So nothing is asked of what lies between them or is out of view.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from solver_core.frames import Camera
from solver_core.problems.lighting.surface import LitScene, Pixels

BLOCKS = 12  # along the longer side of what is seen: one patch each, for every mesh that a block shows
GRAZING = 0.1  # least cosine between a patch and the line of sight: flatter ones are hardly seen, and their size not known


class Surroundings(NamedTuple):
    """Of the P points of a single scene.

    patches: (S,) which of the points stand for patches.  transport: (P, S) what a patch of radiance one adds to the radiance of
    a white point; in sum what hides the sky.
    """

    patches: np.ndarray
    transport: np.ndarray

    @classmethod
    def of(cls, scene: LitScene, open_to_sky: np.ndarray, pixels: Pixels, seen: np.ndarray, camera: Camera) -> Surroundings:
        """Surroundings of a scene's points.

        Args:
            scene: a single one.
            open_to_sky: (P,) share of the light of a uniform sky that reaches the points.
            pixels: where its points are in the image.
            seen: (H, W) bool, where the image shows a surface.
            camera: of the image.
        """
        surface = scene.surface
        rows, columns = np.nonzero(seen)
        block = max(np.ptp(rows), np.ptp(columns)) // BLOCKS + 1
        across, down = (pixels.column - columns.min()) // block, (pixels.row - rows.min()) // block
        key = (down * (BLOCKS + 1) + across) * (int(surface.object_index.max()) + 1) + surface.object_index[0]
        order = np.argsort(key, kind="stable")
        _, first, count = np.unique(key[order], return_index=True, return_counts=True)
        patches = order[first + count // 2]  # the middle point of each
        shares = count * (len(rows) / len(key))  # pixels
        position, normal = surface.position[0], surface.normal[0]
        from_camera = position[patches] + scene.centre[0] / scene.scale[0]
        distance = np.linalg.norm(from_camera, axis=1)
        pixel = np.abs(from_camera[:, 2]) ** 3 / distance / (camera.fx * camera.fy)  # area of one, square to the line of sight
        facing = np.maximum(-np.sum(from_camera * normal[patches], axis=1) / distance, GRAZING)
        area = shares * pixel / facing
        offset = position[patches] - position[:, None]  # (P, S, 3)
        squared = np.einsum("psk,psk->ps", offset, offset)
        arriving = np.maximum(np.einsum("psk,pk->ps", offset, normal), 0)
        leaving = np.maximum(-np.einsum("psk,sk->ps", offset, normal[patches]), 0)
        seen_of = area * arriving * leaving / (squared * (np.pi * squared + area) + np.finfo(np.float32).tiny)
        hidden = (1 - np.minimum(open_to_sky, 1)) / np.maximum(seen_of.sum(axis=1), np.finfo(np.float32).tiny)
        return cls(patches, (hidden[:, None] * seen_of).astype(np.float32))

    def with_bounces(self, straight: np.ndarray, albedo: np.ndarray) -> np.ndarray:
        """(..., P, 3) radiance of white points, of that without a bounce (..., P, 1 or 3); albedo: (..., P, 3)."""
        albedo = albedo[..., self.patches, :]
        first = straight[..., self.patches, :] * albedo  # what leaves the patches, then with what came from others
        leaving = first + albedo * _onto(self.transport[self.patches], first)
        return straight + _onto(self.transport, leaving)


def _onto(transport: np.ndarray, leaving: np.ndarray) -> np.ndarray:
    """(..., P, C) transport (P, S) @ leaving (..., S, C): one product for many lights, as each reads the whole matrix."""
    *many, patches, colours = leaving.shape
    arriving = transport @ np.moveaxis(leaving, -2, 0).reshape(patches, -1)  # (P, ... C)
    return np.moveaxis(arriving.reshape(-1, *many, colours), 0, -2)
