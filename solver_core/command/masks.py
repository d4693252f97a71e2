# SPDX-License-Identifier: Apache-2.0
"""Masks as people, annotation tools and networks write them, and what was understood of them.

Black and white of 8 or 16 bits, soft mattes, transparency, two values of any size, label images with or without a palette,
one colour on another, COCO's polygons and run lengths.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from solver_core.command.files import MAX_PIXELS, open_image
from solver_core.errors import ObservationError
from solver_core.images import block_mean
from solver_core.optional import needed_for
from solver_core.reading import check_count, read_json, reading

NEAR_WHITE = 0.75  # of the full range: an image whose brightest value is below it has values of another meaning
MAX_LABELS = 64  # more distinct values than this are a soft matte, not numbers of objects
JPEG_NOISE = 24  # of 255: how far compression moves a colour


class MaskChoice(NamedTuple):
    """How a file is to be read.  label: which object of a label image.  threshold: of the brightness, in [0, 1].

    invert: whether the object is what the mask leaves out.
    """

    label: int | None = None
    threshold: float | None = None
    invert: bool = False


class Mask(NamedTuple):
    """coverage: (H, W) float32, fraction of each pixel that the object covers.  notes: sentences on what was not obvious."""

    coverage: np.ndarray
    notes: list[str]


def read_mask(path: str | Path, choice: MaskChoice = MaskChoice(), size: tuple[int, int] | None = None) -> Mask:
    """The mask of a file.

    Args:
        path: an image, or a .json with a COCO annotation.
        choice: how it is to be read.
        size: (width, height) of the image, for annotations that do not say.

    Raises:
        ObservationError: if it is no mask, or if it holds several objects and none was chosen.
    """
    if Path(path).suffix.lower() == ".json":
        mask = _coco_mask(path, choice, size)
    else:
        with open_image(path, "mask file") as image:
            mask = _image_mask(image, choice)
    return Mask(1 - mask.coverage, mask.notes) if choice.invert else mask


def read_labels(path: str | Path) -> np.ndarray:
    """(H, W) the numbers of a label image, with or without a palette, 0 where there is no object.

    Raises ObservationError if it has none, or more than a label image has.
    """
    with open_image(path, "label image") as image:
        if image.mode not in ("P", "L", "1") and not image.mode.startswith("I"):
            raise ObservationError(f"the label image {path} must have one number a pixel, or a palette, got {image.mode}")
        labels = np.asarray(image).astype(np.int64)
    found = [int(label) for label in np.unique(labels) if label != 0]
    if not 0 < len(found) <= MAX_LABELS:
        raise ObservationError(f"the label image {path} must have from 1 to {MAX_LABELS} labels beside 0, got {len(found)}")
    return labels


def _image_mask(image: Any, choice: MaskChoice) -> Mask:
    if image.mode == "P" and "transparency" not in image.info:
        return _labels(np.asarray(image), choice)
    if image.mode.startswith("I"):
        return _grey(np.asarray(image).astype(np.int64), 65535, choice)
    if image.mode == "F":
        return _grey(np.asarray(image), 1.0, choice)
    rgba = np.asarray(image.convert("RGBA"))
    if rgba[..., 3].min() < 255:
        return _grey(rgba[..., 3], 255, choice)
    if np.ptp(rgba[..., :3].astype(int), axis=2).max() <= JPEG_NOISE:
        return _grey(np.asarray(image.convert("L")), 255, choice)
    return _colours(rgba[..., :3].astype(np.float32))


def _grey(values: np.ndarray, white: float, choice: MaskChoice) -> Mask:
    """From one number a pixel; white: the largest that the file could hold."""
    if choice.threshold is not None:
        return Mask((values >= choice.threshold * white).astype(np.float32), [])
    if choice.label is not None:
        return _labels(values, choice)
    if values.max() >= NEAR_WHITE * white:
        return Mask((values / white).astype(np.float32), [])
    found = np.unique(values)
    if len(found) == 2:
        low, high = found
        return Mask(
            (values == high).astype(np.float32), [f"The mask holds the values {low:g} and {high:g}; {high:g} is the object."]
        )
    if np.issubdtype(values.dtype, np.integer) and 2 < len(found) <= MAX_LABELS:
        return _labels(values, choice)
    if len(found) == 1:
        return Mask(np.zeros(values.shape, np.float32), [])
    brightest = float(values.max())
    return Mask(
        (values / brightest).astype(np.float32),
        [f"The mask is dark; its brightest value, {brightest:g}, counts as the object."],
    )


def _labels(values: np.ndarray, choice: MaskChoice) -> Mask:
    """From an image of numbers, one an object, 0 for none."""
    labels = [int(label) for label in np.unique(values) if label != 0]
    if choice.label is not None:
        if choice.label not in labels:
            raise ObservationError(f"it has no label {choice.label}; its labels are {_listed(labels)}")
        return Mask((values == choice.label).astype(np.float32), [])
    if len(labels) > 1:
        raise ObservationError(f"it shows {len(labels)} objects, with the labels {_listed(labels)}; choose one with --label")
    notes = [f"The mask holds the labels 0 and {labels[0]}; {labels[0]} is the object."] if labels else []
    return Mask((values != 0).astype(np.float32), notes)


def _colours(rgb: np.ndarray) -> Mask:
    """From one colour on another: the one that covers most of the border is the background."""
    border = np.concatenate([rgb[0], rgb[-1], rgb[:, 0], rgb[:, -1]])
    background = np.median(border, axis=0)
    distance = np.linalg.norm(rgb - background, axis=2)
    is_other = distance > 2 * JPEG_NOISE
    if not is_other.any():
        return Mask(np.zeros(distance.shape, np.float32), [])
    colour = np.median(rgb[is_other], axis=0)
    if np.mean(np.linalg.norm(rgb[is_other] - colour, axis=1) > 2 * JPEG_NOISE) > 0.2:
        raise ObservationError(
            "it is a picture of many colours, not a mask; give one that is white, or opaque, where the object is"
        )
    coverage = np.clip(distance / np.linalg.norm(colour - background), 0, 1).astype(np.float32)
    names = [f"({', '.join(f'{channel:.0f}' for channel in one)})" for one in (colour, background)]
    return Mask(coverage, [f"The mask has the colour {names[0]} on {names[1]}; {names[0]} is the object."])


def _coco_mask(path: str | Path, choice: MaskChoice, size: tuple[int, int] | None) -> Mask:
    """COCO's annotation: polygons, or run lengths down the columns, packed or not; a list of them is chosen from by --label."""
    content = read_json(path, "mask", ObservationError)
    entries = content.get("annotations", [content]) if isinstance(content, dict) else content
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries) or not entries:
        raise ObservationError(f"the mask file {path} must hold a COCO annotation, with the key segmentation")
    numbers = [entry.get("id", index) for index, entry in enumerate(entries)]
    if choice.label is not None and choice.label not in numbers:
        raise ObservationError(f"the mask file {path} has no annotation {choice.label}; its annotations are {_listed(numbers)}")
    if choice.label is None and len(entries) > 1:
        raise ObservationError(f"the mask file {path} has the annotations {_listed(numbers)}; choose one with --label")
    entry = entries[0 if choice.label is None else numbers.index(choice.label)]
    segmentation = entry.get("segmentation", entry)
    with reading(path, "mask file", ObservationError):
        try:
            if isinstance(segmentation, dict):
                return Mask(_from_run_lengths(segmentation["counts"], segmentation["size"]), [])
            if size is None:
                raise ObservationError(f"the mask file {path} holds polygons, but not the size of the image")
            return Mask(_from_polygons(segmentation, size), [])
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise ObservationError(f"the mask file {path} holds no COCO segmentation that can be read: {error}") from error


