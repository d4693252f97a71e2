/* SPDX-License-Identifier: Apache-2.0 */
/* Points of a mesh that are seen on its outline, and where along lines across it an image shows the outline, as in lines.py. */

#include "kernel.h"

#include <stdlib.h>

#define SIDE_STEP 0.75 /* pixels beside an edge that are looked at: the centre of that pixel is outside, too */
#define SAME_WAY 0.8 /* cosine between the normals of edges of which one may lie just outside of the other */
#define OUTSIDE_BY 0.1 /* pixels: an edge that another one lies farther out than, and by no more than OUTSIDE_UP_TO, is inside */
#define OUTSIDE_UP_TO 1.5
#define BESIDE_BY 0.6 /* spacings along the edge within which there is a point of the other one */
#define MOST_SAMPLES 128
#define NEAR_END 1.0 /* samples from the end of a line: an outline there is none, the line shows only one side */
#define LEAST_CURVATURE 1e-3 /* of the largest, for directions of which lines tell nothing */

/* Column, row and depth of vertices, and column and row in grid points.  Returns whether all lie before the camera. */
static int project_vertices(int64_t count, const float *vertices, const double *matrix, const double *intrinsics, double *seen,
                            int32_t *grid)
{
    for (int64_t k = 0; k < count; k++, vertices += 3, seen += 3, grid += 2) {
        double camera[3];
        for (int i = 0; i < 3; i++) {
            const double *row = matrix + 4 * i;
            camera[i] = row[0] * vertices[0] + row[1] * vertices[1] + row[2] * vertices[2] + row[3];
        }
        if (!(camera[2] < 0)) return 0;
        const double nearness = -1 / camera[2];
        seen[0] = intrinsics[2] + intrinsics[0] * camera[0] * nearness;
        seen[1] = intrinsics[3] - intrinsics[1] * camera[1] * nearness;
        seen[2] = -camera[2];
        for (int i = 0; i < 2; i++) grid[i] = snap(clamp_to_guard(seen[i]));
    }
    return 1;
}

/* Counts faces on the sides of the edge from a to b: by how many more lie on its right, and 1 or -1 if all lie on one, else 0.  One
 * that is seen edge-on lies on neither. */
static int32_t faces_beside(const int32_t *a, const int32_t *b, const int32_t *grid, const int32_t *wings, int32_t count,
                            int8_t *side)
{
    int32_t right = 0, left = 0;
    for (int32_t i = 0; i < count; i++) {
        const int32_t *wing = grid + 2 * (int64_t)wings[i];
        const int64_t area = (int64_t)(b[0] - a[0]) * (wing[1] - a[1]) - (int64_t)(b[1] - a[1]) * (wing[0] - a[0]);
        right += area > 0, left += area < 0;
    }
    *side = (int8_t)((right > 0) - (left > 0));
    return right - left;
}

/* Adds to each row, at the first pixel whose centre is not left of the edge from a to b, by how many faces more lie there: summed up
 * from the left, the counts are of the faces that cover a pixel.  more: faces that the edge has on its right. */
static void count_across(const int32_t *a, const int32_t *b, int32_t more, int32_t height, int32_t width, int32_t *counts)
{
    if (a[1] > b[1]) {
        const int32_t *swapped = a;
        a = b, b = swapped, more = -more;
    }
    const int64_t across = b[0] - a[0], down = b[1] - a[1];
    const int32_t first = first_centre(a[1]) > 0 ? first_centre(a[1]) : 0;
    const int32_t end = first_centre(b[1]) < height ? first_centre(b[1]) : height;
    for (int32_t row = first; row < end; row++) {
        const int64_t part = ((int64_t)row * SUBPIXELS + SUBPIXELS / 2 - a[1]) * across;
        const int32_t column = first_centre(a[0] + (int32_t)(part > 0 ? (part + down - 1) / down : -(-part / down)));
        if (column < width) counts[(int64_t)row * width + (column > 0 ? column : 0)] -= more;
    }
}

/* Marks the pixels that some face covers. */
static void mark_covered(const int32_t *counts, int32_t height, int32_t width, uint8_t *is_seen)
{
    for (int32_t row = 0; row < height; row++) {
        int32_t faces = 0;
        for (int32_t column = 0; column < width; column++) {
            faces += *counts++;
            *is_seen++ = faces > 0;
        }
    }
}

