/* SPDX-License-Identifier: Apache-2.0 */
/* Points on rendered outlines and the sums of a Gauss-Newton step, as in contour.py. */

#include "kernel.h"

#include <string.h>

#define STRIDE 8 /* pixels looked at together: outlines are few, and most strides have none */

typedef struct {
    int32_t height, width;
    const float *depth, *distance; /* (height, width); depth is infinite beside the object */
    const uint8_t *evidence;       /* (height, width) */
} ContourView;

/* What a pixel is: without evidence, background or object. */
enum { UNKNOWN = 0, BACKGROUND = 1, OBJECT = 2 };

/* Writes what the pixels of a row are, the last one repeated, to kinds (width + STRIDE); below the image is the last row. */
static void find_kinds(const ContourView *view, int32_t row, uint8_t *kinds)
{
    const int64_t start = (int64_t)(row < view->height ? row : view->height - 1) * view->width;
    const float *depth = view->depth + start;
    const uint8_t *evidence = view->evidence + start;
    for (int32_t i = 0; i < view->width; i++) kinds[i] = (uint8_t)(evidence[i] ? BACKGROUND + (depth[i] < INFINITY) : UNKNOWN);
    for (int32_t i = 0; i < STRIDE; i++) kinds[view->width + i] = kinds[view->width - 1];
}

/* Whether some of STRIDE pixels differ from others. */
static int differ(const uint8_t *kinds, const uint8_t *others)
{
    uint64_t some, other;
    memcpy(&some, kinds, STRIDE);
    memcpy(&other, others, STRIDE);
    return some != other;
}

/* Finds the outlines between a row and itself and the one below, in the order of its pixels, first beside, then below each.
 * kinds, below: of both rows.  Returns how many there are.
 */
static int32_t find_outlines(const ContourView *view, int32_t row, const uint8_t *kinds, const uint8_t *below,
                             Outline *outlines)
{
    int32_t found = 0;
    for (int32_t start = 0; start < view->width; start += STRIDE) {
        if (!differ(kinds + start, kinds + start + 1) && !differ(kinds + start, below + start)) continue;
        const int32_t end = start + STRIDE < view->width ? start + STRIDE : view->width;
        for (int32_t column = start; column < end; column++) {
            const int is_object = kinds[column] == OBJECT;
            if ((kinds[column] ^ kinds[column + 1]) == (BACKGROUND ^ OBJECT)) {
                const Outline beside = {row, column + !is_object, row, column + is_object};
                outlines[found++] = beside;
            }
            if ((kinds[column] ^ below[column]) == (BACKGROUND ^ OBJECT)) {
                const Outline under = {row + !is_object, column, row + is_object, column};
                outlines[found++] = under;
            }
        }
    }
    return found;
}

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

/* centre: position (3,) of the object.  intrinsics: fx, fy, cx, cy. */
static ContourPoint contour_point(const ContourView *view, const double *centre, const double *intrinsics, Outline outline)
{
    const int32_t row = outline.row, column = outline.column;
    const int32_t other_row = outline.other_row, other_column = outline.other_column;
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
                                   uint8_t *kinds, Outline *outlines, int64_t capacity, ContourPoint *points,
                                   int64_t *instance)
{
    const int64_t stride = width + STRIDE;
    int64_t found = 0;
    if (width == 0 || height == 0) return 0;
    for (int64_t item = 0; item < count; item++) {
        const int64_t start = item * height * width;
        const ContourView view = {height, width, depth + start, distance + start, evidence + start};
        find_kinds(&view, 0, kinds);
        for (int32_t row = 0; row < height; row++) {
            uint8_t *here = kinds + (row & 1 ? stride : 0), *below = kinds + (row & 1 ? 0 : stride);
            find_kinds(&view, row + 1, below);
            const int32_t num_outlines = find_outlines(&view, row, here, below, outlines);
            for (int32_t i = 0; i < num_outlines; i++, found++) {
                if (found >= capacity) continue;
                points[found] = contour_point(&view, positions + 3 * item, intrinsics + 4 * item, outlines[i]);
                instance[found] = item;
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
static void add_outline(const ContourView *view, double cut, Outline outline, double *sums)
{
    const int64_t inside = (int64_t)outline.row * view->width + outline.column;
    const int64_t outside = (int64_t)outline.other_row * view->width + outline.other_column;
    double slope[2] = {0, 0};
    add_half_slope(view, outline.row, outline.column, slope);
    add_half_slope(view, outline.other_row, outline.other_column, slope);
    const double length = fmax(sqrt(slope[0] * slope[0] + slope[1] * slope[1]), 0.1);
    const double weight = fabs(outline.row == outline.other_row ? slope[0] : slope[1]) / length;
    sums[0] += weight * fmin(fabs(0.5f * (view->distance[inside] + view->distance[outside])) / cut, 1);
    sums[1] += weight;
}

/* Adds a row's coverage that is rendered, pixels that are rendered, and all coverage. */
static void add_areas(const uint8_t *kinds, const float *coverage, int32_t width, double *sums)
{
    double both[2] = {0, 0}, all[2] = {0, 0}; /* of every other pixel, so that one sum need not wait for the other */
    int32_t rendered = 0;
    for (int32_t i = 0; i < width; i++) {
        const double covered = kinds[i] == UNKNOWN ? 0 : coverage[i];
        all[i & 1] += covered;
        both[i & 1] += kinds[i] == OBJECT ? covered : 0;
        rendered += kinds[i] == OBJECT;
    }
    sums[0] += both[0] + both[1];
    sums[1] += rendered;
    sums[2] += all[0] + all[1];
}

void solver_core_misfit(int64_t count, int32_t height, int32_t width, const float *depth, const float *distance,
                        const uint8_t *evidence, const float *coverage, int32_t is_shared, double cut, uint8_t *kinds,
                        Outline *outlines, double *sums)
{
    const int64_t num_pixels = (int64_t)height * width, stride = width + STRIDE;
    for (int64_t item = 0; item < count; item++, sums += 5) {
        const int64_t start = item * num_pixels, mask = is_shared ? 0 : start;
        const ContourView view = {height, width, depth + start, distance + mask, evidence + mask};
        for (int k = 0; k < 5; k++) sums[k] = 0;
        if (num_pixels > 0) find_kinds(&view, 0, kinds);
        for (int32_t row = 0; row < height && width > 0; row++) {
            uint8_t *here = kinds + (row & 1 ? stride : 0), *below = kinds + (row & 1 ? 0 : stride);
            find_kinds(&view, row + 1, below);
            add_areas(here, coverage + mask + (int64_t)row * width, width, sums + 2);
            const int32_t num_outlines = find_outlines(&view, row, here, below, outlines);
            for (int32_t i = 0; i < num_outlines; i++) add_outline(&view, cut, outlines[i], sums);
        }
    }
}
