# SPDX-License-Identifier: Apache-2.0
"""A real Blender window on a screen of its own, its mouse and keyboard, and a way to ask it questions."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
WIDTH, HEIGHT = 1280, 800
ROW, PANEL_HEADER = 20, 28  # pixels of a line of buttons and of a closed panel
PANELS = ("pose", "lighting", "armature")
PATIENCE = 300.0  # seconds; drawing in software on a busy machine is slow

SIDEBAR = """
window = bpy.context.window_manager.windows[0]
area = next(area for area in window.screen.areas if area.type == "VIEW_3D")
region = next(region for region in area.regions if region.type == "UI")
"""
SHOW_TAB = f"""{SIDEBAR}
try:
    region.active_panel_category = "Solver"
except TypeError:  # it has not been drawn yet
    answer = False
else:
    answer = True
area.tag_redraw()
"""
COMMAND_UNDER_MOUSE = f"""{SIDEBAR}
bpy.context.window_manager.clipboard = ""
with bpy.context.temp_override(window=window, area=area, region=region):
    if bpy.ops.ui.copy_python_command_button.poll():
        bpy.ops.ui.copy_python_command_button()
    if not bpy.context.window_manager.clipboard and bpy.ops.ui.copy_data_path_button.poll():
        bpy.ops.ui.copy_data_path_button(full_path=True)
