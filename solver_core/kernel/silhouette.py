# SPDX-License-Identifier: Apache-2.0
"""What an image shows inside of silhouettes and along their outlines."""

from __future__ import annotations

import numpy as np

from solver_core.kernel import loader
from solver_core.kernel.threads import for_each_chunk


def silhouette_sums(
    silhouettes: np.ndarray, labels: np.ndarray, votes: np.ndarray, across: np.ndarray, down: np.ndarray, num_labels: int
) -> tuple[np.ndarray, np.ndarray]:
    """Pixels of each label in silhouettes, (B, num_labels) int32, and sums (B, 3) over them.

    The sums are those of the votes of the pixels inside, of across and down where a pixel or its neighbour is inside and not
    both, and the number of these pairs.

    silhouettes: (B, H, W) bool.  labels: (H, W) below num_labels, which is at most 256.  votes: (H, W) whole, from -128 to 127.
    across: (H, W - 1), of pixels and their neighbours to the right; down: (H - 1, W), and below.
    """
    count, height, width = silhouettes.shape
    loader.check_image_size(height, width)
    loader.check_shapes(
        labels=(labels, (height, width)),
        votes=(votes, (height, width)),
        across=(across, (height, max(width - 1, 0))),
        down=(down, (max(height - 1, 0), width)),
    )
    types = (labels, np.uint8), (votes, np.int8), (across, np.float32), (down, np.float32)
    images = labels, votes, across, down = [np.ascontiguousarray(image, dtype) for image, dtype in types]
    counts, sums = np.empty((count, num_labels), np.int32), np.empty((count, 3))
    library = loader.library()
    if library is None:
        for silhouette, of_one, sums_of_one in zip(silhouettes, counts, sums, strict=True):
            _fill_in_numpy(silhouette, labels, votes, across, down, of_one, sums_of_one)
        return counts, sums
    masks = np.ascontiguousarray(silhouettes, np.bool_)

    def fill_chunk(part: slice) -> None:
        library.solver_core_silhouette_sums(
            *(len(masks[part]), height, width, masks[part], *images, num_labels, counts[part], sums[part])
        )

    for_each_chunk(fill_chunk, count)
    return counts, sums


def _fill_in_numpy(
    silhouette: np.ndarray,
    labels: np.ndarray,
    votes: np.ndarray,
    across: np.ndarray,
    down: np.ndarray,
    counts: np.ndarray,
    sums: np.ndarray,
) -> None:
    """Fills counts (num_labels,) and sums (3,) of one silhouette (H, W)."""
    counts[:] = np.bincount(labels[silhouette], minlength=len(counts))[: len(counts)]
    pairs = np.concatenate([across[silhouette[:, 1:] != silhouette[:, :-1]], down[silhouette[1:] != silhouette[:-1]]])
    sums[:] = votes[silhouette].sum(dtype=np.float64), pairs.sum(dtype=np.float64), len(pairs)
