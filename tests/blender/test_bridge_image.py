# SPDX-License-Identifier: Apache-2.0
"""Images of every kind arrive with row 0 on top, and in linear light where that is asked for."""

import bpy
import numpy as np
import pytest

from addon.bridge import movie as movies
from addon.bridge.image import frame_number, numbered, read_background, read_file, read_image
from addon.solves.image_source import ImageSource, MaskKey
from solver_core.errors import ObservationError, SolverError


@pytest.fixture
def pixels(rng) -> np.ndarray:
    """(5, 7, 4) of 8 bits, row 0 on top."""
    return (rng.integers(0, 256, size=(5, 7, 4)) / 255).astype(np.float32)


@pytest.fixture
def camera(scene):
    scene.camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    scene.collection.objects.link(scene.camera)
    return scene.camera


def new_image(pixels: np.ndarray, is_float: bool = False):
    image = bpy.data.images.new("picture", pixels.shape[1], pixels.shape[0], alpha=True, float_buffer=is_float)
    image.pixels.foreach_set(pixels[::-1].ravel())
    return image


def save(pixels: np.ndarray, path, file_format: str = "PNG"):
    image = new_image(pixels, is_float=file_format == "OPEN_EXR")
    image.file_format, image.filepath_raw = file_format, str(path)
    image.save()
    bpy.data.images.remove(image)
    return str(path)


@pytest.mark.parametrize("is_float", [False, True])
def test_generated_images_are_flipped(is_float, scene, pixels):
    image = new_image(pixels, is_float)

    np.testing.assert_allclose(read_image(image, 1).rgba, pixels, atol=1e-6)


def test_packed_images_are_read(scene, pixels):
    image = new_image(pixels)
    image.pack()

    np.testing.assert_allclose(read_image(image, 1).rgba, pixels, atol=1e-6)


def test_files_are_read_and_leave_nothing_behind(scene, pixels, tmp_path):
    path = save(pixels, tmp_path / "picture.png")
    before = list(bpy.data.images)

    picture = read_file(path, 1)

    np.testing.assert_allclose(picture.alpha, pixels[..., 3], atol=1e-6)
    is_seen = pixels[..., 3] > 0
    np.testing.assert_allclose(picture.rgba[is_seen], pixels[is_seen], atol=1e-6)
    assert list(bpy.data.images) == before


def test_linear_light_is_the_same_from_8_bits_and_from_floats(scene, pixels, tmp_path):
    pixels[..., 3] = 1
    encoded = read_file(save(pixels, tmp_path / "picture.png"), 1)
    linear = encoded.linear_rgb()

    from_floats = read_file(save(np.dstack([linear, pixels[..., 3]]), tmp_path / "picture.exr", "OPEN_EXR"), 1)

    np.testing.assert_allclose(from_floats.linear_rgb(), linear, atol=1e-3)  # EXR of half floats
    np.testing.assert_allclose(from_floats.shown_rgb(), encoded.shown_rgb(), atol=2e-3)


def test_a_data_image_is_linear_as_it_is(scene, pixels):
    image = new_image(pixels)
    image.colorspace_settings.name = "Non-Color"
    image.pixels.foreach_set(pixels[::-1].ravel())  # another space empties a generated image

    np.testing.assert_allclose(read_image(image, 1).linear_rgb(), pixels[..., :3], atol=1e-6)


def test_a_space_that_cannot_be_made_linear_is_named(scene, pixels):
    image = new_image(pixels)
    image.colorspace_settings.name = "Filmic sRGB"

    with pytest.raises(ObservationError, match="'Filmic sRGB'"):
        read_image(image, 1).linear_rgb()


@pytest.mark.parametrize("source", ["image", "file"])
def test_sequences_show_the_file_with_the_number_of_the_frame(source, scene, pixels, tmp_path):
    for number in (1, 2, 3):
        save(np.full_like(pixels, number / 5), tmp_path / f"shot_{number:03d}.png")
    image = bpy.data.images.load(str(tmp_path / "shot_001.png"))
    image.source = "SEQUENCE"
    image_source = ImageSource(image=image.name) if source == "image" else ImageSource(file=image.filepath)

    found = [image_source.read(bpy.context.scene, None, frame, is_range=True).rgba[0, 0, 3] for frame in (1, 3)]

    np.testing.assert_allclose(found, [0.2, 0.6], atol=1e-6)
    with pytest.raises(ObservationError, match=r"shot_004\.png"):
        image_source.read(bpy.context.scene, None, 4, is_range=True)


