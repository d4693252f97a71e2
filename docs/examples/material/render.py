# SPDX-License-Identifier: Apache-2.0
"""Run by Blender: renders a ball whose roughness and light are x, and writes the picture as y.

blender -b --factory-startup --python-exit-code 1 --python render.py -- input.npz output.npz
"""

import sys
from pathlib import Path

import bpy
import numpy as np

SIZE, SAMPLES = 32, 16  # pixels; rays a pixel

given, written = (Path(path) for path in sys.argv[sys.argv.index("--") + 1 :])
roughness, strength = np.load(given)["x"]

bpy.ops.wm.read_factory_settings(use_empty=True)
scene = bpy.context.scene
bpy.ops.mesh.primitive_uv_sphere_add(segments=48, ring_count=24)
bpy.ops.object.shade_smooth()
material = bpy.data.materials.new("Paint")
material.use_nodes = True
material.node_tree.nodes["Principled BSDF"].inputs["Roughness"].default_value = roughness
bpy.context.object.data.materials.append(material)
bpy.ops.object.light_add(type="SUN", rotation=(0.6, 0.5, 0))
bpy.context.object.data.energy = strength
bpy.ops.object.camera_add(location=(0, -4, 0), rotation=(np.pi / 2, 0, 0))
scene.camera = bpy.context.object

scene.render.engine, scene.cycles.device = "CYCLES", "CPU"
scene.cycles.samples, scene.cycles.seed, scene.cycles.use_denoising = SAMPLES, 1, False
scene.render.resolution_x = scene.render.resolution_y = SIZE
scene.render.image_settings.file_format, scene.view_settings.view_transform = "OPEN_EXR", "Raw"
scene.render.filepath = str(written.with_suffix(".exr"))
bpy.ops.render.render(write_still=True)
pixels = np.array(bpy.data.images.load(scene.render.filepath).pixels).reshape(SIZE, SIZE, 4)[::-1, :, :3]
np.savez(written, y=pixels)
