/* SPDX-License-Identifier: Apache-2.0 */
/* Points on rendered outlines and the sums of a Gauss-Newton step, as in contour.py. */

#include "kernel.h"

typedef struct {
    int32_t height, width;
    const float *depth, *distance; /* (height, width); depth is infinite beside the object */
    const uint8_t *evidence;       /* (height, width) */
} ContourView;

/* Adds half the slope of the distance at a pixel, by column and by row: one-sided at the border, 0 across a single pixel. */
static void add_half_slope(const ContourView *view, int32_t row, int32_t column, double *slope)
{
    const int32_t left = column > 0 ? column - 1 : 0, right = column + 1 < view->width ? column + 1 : column;
    const int32_t above = row > 0 ? row - 1 : 0, below = row + 1 < view->height ? row + 1 : row;
    const float *along_row = view->distance + (int64_t)row * view->width, *along_column = view->distance + column;
    const float by_row = along_column[(int64_t)below * view->width] - along_column[(int64_t)above * view->width];
    if (left < right) slope[0] += 0.5 * (along_row[right] - along_row[left]) / (right - left);
    if (above < below) slope[1] += 0.5 * by_row / (below - above);
}

/* centre: position (3,) of the object.  intrinsics: fx, fy, cx, cy.  (row, column) is on the object, (other...) beside it. */
static ContourPoint contour_point(const ContourView *view, const double *centre, const double *intrinsics, int32_t row,
                                  int32_t column, int32_t other_row, int32_t other_column)
{
    const int64_t inside = (int64_t)row * view->width + column, outside = (int64_t)other_row * view->width + other_column;
    ContourPoint point;
    double slope[2] = {0, 0};
    add_half_slope(view, row, column, slope);
    add_half_slope(view, other_row, other_column, slope);
    const double length = fmax(sqrt(slope[0] * slope[0] + slope[1] * slope[1]), 0.1);
    slope[0] /= length;
    slope[1] /= length;
    point.residual = 0.5f * (view->distance[inside] + view->distance[outside]);
    point.weight = fabs(row == other_row ? slope[0] : slope[1]);

    const double depth = view->depth[inside];
    const double image_x = (0.5 * (column + other_column) + 0.5 - intrinsics[2]) / intrinsics[0];
    const double image_y = (intrinsics[3] - 0.5 * (row + other_row) - 0.5) / intrinsics[1];
    const double by_x = slope[0] * intrinsics[0], by_y = -slope[1] * intrinsics[1];
    const double by_point[3] = {by_x / depth, by_y / depth, (image_x * by_x + image_y * by_y) / depth};
    const double arm[3] = {image_x * depth - centre[0], image_y * depth - centre[1], -depth - centre[2]};
    cross(arm, by_point, point.jacobian);
    point.jacobian[3] = -by_point[0] * centre[2];
    point.jacobian[4] = -by_point[1] * centre[2];
    point.jacobian[5] = by_point[0] * centre[0] + by_point[1] * centre[1] + by_point[2] * centre[2];
    return point;
}

int64_t solver_core_contour_points(int64_t count, int32_t height, int32_t width, const float *depth, const float *distance,
                                   const uint8_t *evidence, const double *positions, const double *intrinsics,
                                   int64_t capacity, ContourPoint *points, int64_t *instance)
{
    int64_t found = 0;
    for (int64_t item = 0; item < count; item++) {
        const int64_t start = item * height * width;
        const ContourView view = {height, width, depth + start, distance + start, evidence + start};
        for (int32_t row = 0; row < height; row++) {
            for (int32_t column = 0; column < width; column++) {
                const int64_t here = (int64_t)row * width + column;
                if (!view.evidence[here]) continue;
                const int is_object = view.depth[here] < INFINITY;
                for (int down = 0; down < 2; down++) {
                    const int32_t next_row = row + down, next_column = column + !down;
                    if (next_row >= height || next_column >= width) continue;
                    const int64_t next = (int64_t)next_row * width + next_column;
                    if ((view.depth[next] < INFINITY) == is_object || !view.evidence[next]) continue;
                    if (found < capacity) {
                        const double *centre = positions + 3 * item, *camera = intrinsics + 4 * item;
                        points[found] = is_object ? contour_point(&view, centre, camera, row, column, next_row, next_column)
                                                  : contour_point(&view, centre, camera, next_row, next_column, row, column);
                        instance[found] = item;
                    }
                    found++;
                }
            }
        }
    }
    return found;
}