@pytest.mark.parametrize("source", ["image", "file"])
@pytest.mark.parametrize("is_range", [True, False])
def test_sequences_may_begin_at_another_number(source, is_range, scene, pixels, tmp_path):
    for number in (1001, 1002):
        save(np.full_like(pixels, (number - 1000) / 5), tmp_path / f"shot_{number}.png")
    image = bpy.data.images.load(str(tmp_path / "shot_1002.png"))
    image.source = "SEQUENCE"
    chosen = {"image": image.name} if source == "image" else {"file": image.filepath}

    found = [
        ImageSource(**chosen, frame_offset=1000).read(bpy.context.scene, None, frame, is_range).rgba[0, 0, 3]
        for frame in (1, 2)
    ]

    np.testing.assert_allclose(found, [0.2, 0.4], atol=1e-6)


def test_backgrounds_show_the_frame_that_their_image_user_says(camera, pixels, tmp_path):
    for number in (11, 12, 13):
        save(np.full_like(pixels, number / 20), tmp_path / f"shot_{number}.png")
    background = camera.data.background_images.new()
    background.image = bpy.data.images.load(str(tmp_path / "shot_11.png"))
    background.image.source = "SEQUENCE"
    user = background.image_user
    user.frame_start, user.frame_duration, user.frame_offset = 5, 3, 10

    found = [read_background(camera, frame).rgba[0, 0, 3] * 20 for frame in (1, 5, 6, 7, 99)]

    np.testing.assert_allclose(found, [11, 11, 12, 13, 13], atol=0.05)  # 8 bits


def test_clips_of_sequences_are_backgrounds(camera, pixels, tmp_path):
    for number in (3, 4):
        save(np.full_like(pixels, number / 20), tmp_path / f"shot_{number}.png")
    background = camera.data.background_images.new()
    background.source, background.clip = "MOVIE_CLIP", bpy.data.movieclips.load(str(tmp_path / "shot_3.png"))

    assert read_background(camera, 2).rgba[0, 0, 3] == pytest.approx(4 / 20, abs=0.002)


def test_a_clip_of_one_picture_without_number_is_a_background(camera, pixels, tmp_path):
    background = camera.data.background_images.new()
    path = save(np.full_like(pixels, 0.6), tmp_path / "plate.png")
    background.source, background.clip = "MOVIE_CLIP", bpy.data.movieclips.load(path)

    assert read_background(camera, 2).rgba[0, 0, 3] == pytest.approx(0.6, abs=0.002)


@pytest.mark.parametrize("source", ["image", "file", "clip"])
def test_movies_show_their_frame(source, camera, scene, tmp_path):
    path = make_movie(scene, tmp_path, levels=(0.2, 0.8, 0.4))
    if source == "clip":
        background = camera.data.background_images.new()
        background.source, background.clip = "MOVIE_CLIP", bpy.data.movieclips.load(path)
    image = bpy.data.images.load(path).name
    image_source = {
        "image": ImageSource(image=image),
        "file": ImageSource(file=path),
        "clip": ImageSource(use_background=True),
    }[source]
    scenes = list(bpy.data.scenes)

    found = [image_source.read(bpy.context.scene, camera, frame, is_range=True).shown_rgb()[20, 30, 0] for frame in (1, 2, 3)]

    np.testing.assert_allclose(found, (0.2, 0.8, 0.4), atol=0.03)  # lossy codec
    assert list(bpy.data.scenes) == scenes
    if source != "clip":
        with pytest.raises(ObservationError, match="3 frames and none for frame 4"):
            image_source.read(bpy.context.scene, camera, 4, is_range=True)


def test_a_movie_is_read_upright_without_a_render(scene, tmp_path):
    down, right = np.meshgrid(np.linspace(0.1, 0.9, 48), np.linspace(0.2, 0.6, 64), indexing="ij")
    shown = np.stack([down, right, np.full_like(down, 0.5), np.ones_like(down)], axis=-1).astype(np.float32)
    path = make_movie(scene, tmp_path, levels=(0.2, shown))
    blocks = {kind: len(getattr(bpy.data, kind)) for kind in ("scenes", "images", "meshes", "objects", "node_groups")}
    rendered = []
    bpy.app.handlers.render_pre.append(rendered.append)

    picture = read_file(path, 2)

    np.testing.assert_allclose(picture.shown_rgb(), shown[..., :3], atol=0.06)  # colors of H.264 have half the resolution
    assert not rendered
    assert {kind: len(getattr(bpy.data, kind)) for kind in blocks} == blocks
    with pytest.raises(ObservationError, match="has 2 frames and none for frame 3"):
        read_file(path, 3)


