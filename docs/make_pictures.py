# SPDX-License-Identifier: Apache-2.0
"""Makes the pictures of docs/user-guide.md in a real Blender window: the panels, and every solve as an animation.

python docs/make_pictures.py 5.2        (a version that tests/gui/install_blender.sh installed, or a path; `make pictures`)
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.gui.window import SIDEBAR, Blender, Window  # noqa: E402

IMAGES = ROOT / "docs" / "images"
ANIMATION_WIDTH, ANIMATION_COLOURS, MS_PER_STEP, MAX_STEPS = 640, 200, 250, 16
FRAMES = range(1, 73, 4)
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
    print(f"{path}  {path.stat().st_size / 1e3:.0f} kB")


def animate(pictures: list[Image.Image], name: str, ms: int) -> None:
    height = round(ANIMATION_WIDTH * pictures[0].height / pictures[0].width)
    small = [picture.resize((ANIMATION_WIDTH, height), Image.Resampling.LANCZOS) for picture in pictures]
    palette = side_by_side(small[0], small[-1]).quantize(ANIMATION_COLOURS)
    frames = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in small]
    path = IMAGES / f"blender-{name}.gif"
    durations = [4 * ms, *[ms] * (len(frames) - 2), 8 * ms]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=durations, loop=0, optimize=True)
    print(f"{path}  {path.stat().st_size / 1e3:.0f} kB")


def side_by_side(left: Image.Image, right: Image.Image) -> Image.Image:
    both = Image.new("RGB", (left.width + right.width, left.height))
    both.paste(left, (0, 0))
    both.paste(right, (left.width, 0))
    return both


def viewport(window: Window) -> tuple[int, int, int, int]:
    """Box of the 3D view without its header and sidebar, as screens are counted: from the top."""
    x, y, width, height = window.ask(f"{SIDEBAR}answer = [area.x, area.y, region.x - area.x, area.height]")
    return x + 60, 800 - y - height + 55, x + width, 800 - y


def solve(window: Window, problem: str) -> int:
    """Clicks the button; the number of steps it took."""
    window.open_demo(problem)
    window.open_panel(problem)
    window.ask(f"bpy.context.scene.frame_set({FRAMES[len(FRAMES) // 2] if problem == 'armature' else 1})")
    window.move_mouse(*window.empty_place)
    save(take(window), problem)
    window.click(*window.find(f"deep_feedback.solve_{problem}"))
    find = REPORT.format(problem=problem)
    window.wait_for(f"{find} is not None and {find}.report is not None")
    window.move_mouse(*window.empty_place)
    save(take(window), f"{problem}-solved")
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


def main() -> None:
    name, *problems = sys.argv[1:]
    blender = Blender(name)
    (extension,) = (ROOT / "dist").glob("deep_feedback-*-linux_x64.zip")
    blender.install(extension)
    window = Window(blender)
    try:
        for problem in problems or ("pose", "lighting", "armature"):
            pictures = replay(window, problem, solve(window, problem))
            animate(pictures + (play(window) if problem == "armature" else []), problem, MS_PER_STEP)
    finally:
        window.close()
        blender.close()


if __name__ == "__main__":
    main()
