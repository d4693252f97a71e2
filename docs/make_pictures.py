# SPDX-License-Identifier: Apache-2.0
"""Makes pictures in real Blender windows: panels and solves for docs/user-guide.md, and large ones to show the extension.

    python docs/make_pictures.py 5.2                all of them (`make pictures`)
    python docs/make_pictures.py 5.2 pose           those of the user guide about the pose
    python docs/make_pictures.py 5.2 photo          those about a pose from the photograph alone, and along a shot
    python docs/make_pictures.py 5.2 shown          the large ones: docs/images/extension-*.jpg, as the extensions site asks

5.2 is a version that tests/gui/install_blender.sh installed; a path will do, too.
"""

from __future__ import annotations

import sys
import tempfile
from contextlib import closing
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.gui.window import HEIGHT, PANELS, SIDEBAR, WIDTH, Blender, Window  # noqa: E402

IMAGES = ROOT / "docs" / "images"
ANIMATION_WIDTH, ANIMATION_COLOURS, MS_PER_STEP, MAX_STEPS = 640, 200, 250, 16
FRAMES = range(1, 73, 4)
SHOWN_SIZE = (1920, 1080)  # the smallest that the extensions site takes
SHOWN_SCALE = 1.25  # of the interface, to be read where the picture is shown smaller
SHOT_FRAMES, SHOWN_FRAME = (16, 23), 21  # where the hand comes before the toy
TAKE_PHOTO = """
settings = bpy.context.scene.deep_feedback.pose
settings.silhouette.source, settings.from_photo = "BACKGROUND", True
"""
TAKE_SHOT = """
bpy.ops.deep_feedback.clear_result(problem="pose")
image = bpy.data.images.load(bpy.path.abspath("//shot/frame_01.jpg"))
image.source = "SEQUENCE"
(background,) = bpy.context.scene.camera.data.background_images
background.image, background.image_user.frame_duration, background.image_user.use_auto_refresh = image, 40, True
settings = bpy.context.scene.deep_feedback.pose
settings.use_range, (settings.frame_start, settings.frame_end) = True, {frames}
bpy.context.scene.frame_end = 40
"""
REPORT = "__import__('sys').modules['bl_ext.user_default.deep_feedback.results'].find({problem!r}, bpy.context.scene)"


def take(window: Window, box: tuple[int, int, int, int] | None = None) -> Image.Image:
    """The screen, or a part of it: left, top, right, bottom."""
    window.settle()
    with tempfile.TemporaryDirectory() as folder:
        picture = Image.open(window.screenshot(Path(folder) / "screen.png")).convert("RGB")
    return picture.crop(box) if box else picture


def save(picture: Image.Image, name: str) -> None:
    path = IMAGES / f"blender-{name}.png"
    picture.quantize(256).save(path, optimize=True)
    print(f"{path}  {path.stat().st_size / 1e3:.0f} kB", flush=True)


def animate(pictures: list[Image.Image], name: str, ms: int) -> None:
    height = round(ANIMATION_WIDTH * pictures[0].height / pictures[0].width)
    small = [picture.resize((ANIMATION_WIDTH, height), Image.Resampling.LANCZOS) for picture in pictures]
    palette = side_by_side(small[0], small[-1]).quantize(ANIMATION_COLOURS)
    frames = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in small]
    path = IMAGES / f"blender-{name}.gif"
    durations = [4 * ms, *[ms] * (len(frames) - 2), 8 * ms]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=durations, loop=0, optimize=True)
    print(f"{path}  {path.stat().st_size / 1e3:.0f} kB", flush=True)


def side_by_side(left: Image.Image, right: Image.Image) -> Image.Image:
    both = Image.new("RGB", (left.width + right.width, left.height))
    both.paste(left, (0, 0))
    both.paste(right, (left.width, 0))
    return both


def viewport(window: Window) -> tuple[int, int, int, int]:
    """Box of the 3D view without its header and sidebar, as screens are counted: from the top."""
    x, y, width, height = window.ask(f"{SIDEBAR}answer = [area.x, area.y, region.x - area.x, area.height]")
    return x + 60, window.height - y - height + 55, x + width, window.height - y