def test_a_movie_stays_open_for_a_range_and_leaves_nothing_once_it_is_closed(scene, tmp_path, monkeypatch):
    monkeypatch.setattr(movies, "MOST_CACHED", 2)
    levels = np.array([0.2, 0.8, 0.4, 0.6, 0.3])
    path = make_movie(scene, tmp_path, levels=levels)
    blocks = {kind: len(getattr(bpy.data, kind)) for kind in ("scenes", "images", "meshes", "objects", "node_groups")}
    frames = (1, 2, 3, 4, 5, 2)

    with movies.kept_open():
        pictures = [read_file(path, frame) for frame in frames]

    found = [picture.shown_rgb()[20, 30, 0] for picture in pictures]
    np.testing.assert_allclose(found, levels[np.array(frames) - 1], atol=0.03)  # lossy codec
    assert len([image for image in bpy.data.images if movies.NAME in image]) == 1
    movies.close()
    assert {kind: len(getattr(bpy.data, kind)) for kind in blocks} == blocks


def make_movie(scene, folder, levels) -> str:
    """A movie of grey frames, or whole ones (48, 64, 4), by Blender's own sequencer."""
    frames = []
    for number, level in enumerate(levels, start=1):
        shown = level if np.ndim(level) else np.full((48, 64, 4), (level, level, level, 1), np.float32)
        frames.append(save(shown, folder / f"grey_{number}.png"))
    movie = bpy.data.scenes.new("make movie")
    strips = movie.sequence_editor_create().strips
    strip = strips.new_image(name="grey", filepath=frames[0], channel=1, frame_start=1)
    for frame in frames[1:]:
        strip.elements.append(frame.rsplit("/", 1)[1])
    strip.frame_final_duration = len(levels)
    render = movie.render
    render.resolution_x, render.resolution_y = 64, 48
    movie.frame_start, movie.frame_end = 1, len(levels)
    movie.view_settings.view_transform = "Standard"
    if hasattr(render.image_settings, "media_type"):
        render.image_settings.media_type = "VIDEO"
    render.image_settings.file_format = "FFMPEG"
    render.ffmpeg.format, render.ffmpeg.codec, render.ffmpeg.constant_rate_factor = "MPEG4", "H264", "PERC_LOSSLESS"
    render.filepath = str(folder / "movie.mp4")
    bpy.ops.render.render(animation=True, scene=movie.name)
    bpy.data.scenes.remove(movie)
    return str(folder / "movie.mp4")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [((5, 5, 3, 10), 11), ((1, 5, 3, 10), 11), ((9, 5, 3, 10), 13), ((1, 1, 100, 0), 1), ((1, 1, 0, 0), 1)],
)
def test_frame_number_counts_as_blender_does(arguments, expected):
    assert frame_number(*arguments) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [("/a/m_001.png", "/a/m_012.png"), ("/a1/m2b3c.png", "/a1/m2b12c.png"), ("/a/9.exr", "/a/12.exr")],
)
def test_numbered_replaces_the_last_number_of_the_name(path, expected):
    assert numbered(path, 12) == expected


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        (ImageSource(), "Choose one image"),
        (ImageSource(image="a", file="b"), "Choose one image"),
        (ImageSource(image="gone"), "no image 'gone'"),
        (ImageSource(file="/nowhere.png"), "does not exist"),
        (ImageSource(file=__file__), "cannot be read|is empty"),
        (ImageSource(use_background=True), "has no background image"),
    ],
)
def test_a_source_without_picture_is_refused_in_a_sentence(source, sentence, camera):
    with pytest.raises(SolverError, match=sentence):
        source.read(bpy.context.scene, camera, 1, is_range=False)


def test_a_background_that_does_not_fill_the_view_is_refused(camera, pixels):
    background = camera.data.background_images.new()
    background.image, background.scale = new_image(pixels), 1.5

    with pytest.raises(ObservationError, match="scaled"):
        read_background(camera, 1)


def masked(pixels, **key) -> np.ndarray:
    return MaskKey(**key).coverage(read_image(new_image(pixels), 1))


def test_alpha_is_the_coverage(scene, pixels):
    np.testing.assert_allclose(masked(pixels), pixels[..., 3], atol=1e-6)


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.8])
@pytest.mark.parametrize("key", ["ALPHA", "LUMINANCE"])
def test_half_covered_is_what_passes_the_threshold(key, threshold, scene, pixels):
    expected = pixels[..., 3] if key == "ALPHA" else pixels[..., :3] @ (0.2126, 0.7152, 0.0722)

    covered = masked(pixels, key=key, threshold=threshold)

    assert ((covered >= 0.5) == (expected >= threshold)).all()
    assert (masked(pixels, key=key, threshold=threshold, invert=True) == 1 - covered).all()


def test_a_color_key_is_the_background(scene, pixels):
    pixels[1:3, 2:5, :3] = (0, 1, 0)
    pixels[0, 0, :3] = (0.1, 0.9, 0.1)

    covered = masked(pixels, key="COLOR", tolerance=0.25)

    assert not covered[1:3, 2:5].any()
    assert not covered[0, 0]


def test_an_image_without_alpha_is_refused_with_the_other_keys(scene, pixels):
    pixels[..., 3] = 1

    with pytest.raises(ObservationError, match="choose luminance or a color"):
        masked(pixels)
