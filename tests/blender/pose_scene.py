# SPDX-License-Identifier: Apache-2.0
"""A scene whose pose can be solved: a monkey, a camera, and an image of the monkey's silhouette before it was moved."""

import bpy
import numpy as np
from mathutils import Euler, Matrix

from solver_core import render
from solver_core.mesh import Mesh

WIDTH, HEIGHT = 160, 120
TRUE_ROTATION = (0.1, -0.05, 0.4)


def make_pose_scene(scene):
    """Returns the monkey, away from its true place (the origin, TRUE_ROTATION)."""
    from addon.bridge.camera import read_camera, read_camera_pose
    from addon.bridge.mesh import read_rigid_mesh

    scene.render.resolution_x, scene.render.resolution_y = WIDTH, HEIGHT
    camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    camera.matrix_world = Matrix.Translation((0, -6, 1)) @ Euler((1.4, 0, 0)).to_matrix().to_4x4()
    scene.collection.objects.link(camera)
    scene.camera = camera
    bpy.ops.mesh.primitive_monkey_add(location=(0, 0, 0), rotation=TRUE_ROTATION)
    monkey = bpy.context.object
    depsgraph = bpy.context.evaluated_depsgraph_get()
    mesh = read_rigid_mesh(depsgraph, monkey)
    camera_from_object = np.linalg.solve(read_camera_pose(depsgraph, camera), mesh.world_from_object)
    depth = render.render_depth(
        [Mesh(mesh.vertices.astype(np.float32), mesh.faces)],
        camera_from_object[None],
        read_camera(scene, depsgraph, camera).intrinsics,
        HEIGHT,
        WIDTH,
    )[0]
    image = bpy.data.images.new("Silhouette", WIDTH, HEIGHT, alpha=True)
    rgba = np.ones((HEIGHT, WIDTH, 4), np.float32)
    rgba[..., 3] = np.isfinite(depth)
    image.pixels.foreach_set(rgba[::-1].ravel())
    scene.deep_feedback.pose.silhouette.image = image
    monkey.rotation_euler = (0.3, 0.1, 0.2)
    monkey.location = (0.1, 0.2, -0.1)
    bpy.context.view_layer.update()
    return monkey