answer = bpy.context.window_manager.clipboard
"""


class Blender:
    """One Blender: a path to it, or a version that install_blender.sh has installed.

    Its preferences and extensions are those of a new user and go away with it.
    """

    def __init__(self, name: str) -> None:
        """name: "4.3", "5.2" or a path."""
        debian = ROOT / ".blender" / name
        self.is_debian = (debian / "installed").exists()
        self.prefix = [str(HERE / "in_debian.sh"), str(debian)] if self.is_debian else []
        self.executable = "blender" if self.is_debian else name
        self._folder = tempfile.TemporaryDirectory(prefix="blender-gui-")
        self.folder = Path(self._folder.name)
        self.environment = os.environ | {
            "BLENDER_USER_RESOURCES": str(self.folder / "user"),
            "LIBGL_ALWAYS_SOFTWARE": "1",
            "OMP_NUM_THREADS": "1",
            "HOME": str(self.folder),
        }

    def install(self, extension: Path) -> None:
        """Installs and enables the zip, as a user does from the preferences."""
        self.run("--command", "extension", "install-file", "-r", "user_default", "-e", extension)

    def run(self, *arguments: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Blender without a window; what it prints is in the result."""
        return self.call(self.executable, *arguments, check=check)

    def call(self, *command: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        line = [*self.prefix, *map(str, command)]
        done = subprocess.run(line, env=self.environment, capture_output=True, text=True, check=False)
        if check and done.returncode != 0:
            raise RuntimeError(f"{' '.join(map(str, command))}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def start(self, *command: str | Path, output: Path, **more: object) -> subprocess.Popen[str]:
        with output.open("a", encoding="utf-8") as file:
            line = [*self.prefix, *map(str, command)]
            return subprocess.Popen(line, env=self.environment, stdout=file, stderr=subprocess.STDOUT, text=True, **more)

    def close(self) -> None:
        self._folder.cleanup()


class Window:
    """Blender's main window.  Positions are pixels from the lower left corner, as Blender counts them."""

    def __init__(self, blender: Blender, size: tuple[int, int] = (WIDTH, HEIGHT)) -> None:
        """size: width and height."""
        self.blender = blender
        self.width, self.height = size
        self.empty_place = self.width / 3, self.height / 5  # in the 3D view, off every button
        self.log = blender.folder / "log"
        self.requests = blender.folder / "requests"
        self.requests.mkdir(exist_ok=True)
        read, write = os.pipe()
        screen = ["-screen", "0", f"{self.width}x{self.height}x24", "-nolisten", "tcp", "-displayfd", str(write)]
        self.server = blender.start("Xvfb", *screen, output=self.log, pass_fds=[write])
        os.close(write)
        with os.fdopen(read) as number:
            blender.environment["DISPLAY"] = f":{number.readline().strip()}"
        options = ["--no-window-focus", "--window-geometry", "0", "0", str(self.width), str(self.height)]
        inside = ["--python", HERE / "inside.py", "--", self.requests]
        self.process = blender.start(blender.executable, *options, *inside, output=self.log)
        self.hand = blender.start("xdotool", "-", output=self.log, stdin=subprocess.PIPE)  # does what it reads, line by line
        self.buttons: list[tuple[float, float, str]] = []
        self.version = self.value("bpy.app.version_string")

    # Questions

    def ask(self, source: str) -> object:
        """Runs Python inside Blender; gives the value of its variable `answer`."""
        unfinished, answer, error = (self.requests / name for name in ("sent", "answer", "error"))
        unfinished.write_text(source, encoding="utf-8")
        os.replace(unfinished, self.requests / "request")
        self.wait_until(lambda: answer.exists() or error.exists(), "an answer")
        if error.exists():
            message = error.read_text(encoding="utf-8")
            error.unlink()
            raise RuntimeError(f"inside Blender: {message}")
        content = json.loads(answer.read_text(encoding="utf-8"))
        answer.unlink()
        return content

    def value(self, expression: str) -> object:
        return self.ask(f"answer = {expression}")

    def wait_for(self, expression: str) -> None:
        """Until the expression is true inside Blender."""
        self.wait_until(lambda: self.value(expression), expression)

    def wait_until(self, is_true: Callable[[], object], what: str) -> None:
        end = time.monotonic() + PATIENCE
        while not is_true():
            if self.process.poll() is not None:
                raise RuntimeError(f"Blender ended with {self.process.returncode}: {self.log.read_text(encoding='utf-8')}")
            if time.monotonic() > end:
                raise TimeoutError(f"waited for {what}; Blender's log: {self.log.read_text(encoding='utf-8')}")
            time.sleep(0.02)

    # The sidebar

    def open_demo(self, name: str) -> None:
        """Opens a demo scene, with the tab of the extension on top and nothing under the mouse."""
        path = ROOT / "assets" / "demo" / f"{name}.blend"
        self.ask(f"bpy.ops.wm.open_mainfile(filepath={str(path)!r})")
        self.wait_until(lambda: self.ask(SHOW_TAB), "the tab Solver")
        self.buttons = []
        self.move_mouse(*self.empty_place)
        self.settle()

    def open_panel(self, problem: str) -> None:
        """Opens the panel of a problem and closes that of the pose, which is open in a new file."""
        if problem == "pose":
            return
        left, top = self.ask(f"{SIDEBAR}answer = [region.x, region.y + region.height]")
        for number in (0, PANELS.index(problem)):
            self.click(left + 80, top - 16 - number * PANEL_HEADER)
            self.settle()
        self.find(f"deep_feedback.solve_{problem}")

    def find(self, name: str) -> tuple[float, float]:
        """Position of the button of an operator or property in the sidebar, by what Blender itself says is under the mouse.

        name: such as "deep_feedback.solve_pose" or "pose.step".
        """
        for known in (self.buttons, self.look_around()):
            for x, y, command in known:
                if name in command and name in self.command_at(x, y):
                    return x, y
        raise LookupError(f"no button {name} among {[command for *_, command in self.buttons]}")

    def look_around(self) -> Iterator[tuple[float, float, str]]:
        """The buttons of the sidebar from its top on."""
        self.buttons = []
        left, bottom, width, height = self.ask(f"{SIDEBAR}answer = [region.x, region.y, region.width, region.height]")
        for y in range(bottom + height - ROW // 2, bottom, -ROW // 2):
            x = left + 0.6 * width
            if command := self.command_at(x, y):
                self.buttons.append((x, y, command))
                yield self.buttons[-1]

    def command_at(self, x: float, y: float) -> str:
        """Python of the button at a position, as in Blender's menu Copy Python Command or Copy Full Data Path."""
        self.move_mouse(x, y)
        time.sleep(0.1)
        return self.ask(COMMAND_UNDER_MOUSE)

    def settle(self) -> None:
        """Until Blender has taken what mouse and keyboard did, and has drawn it; panels take a moment to open."""
        for _ in range(2):
            time.sleep(0.4)
            self.ask("bpy.ops.wm.redraw_timer(type='DRAW_WIN_SWAP', iterations=1)")

    # Mouse, keyboard, screen

    def move_mouse(self, x: float, y: float) -> None:
        self._do(f"mousemove {round(x)} {round(self.height - 1 - y)}")

    def click(self, x: float, y: float, times: int = 1) -> None:
        self.move_mouse(x, y)
        time.sleep(0.2)  # a button has to notice the mouse before it takes a click
        self._do(f"click --repeat {times} --delay 60 1")

    def drag(self, start: tuple[float, float], end: tuple[float, float], key: str = "") -> None:
        """key: that is held meanwhile."""
        self.move_mouse(*start)
        time.sleep(0.2)
        if key:
            self._do(f"keydown {key}")
        self._do("mousedown 1")
        self.settle()  # Blender takes a press to be where the mouse is when it notices
        for share in (0.3, 0.7, 1.0):
            self.move_mouse(*(low + share * (high - low) for low, high in zip(start, end, strict=True)))
            time.sleep(0.2)
        self._do("mouseup 1")
        if key:
            self._do(f"keyup {key}")

    def press(self, *keys: str) -> None:
        self._do(f"key --delay 60 {' '.join(keys)}")

    def _do(self, command: str) -> None:
        self.hand.stdin.write(f"{command}\n")
        self.hand.stdin.flush()

    def screenshot(self, path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.blender.call("import", "-window", "root", path)
        return path

    def close(self) -> None:
        self.hand.stdin.close()
        for process in (self.hand, self.process, self.server):
            process.kill()  # nothing is worth saving, and a busy window is slow to close
            process.wait()
        shutil.rmtree(self.requests)
