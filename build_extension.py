# SPDX-License-Identifier: Apache-2.0
"""Builds the Blender extension: one zip per platform, with the add-on, its manifest and the wheels it needs.

    python build_extension.py                          every platform, into dist/
    python build_extension.py --platform linux-x64     one

No tracked file is changed, and several builds may run at once.  Building twice gives the same bytes.
"""

from __future__ import annotations

import argparse
import html
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

from markdown_it import MarkdownIt

from solver_core import __version__
from solver_core.kernel.build import TARGETS

ROOT = Path(__file__).resolve().parent

# Blender's name of a platform: that of the kernel for it.
PLATFORMS = {
    "windows-x64": "windows-x86_64",
    "macos-x64": "macos-x86_64",
    "macos-arm64": "macos-arm64",
    "linux-x64": "linux-x86_64",
    "linux-arm64": "linux-aarch64",
}
WHEEL_SOURCES = ("solver_core", "pyproject.toml", "setup.py", "README.md", "LICENSE", "NOTICE", "LICENSES")
# What only training needs, in solver_core: Blender has no torch.  `sc.train` stays, and says so.
TRAINING = (
    "training/[!_]*",
    "network/torch_modules.py",
    "problems/*/training",
    "problems/*/loss.py",
    "problems/*/sampler.py",
    "mesh_library.py",
    "testing.py",
)
MAX_BYTES = 15e6
PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 sans-serif; max-width: 46em; margin: 2em auto; padding: 0 1em; color: #222; background: #fff }}
img {{ max-width: 100% }}
code, pre {{ background: #eee }}
@media (prefers-color-scheme: dark) {{
  body {{ color: #ddd; background: #222 }}
  code, pre {{ background: #333 }}
  a {{ color: #8bf }}
}}
</style>
{body}
</html>
"""
EPOCH = (1980, 1, 1, 0, 0, 0)  # of every file in a zip; the format has no earlier one


def build_extension(platform: str, output_dir: Path) -> Path:
    """Zip of the extension for one of PLATFORMS."""
    manifest = (ROOT / "blender_manifest.toml").read_text(encoding="utf-8")
    output = output_dir / f"{tomllib.loads(manifest)['id']}-{__version__}-{platform.replace('-', '_')}.zip"
    output_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        stage = Path(folder) / "extension"
        shutil.copytree(ROOT / "addon", stage, ignore=shutil.ignore_patterns("__pycache__"))
        write_manual(stage / "manual")
        wheels = stage / "wheels"
        download_safetensors(platform, wheels)
        build_wheel(PLATFORMS[platform], wheels, without=TRAINING)
        names = sorted(wheel.name for wheel in wheels.iterdir())
        shutil.copy2(ROOT / "NOTICE", stage)
        shutil.copy2(ROOT / "LICENSES" / "GPL-3.0-or-later.txt", stage / "LICENSE")
        generated = f'platforms = {[platform]}\nwheels = {[f"./wheels/{name}" for name in names]}\nversion = "{__version__}"\n'
        (stage / "blender_manifest.toml").write_text(generated + manifest, encoding="utf-8")
        write_zip(stage, output)
    return output


def write_manual(folder: Path) -> None:
    """The user guide as a page with its pictures, to be read without a network.  Animations, which are large, stay out."""
    guide = (ROOT / "docs" / "user-guide.md").read_text(encoding="utf-8")
    text = re.sub(r"!\[[^]]*\]\([^)]*\.gif\)\n\n?", "", guide)
    text = re.sub(r"\[([^]]*)\]\((?!images/|https?:)[^)]*\)", r"\1", text)  # the other pages are not there
    body = MarkdownIt("commonmark").enable("table").render(text)
    body = re.sub(r"<h([12])>(.*?)</h\1>", lambda found: f'<h{found[1]} id="{anchor(found[2])}">{found[2]}</h{found[1]}>', body)
    folder.mkdir()
    (folder / "index.html").write_text(PAGE.format(title=guide.splitlines()[0].strip("# "), body=body), encoding="utf-8")
    (folder / "images").mkdir()
    for name in sorted(set(re.findall(r'src="images/([^"]+)"', body))):
        shutil.copy2(ROOT / "docs" / "images" / name, folder / "images")


def anchor(heading: str) -> str:
    """A heading's name in addresses, as GitHub makes it."""
    return re.sub(r"[^a-z0-9 -]", "", html.unescape(heading).lower()).strip().replace(" ", "-")


def build_wheel(target: str, output_dir: Path, without: Sequence[str] = ()) -> None:
    """Wheel of solver_core with the kernel of a target, or with none for "any"; without: patterns of what stays out."""
    environment = {"SOLVER_CORE_TARGET": target, "SOURCE_DATE_EPOCH": "315532800"}  # 1980 again
    with copied_sources() as source:
        for path in [path for pattern in without for path in source.glob(f"solver_core/{pattern}")]:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        run_pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", output_dir, source, **environment)


@contextmanager
def copied_sources() -> Iterator[Path]:
    """A folder with what is packed, and nothing that a build left behind."""
    with tempfile.TemporaryDirectory() as folder:
        for name in WHEEL_SOURCES:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, Path(folder, name), ignore=shutil.ignore_patterns("__pycache__", "kernel-*"))
            else:
                shutil.copy2(ROOT / name, folder)
        yield Path(folder)


def download_safetensors(platform: str, output_dir: Path) -> None:
    """Wheel of the version that the tests run with; one serves every Python of Blender."""
    requirement = f"safetensors=={metadata.version('safetensors')}"
    options = ["--no-deps", "--only-binary", ":all:", "--implementation", "cp", "--abi", "abi3", "--python-version", "3.11"]
    wheel_platform = TARGETS[PLATFORMS[platform]].wheel
    run_pip("download", *options, "--platform", wheel_platform, "--dest", output_dir, requirement)


def check_extension(extension: Path) -> None:
    """Raises CalledProcessError if Blender would refuse a zip; says so where its validator, a part of bpy, is not there."""
    spec = importlib.util.find_spec("bpy")
    folders = [] if spec is None else spec.submodule_search_locations or []
    validator = next(
        (path for folder in folders for path in Path(folder).glob("*/scripts/addons_core/bl_pkg/cli/blender_ext.py")), None
    )
    if validator is None:
        sys.stderr.write(f"{extension.name} was not validated: Blender as a module, bpy, is not there\n")
        return
    subprocess.run([sys.executable, validator, "validate", extension], check=True, stdout=subprocess.DEVNULL)


def run_pip(*arguments: str | Path, **environment: str) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", *map(str, arguments)]
    subprocess.run(command, env=os.environ | environment, check=True)


def write_zip(folder: Path, output: Path) -> None:
    """The folder's files, in order and without their dates."""
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), EPOCH)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(entry, path.read_bytes(), compresslevel=9)


def main() -> int:
    parser = argparse.ArgumentParser(description="Build the Blender extension.")
    parser.add_argument("--platform", choices=PLATFORMS, action="append", help="only this one; may be repeated")
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="folder of the zips; default: dist")
    arguments = parser.parse_args()
    for platform in arguments.platform or PLATFORMS:
        output = build_extension(platform, arguments.out)
        check_extension(output)
        size = output.stat().st_size
        sys.stdout.write(f"{output}  {size / 1e6:.1f} MB\n")
        if size > MAX_BYTES:
            sys.stderr.write(f"{output.name} is over {MAX_BYTES / 1e6:.0f} MB\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