def open_problem(window: Window, problem: str) -> None:
    """Its demo scene and its panel, with the mouse out of the way."""
    window.open_demo(problem)
    window.open_panel(problem)
    window.ask(f"bpy.context.scene.frame_set({FRAMES[len(FRAMES) // 2] if problem == 'armature' else 1})")
    window.move_mouse(*window.empty_place)


def solve(window: Window, problem: str) -> int:
    """Clicks the button; the number of steps it took."""
    window.click(*window.find(f"deep_feedback.solve_{problem}"))
    find = REPORT.format(problem=problem)
    window.wait_for(f"{find} is not None and {find}.report is not None")
    window.move_mouse(*window.empty_place)
    return window.value(f"len({find}.steps)")


def replay(window: Window, problem: str, num_steps: int) -> list[Image.Image]:
    """What the step slider shows, the last step being the answer."""
    shown = sorted({*range(1, min(num_steps, MAX_STEPS)), num_steps})
    pictures = []
    for step in shown:
        window.ask(f"bpy.context.scene.deep_feedback.{problem}.step = {step}")
        pictures.append(take(window, viewport(window)))
    return pictures


def play(window: Window) -> list[Image.Image]:
    """The solved motion, without what the solve drew over it."""
    window.ask("bpy.ops.deep_feedback.clear_result(problem='armature')")
    pictures = []
    for frame in FRAMES:
        window.ask(f"bpy.context.scene.frame_set({frame})")
        pictures.append(take(window, viewport(window)))
    return pictures


def guide(window: Window, problem: str) -> None:
    """The pictures of docs/user-guide.md about a problem."""
    open_problem(window, problem)
    save(take(window), problem)
    num_steps = solve(window, problem)
    save(take(window), f"{problem}-solved")
    if problem == "lighting":
        window.ask("bpy.context.scene.deep_feedback.lighting.comparison = 'DIFFERENCE'")
        take(window)  # it is drawn first, and made then
        save(take(window), "lighting-difference")
        window.ask("bpy.context.scene.deep_feedback.lighting.comparison = 'OFF'")
    pictures = replay(window, problem, num_steps)
    animate(pictures + (play(window) if problem == "armature" else []), problem, MS_PER_STEP)


def photo(window: Window, problem: str) -> None:
    """The photograph solved without its mask, and from there on frames of the shot."""
    open_problem(window, problem)
    window.ask(TAKE_PHOTO)
    solve(window, problem)
    save(take(window), "photo")
    window.ask(TAKE_SHOT.format(frames=SHOT_FRAMES))
    solve(window, problem)
    window.ask(f"bpy.ops.deep_feedback.look_at_frame(frame={SHOWN_FRAME})")
    save(take(window), "shot")


def show(window: Window, problem: str) -> None:
    """A large picture of the solved scene."""
    open_problem(window, problem)
    solve(window, problem)
    window.ask(f"bpy.context.preferences.view.ui_scale = {SHOWN_SCALE}")
    path = IMAGES / f"extension-{problem}.jpg"
    take(window).save(path, quality=88, subsampling=0, optimize=True, progressive=True)
    window.ask("bpy.context.preferences.view.ui_scale = 1")
    print(f"{path}  {path.stat().st_size / 1e3:.0f} kB", flush=True)


def main() -> None:
    name, *chosen = sys.argv[1:]
    blender = Blender(name)
    (extension,) = (ROOT / "dist").glob("deep_feedback-*-linux_x64.zip")
    blender.install(extension)
    in_windows = [(guide, [problem for problem in PANELS if not chosen or problem in chosen], (WIDTH, HEIGHT))]
    in_windows.append((photo, ["pose"] if not chosen or "photo" in chosen else [], (WIDTH, HEIGHT)))
    in_windows.append((show, PANELS if not chosen or "shown" in chosen else [], SHOWN_SIZE))
    try:
        for take_pictures, problems, size in in_windows:
            if problems:
                with closing(Window(blender, size)) as window:
                    for problem in problems:
                        take_pictures(window, problem)
    finally:
        blender.close()


if __name__ == "__main__":
    main()