/* Whether a place in the image shows the mesh. */
static int is_covered(const uint8_t *is_seen, int32_t height, int32_t width, double column, double row)
{
    return column >= 0 && row >= 0 && column < width && row < height && is_seen[(int64_t)row * width + (int64_t)column];
}

/* Whether all of count indices are in [0, end). */
static int are_below(const int32_t *indices, int64_t count, int64_t end)
{
    int is_outside = 0;
    for (int64_t i = 0; i < count; i++) is_outside |= indices[i] < 0 || indices[i] >= end;
    return !is_outside;
}

/* Whether another point lies on an edge just outside of the one that a point lies on; both are column, row, and the normal's. */
static int is_outside(const double *other, const double *point, double spacing)
{
    const double column = other[0] - point[0], row = other[1] - point[1];
    const double cosine = point[2] * other[2] + point[3] * other[3];
    if (cosine <= SAME_WAY || fabs(column * point[3] - row * point[2]) > BESIDE_BY * spacing) return 0;
    const double out = (column * other[2] + row * other[3]) / cosine; /* to the line of the other edge */
    return out > OUTSIDE_BY && out < OUTSIDE_UP_TO;
}

static int is_in_image(const double *point, int32_t height, int32_t width)
{
    return point[0] >= 0 && point[1] >= 0 && point[0] < width && point[1] < height;
}

/* Leaves out points that have another one just outside: at the resolution of the silhouette both border the background.  Returns how
 * many are left. */
static int64_t keep_outermost(int64_t count, double spacing, int32_t height, int32_t width, const double *in_image,
                              int32_t *first_in_cell, int32_t *next_in_cell, OutlinePoint *points)
{
    const double cell = OUTSIDE_UP_TO + 2 * spacing; /* what is just outside of a point is in a cell beside its own */
    const int32_t rows = (int32_t)(height / cell) + 1, columns = (int32_t)(width / cell) + 1;
    for (int32_t i = 0; i < rows * columns; i++) first_in_cell[i] = -1;
    for (int64_t k = 0; k < count; k++) {
        const double *point = in_image + 4 * k;
        if (!is_in_image(point, height, width)) continue;
        int32_t *first = first_in_cell + (int32_t)(point[1] / cell) * columns + (int32_t)(point[0] / cell);
        next_in_cell[k] = *first;
        *first = (int32_t)k;
    }
    int64_t kept = 0;
    for (int64_t k = 0; k < count; k++) {
        const double *point = in_image + 4 * k;
        int is_inside = 0;
        if (is_in_image(point, height, width)) {
            const int32_t row = (int32_t)(point[1] / cell), column = (int32_t)(point[0] / cell);
            for (int32_t y = row - (row > 0); y <= row + 1 && y < rows; y++)
                for (int32_t x = column - (column > 0); x <= column + 1 && x < columns; x++)
                    for (int32_t other = first_in_cell[y * columns + x]; other >= 0 && !is_inside; other = next_in_cell[other])
                        is_inside = is_outside(in_image + 4 * (int64_t)other, point, spacing);
        }
        if (!is_inside) points[kept++] = points[k];
    }
    return kept;
}

