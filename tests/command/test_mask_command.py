# SPDX-License-Identifier: Apache-2.0
"""`solver_core mask` as a user meets it."""

import json

import numpy as np
import pytest
from PIL import Image

from solver_core.command.cli import main


@pytest.fixture
def photo(tmp_path):
    """A red square, 20 x 20 pixels, on blue."""
    pixels = np.full((48, 64, 3), (20, 40, 150), np.uint8)
    pixels[14:34, 22:42] = (200, 30, 20)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def written(path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("L")) > 127


def test_mask_of_a_box_is_written_as_solve_pose_reads_it(photo, capsys):
    out = photo.with_name("mask.png")

    code = main(["mask", str(photo), "--box", "18,10,46,40", "--out", str(out)])

    expected = np.zeros((48, 64), bool)
    expected[14:34, 22:42] = True
    assert code == 0
    np.testing.assert_array_equal(written(out), expected)
    assert json.loads(capsys.readouterr().out) == {"mask": str(out), "share": 0.1302, "alike": 0.0, "notes": []}


def test_help_says_what_the_numbers_are(capsys):
    with pytest.raises(SystemExit):
        main(["mask", "--help"])

    words = " ".join(capsys.readouterr().out.split())
    assert "share, of the photograph that the object covers" in words
    assert "alike, share of its outline along which object and surroundings have the same colours" in words


def test_strokes_are_read_from_images(photo):
    out, strokes = photo.with_name("mask.png"), {}
    for name, rows in (("inside", slice(18, 24)), ("outside", slice(0, 6))):
        painted = np.zeros((48, 64), np.uint8)
        painted[rows, 25:40] = 255
        strokes[name] = photo.with_name(f"{name}.png")
        Image.fromarray(painted).save(strokes[name])

    code = main(["mask", str(photo), *(f"--{name}={path}" for name, path in strokes.items()), "--out", str(out)])

    assert code == 0
    assert written(out).sum() == 400


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ([], "nothing says where the object is"),
        (["--box", "1,2,x,4"], "--box must be numbers with commas between them"),
        (["--box", "1,2,3,4,5"], "--box must be four numbers, left, top, right and bottom in pixels"),
        (["--box", "1,2,3,nan"], "--box must be four numbers"),
        (["--box", "1,2,30,40", "--out", "mask.jpg"], "must end in .png"),
        (["--box", "100,2,120,4"], "lies outside of the image of 64 x 48 pixels"),
        (["--lasso", "1,2,3"], "columns and rows in turn"),
        (["--box", "1,2,30,40", "--out", "mask.obj"], "must end in .png"),
    ],
)
def test_wrong_options_are_refused_in_a_sentence(photo, capsys, monkeypatch, options, sentence):
    monkeypatch.chdir(photo.parent)

    code = main(["mask", str(photo), "--out", "mask.png", *options])

    captured = capsys.readouterr()
    assert (code, captured.out, captured.err.count("\n")) == (2, "", 1)
    assert sentence in captured.err
