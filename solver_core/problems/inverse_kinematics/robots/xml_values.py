# SPDX-License-Identifier: Apache-2.0
"""Numbers in the attributes of XML elements."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence

import numpy as np


def vector(element: ET.Element | None, key: str, count: int, name: str, default: Sequence[float]) -> np.ndarray:
    """(count,) finite numbers of an attribute, or the default.  Raises ValueError that calls the element's owner `name`."""
    text = None if element is None else element.get(key)
    if text is None:
        return np.array(default, float)
    try:
        values = np.array(text.split(), float)
    except ValueError:
        values = np.empty(0)
    if values.shape != (count,) or not np.isfinite(values).all():
        what = "a finite number" if count == 1 else f"{count} finite numbers"
        raise ValueError(f"{key} of {name!r} must be {what}, and is {text[:50]!r}")
    return values


def placed(position: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """(4, 4) of a position (3,) and a rotation (3, 3)."""
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation, position
    return matrix