int64_t solver_core_outline_points(int64_t num_vertices, const float *vertices, int64_t num_edges, const int32_t *ends,
                                   const int32_t *first_wing, int64_t num_wings, const int32_t *wings, const double *matrix,
                                   const double *intrinsics, int32_t height, int32_t width, double spacing, double *seen,
                                   int32_t *grid, int8_t *sides, int64_t capacity, double *in_image, int32_t *counts,
                                   int32_t *next_in_cell, uint8_t *is_seen, OutlinePoint *points)
{
    if (!are_below(ends, 2 * num_edges, num_vertices) || !are_below(wings, num_wings, num_vertices) ||
        !are_below(first_wing, num_edges + 1, num_wings + 1))
        return -1;
    for (int64_t i = 0; i < (int64_t)height * width; i++) counts[i] = 0;
    const int is_before = project_vertices(num_vertices, vertices, matrix, intrinsics, seen, grid);
    for (int64_t edge = 0; is_before && edge < num_edges; edge++) {
        const int32_t *a = grid + 2 * (int64_t)ends[2 * edge], *b = grid + 2 * (int64_t)ends[2 * edge + 1];
        const int32_t first = first_wing[edge];
        const int32_t more = faces_beside(a, b, grid, wings + first, first_wing[edge + 1] - first, sides + edge);
        if (more) count_across(a, b, more, height, width, counts);
    }
    mark_covered(counts, height, width, is_seen);
    int64_t found = 0;
    double ahead = spacing / 2; /* pixels of outline to the next point */
    for (int64_t edge = 0; is_before && edge < num_edges; edge++) {
        const int side = sides[edge];
        if (side == 0) continue;
        const double *a = seen + 3 * (int64_t)ends[2 * edge], *b = seen + 3 * (int64_t)ends[2 * edge + 1];
        const double along[2] = {b[0] - a[0], b[1] - a[1]}, length = sqrt(along[0] * along[0] + along[1] * along[1]);
        if (!(length < LONGEST_EDGE)) continue;
        const double normal[2] = {side * along[1] / length, -side * along[0] / length}; /* outwards */
        for (; ahead < length; ahead += spacing) {
            const double t = ahead / length, column = a[0] + t * along[0], row = a[1] + t * along[1];
            const double far = 1 / ((1 - t) / a[2] + t / b[2]);
            if (is_covered(is_seen, height, width, column + SIDE_STEP * normal[0], row + SIDE_STEP * normal[1])) continue;
            if (found++ >= capacity) continue;
            double *flat = in_image + 4 * (found - 1);
            flat[0] = column, flat[1] = row, flat[2] = normal[0], flat[3] = normal[1];
            const double x = (column - intrinsics[2]) / intrinsics[0], y = (intrinsics[3] - row) / intrinsics[1];
            const double camera[3] = {x * far - matrix[3], y * far - matrix[7], -far - matrix[11]};
            double plane[3] = {normal[0] * intrinsics[0], -normal[1] * intrinsics[1], 0}; /* through the camera and the edge */
            plane[2] = plane[0] * x + plane[1] * y;
            const double size = sqrt(plane[0] * plane[0] + plane[1] * plane[1] + plane[2] * plane[2]);
            OutlinePoint *point = points + found - 1;
            for (int i = 0; i < 3; i++) {
                point->place[i] = matrix[i] * camera[0] + matrix[4 + i] * camera[1] + matrix[8 + i] * camera[2];
                point->normal[i] = (matrix[i] * plane[0] + matrix[4 + i] * plane[1] + matrix[8 + i] * plane[2]) / size;
            }
        }
        ahead -= length;
    }
    return found > capacity ? found : keep_outermost(found, spacing, height, width, in_image, counts, next_in_cell, points);
}

/* An image, what its values say, and the factors by which they make a place likelier and less likely. */
typedef struct {
    int32_t height, width;
    const uint8_t *pixels;
    const float *log_odds;
    double more[256], less[256];
} LineImage;

/* Between the centres of the four pixels around a place in grid points from the centre of the first. */
static uint8_t value_at(const LineImage *image, int32_t column, int32_t row)
{
    const uint8_t *above = image->pixels + (int64_t)(row >> 12) * image->width + (column >> 12), *below = above + image->width;
    const int32_t across = column >> 4 & 255, down = row >> 4 & 255; /* of 256 */
    const int32_t upper = 256 * above[0] + across * (above[1] - above[0]);
    const int32_t lower = 256 * below[0] + across * (below[1] - below[0]);
    return (uint8_t)((256 * upper + down * (lower - upper) + 32768) >> 16);
}

static int is_between_centres(const LineImage *image, int32_t column, int32_t row)
{
    return column >= 0 && row >= 0 && column >> 12 < image->width - 1 && row >> 12 < image->height - 1;
}

/* Samples a line from a place in steps, both in pixels.  Returns 0, or -1 if a part of it is not in the image. */
static int sample_line(const LineImage *image, const double *place, const double *step, int32_t count, uint8_t *values)
{
    int32_t column = snap(clamp_to_guard(place[0] - 0.5)), row = snap(clamp_to_guard(place[1] - 0.5));
    const int32_t across = snap(clamp_to_guard(step[0])), down = snap(clamp_to_guard(step[1]));
    const int64_t last_column = column + (int64_t)(count - 1) * across, last_row = row + (int64_t)(count - 1) * down;
    if (llabs(last_column) > INT32_MAX || llabs(last_row) > INT32_MAX || !is_between_centres(image, column, row) ||
        !is_between_centres(image, (int32_t)last_column, (int32_t)last_row))
        return -1;
    for (int32_t i = 0; i < count; i++, column += across, row += down) values[i] = value_at(image, column, row);
    return 0;
}

