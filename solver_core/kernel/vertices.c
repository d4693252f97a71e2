/* SPDX-License-Identifier: Apache-2.0 */
/* Vertices of many meshes, each transformed by a matrix, centred and scaled to one size, as in vertices.py. */

#include "kernel.h"

void solver_core_unit_vertices(int64_t count, const MeshArrays *meshes, const double *matrices, float *vertices, double *boxes)
{
    for (int64_t item = 0; item < count; item++, matrices += 9, boxes += 4) {
        double low[3] = {INFINITY, INFINITY, INFINITY}, high[3] = {-INFINITY, -INFINITY, -INFINITY};
        for (int64_t i = 0; i < meshes[item].num_vertices; i++) {
            const float *vertex = meshes[item].vertices + 3 * i;
            for (int axis = 0; axis < 3; axis++) {
                const double *row = matrices + 3 * axis;
                const double value = row[0] * vertex[0] + row[1] * vertex[1] + row[2] * vertex[2];
                low[axis] = value < low[axis] ? value : low[axis];
                high[axis] = value > high[axis] ? value : high[axis];
            }
        }
        const double sides[3] = {high[0] - low[0], high[1] - low[1], high[2] - low[2]};
        for (int axis = 0; axis < 3; axis++) boxes[axis] = 0.5 * (low[axis] + high[axis]);
        boxes[3] = sqrt(sides[0] * sides[0] + sides[1] * sides[1] + sides[2] * sides[2]);
        const double scale = 1 / boxes[3];
        for (int64_t i = 0; i < meshes[item].num_vertices; i++, vertices += 3) {
            const float *vertex = meshes[item].vertices + 3 * i;
            for (int axis = 0; axis < 3; axis++) {
                const double *row = matrices + 3 * axis;
                const double value = row[0] * vertex[0] + row[1] * vertex[1] + row[2] * vertex[2];
                vertices[axis] = (float)((value - boxes[axis]) * scale);
            }
        }
    }
}