int64_t solver_core_normal_equations(int64_t num_points, const ContourPoint *points, const int64_t *instance,
                                     int64_t num_instances, const double *robust, double *hessian, double *gradient)
{
    for (int64_t k = 0; k < num_points; k++) {
        const ContourPoint *point = points + k;
        if (instance[k] < 0 || instance[k] >= num_instances) return k;
        const double far = point->residual / robust[instance[k]], weight = point->weight / (1 + far * far);
        double *h = hessian + 36 * instance[k], *g = gradient + 6 * instance[k];
        for (int i = 0; i < 6; i++) {
            const double weighted = weight * point->jacobian[i];
            g[i] += weighted * point->residual;
            for (int j = i; j < 6; j++) h[6 * i + j] += weighted * point->jacobian[j];
        }
    }
    for (int64_t item = 0; item < num_instances; item++)
        for (int i = 0; i < 6; i++)
            for (int j = 0; j < i; j++) hessian[36 * item + 6 * i + j] = hessian[36 * item + 6 * j + i];
    return -1;
}

/* Adds the distance of an outline point from where the mask's outline is, cut at `cut` and in units of it, and its length. */
static void add_outline(const ContourView *view, double cut, int32_t row, int32_t column, int32_t other_row,
                        int32_t other_column, double *sums)
{
    const int64_t inside = (int64_t)row * view->width + column, outside = (int64_t)other_row * view->width + other_column;
    double slope[2] = {0, 0};
    add_half_slope(view, row, column, slope);
    add_half_slope(view, other_row, other_column, slope);
    const double length = fmax(sqrt(slope[0] * slope[0] + slope[1] * slope[1]), 0.1);
    const double weight = fabs(row == other_row ? slope[0] : slope[1]) / length;
    sums[0] += weight * fmin(fabs(0.5f * (view->distance[inside] + view->distance[outside])) / cut, 1);
    sums[1] += weight;
}

void solver_core_misfit(int64_t count, int32_t height, int32_t width, const float *depth, const float *distance,
                        const uint8_t *evidence, const float *coverage, int32_t is_shared, double cut, double *sums)
{
    const int64_t num_pixels = (int64_t)height * width;
    for (int64_t item = 0; item < count; item++, sums += 5) {
        const int64_t start = item * num_pixels, mask = is_shared ? 0 : start;
        const ContourView view = {height, width, depth + start, distance + mask, evidence + mask};
        const float *covered = coverage + mask;
        for (int k = 0; k < 5; k++) sums[k] = 0;
        for (int32_t row = 0; row < height; row++) {
            for (int32_t column = 0; column < width; column++) {
                const int64_t here = (int64_t)row * width + column;
                if (!view.evidence[here]) continue;
                const int is_object = view.depth[here] < INFINITY;
                sums[2] += is_object ? covered[here] : 0;
                sums[3] += is_object;
                sums[4] += covered[here];
                for (int down = 0; down < 2; down++) {
                    const int32_t next_row = row + down, next_column = column + !down;
                    if (next_row >= height || next_column >= width) continue;
                    const int64_t next = (int64_t)next_row * width + next_column;
                    if ((view.depth[next] < INFINITY) == is_object || !view.evidence[next]) continue;
                    if (is_object) add_outline(&view, cut, row, column, next_row, next_column, sums);
                    else add_outline(&view, cut, next_row, next_column, row, column, sums);
                }
            }
        }
    }
}
