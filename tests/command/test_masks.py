# SPDX-License-Identifier: Apache-2.0
"""Masks as people, annotation tools and networks write them."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from solver_core.command.masks import MaskChoice, read_mask
from solver_core.errors import ObservationError

MASKS = Path(__file__).parents[1] / "data" / "masks"
GREY = np.array([[0, 51, 102], [153, 204, 255]], dtype=np.uint8)
OBJECT = np.zeros((40, 60), bool)
OBJECT[10:30, 15:45] = True


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(Image.fromarray(GREY), id="grey"),
        pytest.param(Image.fromarray(np.stack([GREY] * 3, axis=-1)), id="colour"),
        pytest.param(Image.fromarray(np.stack([GREY] * 3 + [np.full_like(GREY, 255)], axis=-1)), id="opaque"),
        pytest.param(Image.fromarray(np.stack([255 - GREY] * 3 + [GREY], axis=-1)), id="alpha"),
        pytest.param(Image.fromarray(GREY.astype(np.uint16) * 257), id="16 bits"),
    ],
)
def test_read_mask_gives_coverage(tmp_path, image):
    image.save(tmp_path / "mask.png")

    mask = read_mask(tmp_path / "mask.png").coverage

    assert mask.dtype == np.float32
    np.testing.assert_allclose(mask, GREY / 255, atol=1e-6)


def test_read_mask_takes_black_and_white(tmp_path):
    Image.fromarray(GREY > 100).save(tmp_path / "mask.png")

    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png").coverage, GREY > 100)


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("ids_0_1.png", "labels 0 and 1; 1 is the object|values 0 and 1; 1 is the object"),
        ("palette_davis.png", "labels 0 and 1; 1 is the object"),
        ("red.png", r"colour \(255, 0, 0\) on \(0, 0, 0\)"),
        ("png16_0_255.png", "values 0 and 255; 255 is the object"),
        ("grey128.png", "values 0 and 128; 128 is the object"),
    ],
)
def test_mask_of_two_values_is_understood_and_said(name, note):
    mask = read_mask(MASKS / name)

    (said,) = mask.notes
    assert any(one in said for one in note.replace("\\", "").split("|"))
    np.testing.assert_array_equal(mask.coverage, read_mask(MASKS / "grey128.png").coverage)


def test_mask_of_a_phone_is_turned_upright():
    assert read_mask(MASKS / "phone_mask.jpg").coverage.shape == (640, 480)


def test_inverted_mask_is_inverted_on_request():
    np.testing.assert_array_equal(
        read_mask(MASKS / "inverted.png", MaskChoice(invert=True)).coverage, 1 - read_mask(MASKS / "inverted.png").coverage
    )


def labels(tmp_path, mode="L"):
    values = OBJECT.astype(np.uint8) * 3
    values[:5, :5] = 7
    image = Image.fromarray(values)
    if mode == "P":
        image = image.convert("P")
        image.putpalette([0, 0, 0] * 256)
    image.save(tmp_path / "labels.png")
    return tmp_path / "labels.png"


@pytest.mark.parametrize("mode", ["L", "P"])
def test_label_image_needs_a_choice_and_takes_it(tmp_path, mode):
    path = labels(tmp_path, mode)

    with pytest.raises(ObservationError, match="2 objects, with the labels 3, 7; choose one with --label"):
        read_mask(path)
    with pytest.raises(ObservationError, match="no label 4; its labels are 3, 7"):
        read_mask(path, MaskChoice(label=4))
    np.testing.assert_array_equal(read_mask(path, MaskChoice(label=3)).coverage, OBJECT)


def test_threshold_cuts_a_soft_matte(tmp_path):
    Image.fromarray(GREY).save(tmp_path / "mask.png")

    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png", MaskChoice(threshold=0.5)).coverage, GREY >= 128)


def test_photograph_is_no_mask(tmp_path, rng):
    Image.fromarray(rng.integers(0, 255, (40, 60, 3), dtype=np.uint8)).save(tmp_path / "mask.png")

    with pytest.raises(ObservationError, match="picture of many colours, not a mask"):
        read_mask(tmp_path / "mask.png")


def coco(tmp_path, *annotations):
    (tmp_path / "mask.json").write_text(json.dumps({"annotations": annotations}))
    return tmp_path / "mask.json"


def test_polygon_covers_its_pixels(tmp_path):
    path = coco(tmp_path, {"id": 5, "segmentation": [[15, 10, 45, 10, 45, 30, 15, 30]]})

    coverage = read_mask(path, size=(60, 40)).coverage

    np.testing.assert_allclose(coverage[12:28, 17:43], 1)
    assert coverage.sum() == pytest.approx(OBJECT.sum(), rel=0.05)


def run_lengths(mask):
    flat = np.concatenate([[0], mask.T.ravel().astype(int), [-1]])
    changes = np.flatnonzero(np.diff(flat))
    return np.diff(np.concatenate([[0], changes])).tolist()


def packed(runs):
    """As pycocotools packs them."""
    text = ""
    for index, run in enumerate(runs):
        value = run - runs[index - 2] if index > 2 else run
        more = True
        while more:
            code = value & 31
            value >>= 5
            more = value != -1 if code & 16 else value != 0
            text += chr((code | 32 if more else code) + 48)
    return text


@pytest.mark.parametrize("pack", [list, packed])
def test_run_lengths_cover_their_pixels(tmp_path, pack):
    mask = OBJECT.copy()
    mask[12:14, 50:53] = True
    path = coco(tmp_path, {"segmentation": {"counts": pack(run_lengths(mask)), "size": [40, 60]}})

    np.testing.assert_array_equal(read_mask(path).coverage, mask)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ([], "must hold a COCO annotation"),
        ({"annotations": [{"id": 1}, {"id": 2}]}, "has the annotations 1, 2; choose one with --label"),
        ({"segmentation": {"counts": [5], "size": [40, 60]}}, "cover 5 pixels of 2400"),
        ({"segmentation": [[1, 2, 3]]}, "holds no COCO segmentation that can be read"),
        ({"segmentation": {"size": [40, 60]}}, "holds no COCO segmentation"),
    ],
)
def test_annotation_that_cannot_be_used_is_refused(tmp_path, content, sentence):
    (tmp_path / "mask.json").write_text(json.dumps(content))

    with pytest.raises(ObservationError, match=sentence):
        read_mask(tmp_path / "mask.json", size=(60, 40))