/* Mean and variance, in samples from the middle, of where a line of values leaves the object. */
static void mean_of_line(const LineImage *image, const uint8_t *values, int32_t num_samples, double *mean, double *variance)
{
    double sum = 0, best = 0, weight = 1;
    int32_t likeliest = 0;
    for (int32_t i = 0; i < num_samples; i++) {
        sum += image->log_odds[values[i]];
        if (sum > best) best = sum, likeliest = i + 1;
    }
    double place = likeliest - 0.5 * num_samples, mass = 1, first = place, second = place * place;
    for (int32_t i = likeliest; i < num_samples; i++) {
        weight *= image->more[values[i]], place += 1;
        mass += weight, first += weight * place, second += weight * place * place;
    }
    weight = 1, place = likeliest - 0.5 * num_samples;
    for (int32_t i = likeliest - 1; i >= 0; i--) {
        weight *= image->less[values[i]], place -= 1;
        mass += weight, first += weight * place, second += weight * place * place;
    }
    *mean = first / mass;
    *variance = fmax(second / mass - *mean * *mean, 0);
}

static void match_lines(int64_t num_points, const OutlinePoint *points, const double *matrix, const double *intrinsics,
                        const LineImage *image, double step, int32_t num_samples, ContourPoint *matches)
{
    const double centre[3] = {matrix[3], matrix[7], matrix[11]};
    for (int64_t k = 0; k < num_points; k++) {
        ContourPoint match = {0, 0, {0, 0, 0, 0, 0, 0}};
        double arm[3], plane[3];
        for (int i = 0; i < 3; i++) {
            const double *row = matrix + 4 * i, *place = points[k].place, *normal = points[k].normal;
            arm[i] = row[0] * place[0] + row[1] * place[1] + row[2] * place[2];
            plane[i] = row[0] * normal[0] + row[1] * normal[1] + row[2] * normal[2];
        }
        const double depth = -(arm[2] + centre[2]);
        const double x = (arm[0] + centre[0]) / depth, y = (arm[1] + centre[1]) / depth;
        double across = plane[0] / intrinsics[0], down = -plane[1] / intrinsics[1];
        const double size = sqrt(across * across + down * down);
        matches[k] = match;
        if (!(depth > 0) || !(size > 0)) continue;
        across /= size, down /= size;
        const double column = intrinsics[2] + intrinsics[0] * x, row = intrinsics[3] - intrinsics[1] * y;
        const double first = (0.5 - 0.5 * num_samples) * step;
        const double from[2] = {column + first * across, row + first * down}, by[2] = {step * across, step * down};
        uint8_t values[MOST_SAMPLES];
        if (sample_line(image, from, by, num_samples, values) == 0) {
            double mean, variance;
            mean_of_line(image, values, num_samples, &mean, &variance);
            match.residual = -step * mean;
            match.weight = 1 / (1 + variance);
        }
        const double by_x = across * intrinsics[0], by_y = -down * intrinsics[1];
        const double by_point[3] = {by_x / depth, by_y / depth, (x * by_x + y * by_y) / depth};
        cross(arm, by_point, match.jacobian);
        match.jacobian[3] = -by_point[0] * centre[2];
        match.jacobian[4] = -by_point[1] * centre[2];
        match.jacobian[5] = by_point[0] * centre[0] + by_point[1] * centre[1] + by_point[2] * centre[2];
        matches[k] = match;
    }
}

/* Solves hessian (6, 6) step = -gradient by Cholesky's method; the Hessian is overwritten.  Returns 0, or -1 if it cannot be. */
static int solve_step(double *hessian, const double *gradient, double *step)
{
    for (int i = 0; i < 6; i++) {
        for (int j = 0; j <= i; j++) {
            double sum = hessian[6 * i + j];
            for (int k = 0; k < j; k++) sum -= hessian[6 * i + k] * hessian[6 * j + k];
            if (j < i)
                hessian[6 * i + j] = sum / hessian[6 * j + j];
            else if (sum > 0)
                hessian[7 * i] = sqrt(sum);
            else
                return -1;
        }
    }
    for (int i = 0; i < 6; i++) {
        step[i] = -gradient[i];
        for (int k = 0; k < i; k++) step[i] -= hessian[6 * i + k] * step[k];
        step[i] /= hessian[7 * i];
    }
    for (int i = 5; i >= 0; i--) {
        for (int k = i + 1; k < 6; k++) step[i] -= hessian[6 * k + i] * step[k];
        step[i] /= hessian[7 * i];
    }
    return 0;
}

