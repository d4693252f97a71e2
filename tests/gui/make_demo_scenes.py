# SPDX-License-Identifier: Apache-2.0
"""Makes assets/demo/*.blend in Blender 4.3, and saves them again from a window.

    python tests/gui/make_demo_scenes.py [pose lighting armature]

A file keeps how it was shown: one that was saved without a window opens black.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.gui.window import Blender, Window  # noqa: E402


def main() -> None:
    names = sys.argv[1:] or ["pose", "lighting", "armature"]
    blender = Blender("4.3")
    (extension,) = (ROOT / "dist").glob("deep_feedback-*-linux_x64.zip")
    blender.install(extension)
    blender.run("-b", "--python-exit-code", "1", "--python", ROOT / "assets" / "demo" / "make_scenes.py", "--", *names)
    window = Window(blender)
    for name in names:
        window.open_demo(name)
        window.ask("bpy.ops.wm.save_mainfile(compress=True)")
        (ROOT / "assets" / "demo" / f"{name}.blend1").unlink(missing_ok=True)
    window.close()
    blender.close()


if __name__ == "__main__":
    main()
