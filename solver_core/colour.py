# SPDX-License-Identifier: Apache-2.0
"""Colours as pictures hold them and as light adds up."""

from __future__ import annotations

import numpy as np


def linear_from_srgb(values: np.ndarray) -> np.ndarray:
    """Linear float32 of sRGB values in [0, 1]."""
    values = np.asarray(values, np.float32)
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4).astype(np.float32)


def srgb_from_linear(values: np.ndarray) -> np.ndarray:
    """Values in sRGB, float32 in [0, 1], of linear ones; cut at 1."""
    values = np.clip(values, 0, 1).astype(np.float32)
    return np.where(values <= 0.0031308, values * 12.92, 1.055 * values ** (1 / 2.4) - 0.055).astype(np.float32)
