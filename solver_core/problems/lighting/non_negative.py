# SPDX-License-Identifier: Apache-2.0
"""Non-negative least squares of many small systems at once: light is added, never taken away."""

from __future__ import annotations

import numpy as np

RIDGE = 1e-6  # of the square of a column: two may be the same
PATIENCE = 3  # exchanges of all that is wrong that need not help, before one unknown at a time is exchanged, which always ends
MAX_EXCHANGES = 100  # few systems take more than five
ROUNDED = 1e-9  # of the largest product: a slope nearer to zero is zero


def non_negative(squares: np.ndarray, products: np.ndarray, allowed: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Non-negative solutions (M, N) of M normal equations, by block pivoting (Kim and Park 2011).

    Args:
        squares: (M, N, N) symmetric, positive semidefinite.
        products: (M, N).
        allowed: (M, N) bool, unknowns that may be more than zero; None = all.

    Returns:
        The solutions, and (M,) by how much each lowers the squared error of zeros.
    """
    size = products.shape[1]
    length = np.sqrt(np.diagonal(squares, axis1=1, axis2=2), dtype=np.float64)
    scale = np.divide(1, length, out=np.zeros_like(length), where=length > 0)  # a dark column has no amount
    squares = squares * scale[:, :, None] * scale[:, None] + RIDGE * np.eye(size)
    products = products * scale
    allowed = np.ones(products.shape, bool) if allowed is None else allowed
    is_free, solution = allowed.copy(), np.zeros(products.shape)
    fewest, patience = np.full(len(products), size + 1), np.full(len(products), PATIENCE)
    rows = np.arange(len(products))
    for _ in range(MAX_EXCHANGES):
        free = is_free[rows]
        system = np.where(free[:, :, None] & free[:, None], squares[rows], np.eye(size))
        solved = np.linalg.solve(system, np.where(free, products[rows], 0)[..., None])
        solution[rows] = np.maximum(solved[..., 0], 0)
        slope = (squares[rows] @ solved)[..., 0] - products[rows]
        rounded = ROUNDED * np.abs(products[rows]).max(axis=1, keepdims=True)
        wrong = np.where(free, solved[..., 0] < 0, allowed[rows] & (slope < -rounded))
        is_open = wrong.any(axis=1)
        rows, wrong = rows[is_open], wrong[is_open]
        if not len(rows):
            break
        number = wrong.sum(axis=1)
        patience[rows] = np.where(number < fewest[rows], PATIENCE, patience[rows] - 1)
        fewest[rows] = np.minimum(fewest[rows], number)
        last = size - 1 - np.argmax(wrong[:, ::-1], axis=1)
        is_single = patience[rows] < 0
        wrong[is_single] = np.arange(size) == last[is_single, None]
        is_free[rows] ^= wrong
    return solution * scale, np.sum(solution * products, axis=1)
