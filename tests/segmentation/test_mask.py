# SPDX-License-Identifier: Apache-2.0
"""Masks from photographs whose answer is known."""

import numpy as np
import pytest

from solver_core import ObservationError, SetupError, mask_from_image
from solver_core.frames import Camera
from solver_core.images import block_mean
from solver_core.manifolds import SE3
from solver_core.segmentation import mask

HEIGHT, WIDTH, FINE = 120, 160, 4
BOX = (40, 25, 125, 100)
# As flat as a triangle.
TETRAHEDRON = (
    np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 0.01]]),
    np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]]),
)
CAMERA = Camera(WIDTH, HEIGHT, 150, 150, 80, 60)


def disc_and_bar(scale: int = 1) -> np.ndarray:
    """(H, W) coverage of a disc with a bar on one side."""
    fine = FINE * scale
    rows, columns = np.mgrid[: HEIGHT * fine, : WIDTH * fine] / fine
    disc = (rows - 60) ** 2 + (columns - 75) ** 2 < 28**2
    bar = (np.abs(rows - 66) < 5) & (columns > 75) & (columns < 118)
    return block_mean((disc | bar).astype(np.float32)[None], FINE)[0]


def photograph(coverage: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(H, W, 3) uint8: two reddish colours in stripes before greenish ones, with noise."""
    rows, columns = np.mgrid[: coverage.shape[0], : coverage.shape[1]]
    stripes = ((rows + columns) // 9 % 2)[..., None]
    spots = ((rows // 7 + columns // 13) % 2)[..., None]
    inside = np.where(stripes, [0.7, 0.3, 0.25], [0.55, 0.35, 0.2])
    outside = np.where(spots, [0.3, 0.5, 0.3], [0.4, 0.55, 0.45])
    image = coverage[..., None] * inside + (1 - coverage[..., None]) * outside
    return np.round(255 * np.clip(image + rng.normal(scale=0.03, size=image.shape), 0, 1)).astype(np.uint8)


def overlap(mask: np.ndarray, truth: np.ndarray) -> float:
    mask, truth = mask >= 0.5, truth >= 0.5
    return (mask & truth).sum() / (mask | truth).sum()


def strokes(rows: slice, columns: slice) -> np.ndarray:
    painted = np.zeros((HEIGHT, WIDTH), bool)
    painted[rows, columns] = True
    return painted


LASSO = [(35, 20), (100, 18), (128, 55), (128, 80), (90, 105), (40, 100)]
ON_OBJECT, BESIDE = strokes(slice(55, 70), slice(55, 110)), strokes(slice(5, 12), slice(5, 150))


@pytest.mark.parametrize(
    "hints",
    [
        pytest.param({"box": BOX}, id="box"),
        pytest.param({"lasso": LASSO}, id="lasso"),
        pytest.param({"inside": ON_OBJECT, "outside": BESIDE}, id="strokes"),
        pytest.param({"box": BOX, "inside": ON_OBJECT}, id="box and strokes"),
    ],
)
def test_object_of_other_colours_is_found(hints, rng):
    truth = disc_and_bar()

    found = mask_from_image(photograph(truth, rng), **hints)

    assert found.coverage.dtype == np.float32
    assert overlap(found.coverage, truth) > 0.97
    assert found.alike < 0.1
    assert found.notes == []


def test_edge_is_found_in_the_pixels_of_a_large_image(rng):
    truth = disc_and_bar(scale=4)

    found = mask_from_image(photograph(truth, rng), (160, 100, 500, 400))

    assert overlap(found.coverage, truth) > 0.99


def test_slots_of_the_colours_around_do_not_open_the_object(rng):
    truth, width = disc_and_bar(scale=4), 4
    image, around = photograph(truth, rng), photograph(np.zeros_like(truth), rng)
    rows, columns = np.mgrid[: truth.shape[0], : truth.shape[1]]
    slots = (truth == 1) & (columns % 24 < width) & (rows // 40 % 2 == 0)
    image[slots] = around[slots]

    found = mask_from_image(image, (160, 100, 500, 400))

    assert overlap(found.coverage, truth) > 0.97


def test_gray_and_float_images_give_the_mask_of_the_same_picture(rng):
    gray = photograph(disc_and_bar(), rng)[..., 0]

    found = [mask_from_image(image, BOX) for image in (gray, np.repeat(gray[..., None], 3, axis=2), gray / 255)]

    np.testing.assert_array_equal(found[0].coverage, found[1].coverage)
    np.testing.assert_allclose(found[0].coverage, found[2].coverage, atol=1e-3)  # divided by 255 in float32 or in float64
    assert all("The photograph is grey" in one.notes[0] for one in found)
    assert not any("grey" in note for note in mask_from_image(photograph(disc_and_bar(), rng), BOX).notes)


def test_strokes_are_obeyed_whatever_the_colours(rng):
    image = photograph(disc_and_bar(), rng)
    beside = strokes(slice(30, 36), slice(105, 115))

    found = mask_from_image(image, BOX, inside=beside, outside=strokes(slice(58, 62), slice(70, 80)))

    assert (found.coverage[30:36, 105:115] == 1).all()
    assert (found.coverage[58:62, 70:80] == 0).all()


def test_what_lies_beside_the_box_is_no_object(rng):
    found = mask_from_image(photograph(disc_and_bar(), rng), (40, 25, 80, 100))

    assert (found.coverage[:, 80:] == 0).all()
    assert found.coverage[60, 75] > 0.5


def test_what_goes_on_beyond_the_box_is_no_object_even_of_its_colours(rng):
    truth = disc_and_bar()
    plank = np.zeros_like(truth)
    plank[28:42, 98:150] = 1

    both = np.maximum(truth, plank)[..., None]
    image = both * [0.6, 0.3, 0.25] + (1 - both) * [0.35, 0.5, 0.4] + rng.normal(scale=0.005, size=(HEIGHT, WIDTH, 3))

    found = mask_from_image(image, BOX)

    assert overlap(found.coverage, truth) > 0.97
    assert found.coverage[28:42, 98:].max() < 0.5


def test_strokes_inside_bring_back_what_is_joined_to_the_surroundings(rng):
    truth = disc_and_bar()
    truth[62:71, 100:150] = 1  # the bar goes on beyond the box

    found = mask_from_image(photograph(truth, rng), BOX, inside=strokes(slice(64, 68), slice(80, 120)))

    assert overlap(found.coverage[:, :125], truth[:, :125]) > 0.95


def test_faint_object_is_found_though_nothing_parts_it_from_the_surroundings(rng):
    truth = disc_and_bar()
    image = 0.5 + 0.035 * truth[..., None] + rng.normal(scale=0.004, size=(HEIGHT, WIDTH, 3))

    found = mask_from_image(np.clip(image, 0, 1), BOX)

    assert overlap(found.coverage, truth) > 0.95


def test_equal_colours_are_said(rng):
    image = np.round(255 * np.clip(rng.normal(0.5, 0.05, (HEIGHT, WIDTH, 3)), 0, 1)).astype(np.uint8)

    found = mask_from_image(image, BOX, inside=strokes(slice(50, 70), slice(60, 90)))

    assert found.alike > 0.5
    assert "same colours along" in found.notes[0]


BESIDE_TRIANGLE = strokes(slice(85, 110), slice(10, 30))
TRIANGLE_START = np.array([[1.0, 0, 0, -0.5], [0, 1, 0, -0.3], [0, 0, 1, -2], [0, 0, 0, 1]])


def triangle(rng) -> tuple[np.ndarray, np.ndarray]:
    """The triangle that the tetrahedron shows from its front, beside a square of its colours: image and coverage."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    x, y = (columns - 80) / 75 + 0.5, (60 - rows) / 75 + 0.3
    coverage = ((x > 0) & (y > 0) & (x + y < 1)).astype(np.float32)
    return photograph(np.maximum(coverage, BESIDE_TRIANGLE), rng), coverage


@pytest.mark.parametrize(
    ("turn", "shift"), [pytest.param(0.0, 0.0, id="in place"), pytest.param(0.35, 0.12, id="turned and moved")]
)
def test_model_tells_the_object_from_a_thing_of_its_colours(rng, turn, shift):
    vertices, faces = TETRAHEDRON
    image, coverage = triangle(rng)
    start = TRIANGLE_START.copy()
    start[:2, :2] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    start[:2, 3] += shift

    found = mask_from_image(image, vertices=vertices, faces=faces, camera=CAMERA, start=start)

    assert overlap(found.coverage, coverage) > 0.95
    assert found.coverage[BESIDE_TRIANGLE].mean() < 0.1


@pytest.mark.parametrize("is_network_right", [True, False], ids=["network is right", "network is wrong"])
def test_likelier_of_two_places_counts_whoever_proposed_it(rng, monkeypatch, is_network_right):
    vertices, faces = TETRAHEDRON
    image, coverage = triangle(rng)
    rows, columns = np.nonzero(coverage)
    box = (columns.min() - 2, rows.min() - 2, columns.max() + 3, rows.max() + 3)
    heeded = []

    def placed(image, hints, model, rng):
        heeded.append(hints)
        is_right = (len(heeded) == 2) == is_network_right
        return model.start if is_right else SE3().retract(model.start[None], np.array([[0, 0, 0.6, 0, 0, 0]]))[0]

    monkeypatch.setattr(mask, "place", placed)

    found = mask_from_image(image, box, vertices=vertices, faces=faces, camera=CAMERA, start=TRIANGLE_START)

    assert overlap(found.coverage, coverage) > 0.9
    alone, with_prior = heeded
    assert not alone.is_inside.any()
    assert np.mean(coverage[with_prior.is_inside]) > 0.9
    assert np.sum(with_prior.is_inside) > 0.3 * coverage.sum()


GREY = np.full((HEIGHT, WIDTH, 3), 127, np.uint8)
MODEL = {"vertices": TETRAHEDRON[0], "faces": TETRAHEDRON[1], "camera": CAMERA, "start": np.eye(4)}


@pytest.mark.parametrize(
    ("image", "hints", "sentence"),
    [
        (GREY, {}, "nothing says where the object is"),
        (GREY, {"box": (200, 0, 300, 50)}, "lies outside of the image of 160 x 120 pixels"),
        (GREY, {"box": (50, 0, 30, 50)}, "left < right and top < bottom"),
        (GREY, {"box": (50, 0, 30)}, r"box must have shape \(4,\)"),
        (GREY, {"box": (0, 0, np.nan, 5)}, "box must be finite"),
        (GREY, {"lasso": [(0, 0), (5, 5)]}, "at least 3 corners"),
        (GREY, {"lasso": [(0, 0), (0.1, 0), (0, 0.1)]}, "the lasso holds no pixel"),
        (GREY, {"box": (0, 0, 9, 9), "lasso": [(50, 50), (90, 50), (70, 90)]}, "no pixel in common"),
        (GREY, {"inside": np.ones((4, 4), bool)}, "inside must be bool of the image's shape"),
        (GREY, {"inside": np.ones((HEIGHT, WIDTH))}, "inside must be bool of the image's shape"),
        (GREY, {"inside": ON_OBJECT, "outside": ON_OBJECT}, "strokes inside and outside overlap"),
        (GREY, {"box": BOX, "outside": np.ones((HEIGHT, WIDTH), bool)}, "leave some of it"),
        (GREY, {"box": (0, 0, 9, 9), "inside": ON_OBJECT}, "strokes inside lie outside of box or lasso"),
        (GREY, {"inside": np.ones((HEIGHT, WIDTH), bool)}, "strokes inside cover all of the image"),
        (GREY.astype(np.uint16), {"box": BOX}, "got uint16; divide 8-bit values by 255 and 16-bit values by 65535"),
        (GREY[..., :2], {"box": BOX}, r"image must be \(H, W, 3\)"),
        (GREY.astype(float), {"box": BOX}, r"must lie in \[0, 1\]"),
        (GREY.astype(int), {"box": BOX}, "must be uint8, or float"),
        ("photo.png", {"box": BOX}, "of real numbers, got text"),
    ],
)
def test_wrong_hints_are_refused_in_a_sentence(image, hints, sentence):
    with pytest.raises(ObservationError, match=sentence):
        mask_from_image(image, **hints)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"start": None}, "start is missing"),
        ({"camera": Camera(64, 48, 60, 60, 32, 24)}, "got 160 x 120 pixels for a camera of 64 x 48"),
        ({}, "behind the camera"),
        ({"start": np.array([[1.0, 0, 0, 90], [0, 1, 0, 0], [0, 0, 1, -4], [0, 0, 0, 1]])}, "out of view"),
    ],
)
def test_wrong_models_are_refused_in_a_sentence(change, sentence):
    with pytest.raises(SetupError, match=sentence):
        mask_from_image(GREY, **{**MODEL, **change})


@pytest.mark.parametrize(
    ("box", "said"),
    [
        pytest.param((40, 25, 85, 100), "goes on beyond", id="cut"),
        pytest.param((-9, -9, 400, 300), "Nothing is known to be beside", id="whole image"),
        pytest.param(BOX, None, id="around it"),
    ],
)
def test_boxes_that_say_little_or_too_much_are_told(box, said, rng):
    notes = mask_from_image(photograph(disc_and_bar(), rng), box=box).notes

    assert any(said in note for note in notes) if said else not notes


def test_a_mask_of_next_to_nothing_is_told(rng):
    speck = np.zeros((HEIGHT, WIDTH), np.float32)
    speck[60:64, 80:84] = 1

    notes = mask_from_image(photograph(speck, rng), box=BOX).notes

    assert any("Less than 1% of what was marked" in note for note in notes)