def _from_polygons(polygons: list[list[float]], size: tuple[int, int]) -> np.ndarray:
    """(H, W) from lists of x and y in turn."""
    with needed_for("reading polygons", extra="cli"):
        from PIL import Image, ImageDraw
    check_count(size[0] * size[1], MAX_PIXELS, "pixels")
    fine = 4  # COCO's corners lie between pixels
    image = Image.new("L", (size[0] * fine, size[1] * fine))
    for polygon in polygons:
        corners = [(x * fine - 0.5, y * fine - 0.5) for x, y in zip(polygon[::2], polygon[1::2], strict=True)]
        ImageDraw.Draw(image).polygon(corners, fill=255)
    return block_mean(np.asarray(image, np.float32)[None], fine)[0] / 255


def _from_run_lengths(counts: list[int] | str, size: list[int]) -> np.ndarray:
    """(H, W) from numbers of pixels outside and inside in turn, column by column."""
    height, width = (int(number) for number in size)
    check_count(height * width, MAX_PIXELS, "pixels")
    runs = _unpacked(counts) if isinstance(counts, str) else [int(count) for count in counts]
    if sum(runs) != height * width or min(runs) < 0:
        raise ValueError(f"the run lengths cover {sum(runs)} pixels of {height * width}")
    values = np.repeat(np.arange(len(runs)) % 2, runs)
    return values.reshape(width, height).T.astype(np.float32)


def _unpacked(text: str) -> list[int]:
    """COCO's packed run lengths: five bits a letter, the sixth says that more follow; from the third on, differences."""
    runs: list[int] = []
    value = shift = 0
    for letter in text.encode():
        code = letter - 48
        value |= (code & 31) << shift
        shift += 5
        if shift > 60:
            raise ValueError("a run length is longer than any image")
        if not code & 32:
            if code & 16:
                value -= 1 << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    return runs


def _listed(numbers: list[int]) -> str:
    shown = ", ".join(map(str, numbers[:12]))
    return shown + (", ..." if len(numbers) > 12 else "")
