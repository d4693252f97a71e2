# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from PIL import Image

from solver_core.command.pictures import (
    BACKGROUND,
    CAPTION_PX,
    CYAN,
    GAP_PX,
    LAST_FRAME_TIMES,
    ORANGE,
    Contour,
    Panel,
    draw_contours,
    resize,
    shade_mask,
    side_by_side,
    write_animation,
    write_picture,
)
from solver_core.errors import ConfigError


def square(low: int, high: int, size: int = 40) -> np.ndarray:
    mask = np.zeros((size, size), dtype=bool)
    mask[low:high, low:high] = True
    return mask


GREY = np.full((40, 40, 3), 90, dtype=np.uint8)


def test_contour_is_drawn_on_the_border_of_the_mask_only():
    drawn = draw_contours(GREY, [Contour(square(10, 30), CYAN)])

    np.testing.assert_array_equal(drawn[20, [9, 10, 29, 30]], [CYAN] * 4)
    np.testing.assert_array_equal(drawn[20, [0, 5, 20, 35]], [[90, 90, 90]] * 4)


def test_later_contour_lies_on_top():
    drawn = draw_contours(GREY, [Contour(square(10, 30), CYAN), Contour(square(10, 35), ORANGE)])

    np.testing.assert_array_equal(drawn[10, 20], ORANGE)


@pytest.mark.parametrize("mask", [np.zeros((40, 40), bool), np.ones((40, 40), bool)], ids=["empty", "full"])
def test_mask_without_a_border_draws_nothing(mask):
    np.testing.assert_array_equal(draw_contours(GREY, [Contour(mask, CYAN)]), GREY)


def test_drawing_leaves_the_picture_as_it_was():
    draw_contours(GREY, [Contour(square(10, 30), CYAN)])

    assert (GREY == 90).all()


def test_shade_mask_keeps_the_object_lighter_and_both_off_the_ends():
    shaded = shade_mask(np.array([[0.0, 0.5, 1.0]]))

    assert (np.diff(shaded[0, :, 0].astype(int)) > 20).all()
    assert shaded.min() > 20
    assert shaded.max() < 200


def test_resize_takes_pictures_and_masks():
    assert resize(GREY, 20, 10).shape == (10, 20, 3)
    assert resize(GREY[..., 0], 20, 10).shape == (10, 20)


def test_panels_stand_side_by_side_above_their_captions():
    sheet = side_by_side([Panel(GREY, "left"), Panel(GREY // 2, "right")])

    assert sheet.shape == (40 + CAPTION_PX, 80 + GAP_PX, 3)
    np.testing.assert_array_equal(sheet[:40, :40], GREY)
    np.testing.assert_array_equal(sheet[:40, 40 + GAP_PX :], GREY // 2)
    assert (sheet[40:, :40] != BACKGROUND).any()
    assert (sheet[40:, 40 + GAP_PX :] != BACKGROUND).any()


def test_picture_is_written_as_it_is(tmp_path):
    picture = draw_contours(GREY, [Contour(square(10, 30), CYAN)])

    write_picture(tmp_path / "picture.png", picture)

    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "picture.png")), picture)


@pytest.mark.parametrize("name", ["nowhere/picture.png", "picture.xyz"])
def test_picture_that_cannot_be_written_is_named(tmp_path, name):
    with pytest.raises(ConfigError, match=r"cannot write the picture .*picture"):
        write_picture(tmp_path / name, GREY)


def test_animation_shows_every_frame_and_the_last_one_longer(tmp_path):
    frames = [draw_contours(GREY, [Contour(square(low, 30), CYAN)]) for low in (5, 10, 15)]

    write_animation(tmp_path / "steps.gif", frames, 200)

    with Image.open(tmp_path / "steps.gif") as animation:
        durations = []
        for index, frame in enumerate(frames):
            animation.seek(index)
            durations.append(animation.info["duration"])
            shown = np.asarray(animation.convert("RGB")).astype(int)
            assert np.abs(shown - frame).mean() < 10  # 256 colours, dithered
        assert animation.n_frames == 3
        assert animation.info["loop"] == 0
    assert durations == [200, 200, 200 * LAST_FRAME_TIMES]


def test_animation_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot write the animation .*steps\.gif: No such file"):
        write_animation(tmp_path / "nowhere" / "steps.gif", [GREY], 200)
