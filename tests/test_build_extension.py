# SPDX-License-Identifier: Apache-2.0
"""The zips of the Blender extension hold what Blender needs, and nothing that is tracked changes."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import build_extension
import solver_core

ROOT = Path(__file__).resolve().parents[1]
MAX_BYTES = 15e6


@pytest.fixture(scope="module")
def extension(tmp_path_factory) -> Path:
    return build_extension.build_extension("linux-x64", tmp_path_factory.mktemp("extension"))


def manifest_of(extension: Path) -> dict:
    with zipfile.ZipFile(extension) as archive:
        return tomllib.loads(archive.read("blender_manifest.toml").decode())


def test_zip_is_small(extension):
    assert extension.stat().st_size < MAX_BYTES


def test_manifest_names_the_version_the_platform_and_files_only(extension):
    manifest = manifest_of(extension)

    assert manifest["version"] == solver_core.__version__
    assert manifest["platforms"] == ["linux-x64"]
    assert manifest["blender_version_min"] == "4.2.0"
    assert set(manifest["permissions"]) == {"files"}


def test_zip_holds_the_licence_of_the_extension_and_the_sources_of_the_weights(extension):
    with zipfile.ZipFile(extension) as archive:
        assert "GNU GENERAL PUBLIC LICENSE" in archive.read("LICENSE").decode()
        assert "mocap.cs.cmu.edu" in archive.read("NOTICE").decode()


def test_zip_holds_the_addon_and_the_wheels_that_the_manifest_names(extension):
    with zipfile.ZipFile(extension) as archive:
        names = set(archive.namelist())

    wheels = {f"./{name}" for name in names if name.endswith(".whl")}
    assert wheels == set(manifest_of(extension)["wheels"])
    assert {path.relative_to(ROOT / "addon").as_posix() for path in ROOT.glob("addon/**/*.py")} <= names
    assert not [name for name in names if "__pycache__" in name]


def test_zip_holds_the_manual_with_its_pictures_and_nothing_to_fetch(extension):
    with zipfile.ZipFile(extension) as archive:
        page, names = archive.read("manual/index.html").decode(), archive.namelist()

    pictures = re.findall(r'src="([^"]+)"', page)
    assert len(pictures) > 3
    assert {f"manual/{picture}" for picture in pictures} <= set(names)
    assert not re.findall(r'href="(?!#)', page)
    guide = (ROOT / "docs" / "user-guide.md").read_text(encoding="utf-8")
    assert page.count("<h2 ") == len(re.findall("^## ", guide, re.MULTILINE))


@pytest.fixture(scope="module")
def wheel(extension, tmp_path_factory) -> Path:
    """The wheel of solver_core, unpacked."""
    folder = tmp_path_factory.mktemp("wheel")
    with zipfile.ZipFile(extension) as archive:
        (name,) = (name for name in archive.namelist() if "solver_core" in name)
        with zipfile.ZipFile(archive.extract(name, folder / "packed")) as packed:
            packed.extractall(folder / "wheel")
    return folder / "wheel"


@pytest.fixture(scope="module")
def wheel_files(wheel) -> set[str]:
    """Paths in the wheel of solver_core, all but those about it."""
    files = {path.relative_to(wheel).as_posix() for path in wheel.rglob("*") if path.is_file()}
    return {file for file in files if ".dist-info/" not in file}


def test_wheel_holds_the_kernel_of_its_platform_and_the_weights(wheel_files):
    assert [file for file in wheel_files if "kernel-" in file] == ["solver_core/kernel/kernel-linux-x86_64.so"]
    assert {f"solver_core/weights/{path.name}" for path in ROOT.glob("solver_core/weights/*.safetensors")} <= wheel_files


def test_wheel_holds_what_solves_and_nothing_that_trains_or_measures(wheel_files):
    library = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("solver_core/**/*.py")}
    trains = {file for file in library if {"training", "sampler.py", "loss.py"} & set(Path(file).parts)}
    trains |= {f"solver_core/{name}.py" for name in ("network/torch_modules", "mesh_library", "testing")}

    assert {file for file in wheel_files if file.endswith(".py")} == library - trains | {"solver_core/training/__init__.py"}
    assert {file.partition("/")[0] for file in wheel_files} == {"solver_core"}
    assert not [file for file in wheel_files if {"paper", "tables", "baselines"} & set(Path(file).parts)]


def in_wheel(wheel: Path, code: str) -> str:
    """What code prints that has the wheel's solver_core, and no packages but those of this Python."""
    environment = {"PYTHONPATH": str(wheel), "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=wheel, env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_all_of_the_wheel_can_be_imported(wheel, wheel_files):
    names = sorted(file.removesuffix(".py").replace("/", ".") for file in wheel_files if file.endswith(".py"))
    imported = [name.removesuffix(".__init__") for name in names if not name.endswith("__main__")]

    code = (
        f"import importlib\nfor name in {imported}: importlib.import_module(name)\nprint(importlib.sys.modules['solver_core'])"
    )

    assert str(wheel) in in_wheel(wheel, code)


@pytest.mark.parametrize(
    "training",
    [
        "sc.train('pose')",
        "sc.train(sc.inverse_problem(lambda x: x, sc.Box([0, 0], [1, 1])))",
    ],
)
def test_training_with_the_wheel_says_in_a_sentence_that_it_only_solves(training, wheel):
    code = f"""
import solver_core as sc
try:
    {training}
except sc.MissingDependency as error:
    print(error)
"""
    sentence = in_wheel(wheel, code)

    assert sentence.startswith("training is not in this solver_core, which comes with Blender's extension")
    assert sentence.count("\n") == 1


def test_building_again_gives_the_same_bytes(extension, tmp_path):
    again = build_extension.build_extension("linux-x64", tmp_path)

    assert again.read_bytes() == extension.read_bytes()


@pytest.mark.parametrize("name", ["extension-pose.jpg", "extension-lighting.jpg", "extension-armature.jpg", "icon.png"])
def test_pictures_have_the_sizes_that_the_extensions_site_asks(name):
    image = pytest.importorskip("PIL.Image")
    path = ROOT / "docs" / "images" / name

    with image.open(path) as picture:
        assert picture.size == ((256, 256) if name == "icon.png" else (1920, 1080))
    assert path.stat().st_size < 500_000


@pytest.mark.parametrize("platform", build_extension.PLATFORMS)
def test_every_platform_has_a_kernel(platform):
    assert build_extension.PLATFORMS[platform] in build_extension.TARGETS


@pytest.mark.bpy
def test_zip_that_blender_refuses_stops_the_build(extension, tmp_path, capfd):
    pytest.importorskip("bpy")
    build_extension.check_extension(extension)
    wrong = tmp_path / "wrong.zip"
    with zipfile.ZipFile(extension) as archive, zipfile.ZipFile(wrong, "w") as changed:
        manifest = archive.read("blender_manifest.toml").decode().replace('blender_version_min = "4.2.0"', "")
        changed.writestr("blender_manifest.toml", manifest)
        changed.writestr("__init__.py", "")

    with pytest.raises(subprocess.CalledProcessError):
        build_extension.check_extension(wrong)


@pytest.mark.bpy
def test_blender_installs_it(extension, tmp_path):
    pytest.importorskip("bpy")
    script = (
        "import bpy, sys\n"
        f"bpy.ops.extensions.package_install_files(filepath={str(extension)!r}, repo='user_default', enable_on_install=True)\n"
        "assert 'bl_ext.user_default.deep_feedback' in bpy.context.preferences.addons\n"
        "assert bpy.context.scene.deep_feedback.pose is not None\n"
    )

    run = subprocess.run(
        [sys.executable, "-c", script],
        env={"BLENDER_USER_RESOURCES": str(tmp_path), "HOME": str(tmp_path), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 0, run.stderr