/* Takes an SE3 step, as manifolds.py says. */
static void retract(double *matrix, const double *step)
{
    const double angle = sqrt(step[0] * step[0] + step[1] * step[1] + step[2] * step[2]);
    const double sine = angle > 1e-9 ? sin(angle) / angle : 1, bend = angle > 1e-9 ? (1 - cos(angle)) / (angle * angle) : 0.5;
    for (int column = 0; column < 3; column++) { /* Rodrigues */
        const double axis[3] = {matrix[column], matrix[4 + column], matrix[8 + column]};
        double once[3], twice[3];
        cross(step, axis, once);
        cross(step, once, twice);
        for (int i = 0; i < 3; i++) matrix[4 * i + column] = axis[i] + sine * once[i] + bend * twice[i];
    }
    const double depth = -matrix[11], farther = depth * exp(step[5]);
    matrix[3] = (matrix[3] / depth + step[3]) * farther;
    matrix[7] = (matrix[7] / depth + step[4]) * farther;
    matrix[11] = -farther;
}

double solver_core_follow_lines(int64_t num_points, const OutlinePoint *points, const double *intrinsics, int32_t height,
                                 int32_t width, const uint8_t *image, const float *log_odds, double step_px,
                                 int32_t num_samples, double robust, double damping, double settled, int32_t num_steps,
                                 double *matrix, ContourPoint *matches)
{
    if (num_samples > MOST_SAMPLES) num_samples = MOST_SAMPLES;
    LineImage seen = {height, width, image, log_odds, {0}, {0}};
    for (int value = 0; value < 256; value++) seen.more[value] = exp(log_odds[value]), seen.less[value] = exp(-log_odds[value]);
    const double most = (0.5 * num_samples - NEAR_END) * step_px;
    double moved_px = 0;
    for (int32_t taken = 0;; taken++) {
        match_lines(num_points, points, matrix, intrinsics, &seen, step_px, num_samples, matches);
        if (taken >= num_steps || num_points == 0) return moved_px;
        double hessian[36] = {0}, gradient[6] = {0}, step[6], moved = 0, largest = 0;
        for (int64_t k = 0; k < num_points; k++) {
            const ContourPoint *match = matches + k;
            if (fabs(match->residual) > most) continue;
            const double far = match->residual / robust, by = 1 + far * far, weight = match->weight / (by * by);
            for (int i = 0; i < 6; i++) {
                gradient[i] += weight * match->jacobian[i] * match->residual;
                for (int j = 0; j <= i; j++) hessian[6 * i + j] += weight * match->jacobian[i] * match->jacobian[j];
            }
        }
        for (int i = 0; i < 6; i++) largest = fmax(largest, hessian[7 * i]);
        for (int i = 0; i < 6; i++) hessian[7 * i] += damping * (hessian[7 * i] + LEAST_CURVATURE * largest) + 1e-12;
        if (solve_step(hessian, gradient, step)) return moved_px;
        retract(matrix, step);
        for (int64_t k = 0; k < num_points; k++) {
            double across = 0;
            for (int i = 0; i < 6; i++) across += matches[k].jacobian[i] * step[i];
            moved += across * across;
        }
        moved = sqrt(moved / (double)num_points);
        moved_px += moved;
        if (moved < settled) num_steps = 0;
    }
}

void solver_core_look_up(int32_t height, int32_t width, int64_t row_bytes, const uint8_t *colours, const uint8_t *table,
                         uint8_t *values)
{
    for (int32_t row = 0; row < height; row++) {
        const uint8_t *colour = colours + row * row_bytes;
        for (int32_t column = 0; column < width; column++, colour += 3)
            *values++ = table[(colour[0] >> 3) << 10 | (colour[1] >> 3) << 5 | colour[2] >> 3];
    }
}
