# SPDX-License-Identifier: Apache-2.0
"""Rows of PNG files as values: each holds how far its bytes are from what the bytes beside and above them let expect.

The filters are those of https://www.w3.org/TR/png-3/#9Filters.
"""

from __future__ import annotations

import numpy as np

from solver_core.kernel import loader

NONE, SUB, UP, AVERAGE, PAETH = range(5)


def unfilter(rows: np.ndarray, pixel_bytes: int) -> np.ndarray:
    """(H, N) uint8 of rows (H, 1 + N) uint8, each of which begins with the number of its filter.

    pixel_bytes: of a pixel, 1 to 8.  Raises ValueError if a filter is unknown.
    """
    height, row_bytes = rows.shape[0], rows.shape[1] - 1
    values = np.empty((height, row_bytes), np.uint8)
    library = loader.library()
    if library is None:
        unknown = _unfilter_in_numpy(rows, pixel_bytes, values)
    else:
        nothing = np.zeros(row_bytes, np.uint8)
        unknown = library.solver_core_unfilter(height, row_bytes, pixel_bytes, rows, nothing, values)
    if unknown >= 0:
        raise ValueError(f"row {unknown} has the filter {rows[unknown, 0]}, which PNG files do not know")
    return values


def _unfilter_in_numpy(rows: np.ndarray, pixel_bytes: int, values: np.ndarray) -> int:
    """Fills in the values; -1, or the first row with an unknown filter."""
    above = np.zeros(pixel_bytes + values.shape[1], np.int64)  # pixels that are 0 lie before each row
    for number, (filter_of_row, *differences) in enumerate(rows.astype(np.int64)):
        if filter_of_row > PAETH:
            return number
        row = np.zeros_like(above)
        for i, difference in enumerate(differences, start=pixel_bytes):
            left, up, beyond = row[i - pixel_bytes], above[i], above[i - pixel_bytes]
            row[i] = (difference + _guess(filter_of_row, left, up, beyond)) % 256
        values[number], above = row[pixel_bytes:], row
    return -1


def _guess(filter_of_row: int, left: int, up: int, beyond: int) -> int:
    """What a filter lets expect of a byte by those of the pixels before it, above it and above the one before it."""
    if filter_of_row == PAETH:
        slope = left + up - beyond
        return min((left, up, beyond), key=lambda value: abs(slope - value))
    return (0, left, up, (left + up) // 2)[filter_of_row]
