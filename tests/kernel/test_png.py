# SPDX-License-Identifier: Apache-2.0
"""Rows of PNG files."""

import numpy as np
import pytest

from solver_core.kernel import loader, png

HEIGHT, WIDTH = 11, 9


def filtered(values: np.ndarray, filters: list[int], pixel_bytes: int) -> np.ndarray:
    """Rows as files hold them, of values (H, N)."""
    padded = np.pad(values.astype(int), ((1, 0), (pixel_bytes, 0)))
    left, up, beyond = padded[1:, :-pixel_bytes], padded[:-1, pixel_bytes:], padded[:-1, :-pixel_bytes]
    neighbours = np.stack([left, up, beyond])
    off = abs(left + up - beyond - neighbours)
    nearest = np.take_along_axis(neighbours, off.argmin(axis=0)[None], axis=0)[0]  # the first of those that are as near
    guesses = np.stack([np.zeros_like(left), left, up, (left + up) // 2, nearest])
    differences = (values - guesses[filters, np.arange(len(values))]) % 256
    return np.concatenate([np.array(filters)[:, None], differences], axis=1).astype(np.uint8)


@pytest.mark.parametrize("is_compiled", [True, False], ids=["C", "NumPy"])
@pytest.mark.parametrize("pixel_bytes", [1, 2, 3, 4])
def test_every_filter_is_undone_in_every_row(pixel_bytes, is_compiled, rng, monkeypatch):
    if not is_compiled:
        monkeypatch.setattr(loader, "library", lambda: None)
    values = rng.integers(0, 256, (HEIGHT, WIDTH * pixel_bytes)).astype(np.uint8)
    values[4:8] = values[4] // 64  # also where neighbours are alike
    for first in range(5):
        filters = [(first + row) % 5 for row in range(HEIGHT)]

        found = png.unfilter(filtered(values, filters, pixel_bytes), pixel_bytes)

        np.testing.assert_array_equal(found, values)


@pytest.mark.parametrize("is_compiled", [True, False], ids=["C", "NumPy"])
def test_a_filter_that_is_unknown_is_said(is_compiled, monkeypatch):
    if not is_compiled:
        monkeypatch.setattr(loader, "library", lambda: None)
    rows = np.zeros((4, 1 + WIDTH), np.uint8)
    rows[2, 0] = 5

    with pytest.raises(ValueError, match="row 2 has the filter 5"):
        png.unfilter(rows, 1)
