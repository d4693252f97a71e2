/* SPDX-License-Identifier: Apache-2.0 */
/* Signed distance to the boundary of masks: first along columns, then the lowest parabola of each run of equal pixels in a row. */

#include "kernel.h"

/* Distance of each pixel to the nearest one of the other value in its column; far where the column has none. */
static void column_distances(const uint8_t *mask, int32_t height, int32_t width, int32_t far, int32_t *distance)
{
    for (int32_t column = 0; column < width; column++) distance[column] = far;
    for (int32_t row = 1; row < height; row++) {
        const int64_t start = (int64_t)row * width;
        for (int32_t column = 0; column < width; column++) {
            const int32_t above = distance[start - width + column], further = above < far ? above + 1 : far;
            distance[start + column] = (mask[start + column] != 0) == (mask[start - width + column] != 0) ? further : 1;
        }
    }
    for (int32_t row = height - 2; row >= 0; row--) {
        const int64_t start = (int64_t)row * width;
        for (int32_t column = 0; column < width; column++) {
            const int is_same = (mask[start + column] != 0) == (mask[start + width + column] != 0);
            const int32_t below = is_same ? distance[start + width + column] + 1 : 1;
            distance[start + column] = below < distance[start + column] ? below : distance[start + column];
        }
    }
}

/* Squared distances from the pixels first..end-1 of a row, which have one value, to the nearest of the other; -1 if there is
 * none.  Nearest is a pixel of one of the run's columns, or one of the two beside the run: the lower envelope of a parabola for
 * each (Felzenszwalb and Huttenlocher 2012, Alg. 1).
 */
static void squared_distances(const int32_t *along_column, int32_t first, int32_t end, int32_t width, int32_t far,
                              Parabola *envelope, float *squared)
{
    int32_t length = 0, column = first;
    for (int32_t apex = first > 0 ? first - 1 : first; apex <= end && apex < width; apex++) {
        const int64_t distance = apex < first || apex == end ? 0 : along_column[apex];
        if (distance >= far) continue;
        Parabola added = {apex, 0, distance * distance + (int64_t)apex * apex, 0};
        while (length > 0) { /* take away those that are nowhere the lowest any more */
            const Parabola *last = envelope + length - 1;
            added.rise = added.height - last->height;
            added.gap = 2 * (apex - last->apex);
            if (length == 1 || added.rise * last->gap > last->rise * added.gap) break;
            length--;
        }
        envelope[length++] = added;
    }
    for (int32_t index = 0; index < length; index++) {
        const double apex = envelope[index].apex, height = (double)envelope[index].height;
        int32_t stop = end; /* where the next one becomes lower */
        if (index + 1 < length) {
            const double last = (double)envelope[index + 1].rise / envelope[index + 1].gap;
            if (last < end - 1) stop = last < 0 ? 0 : (int32_t)last + 1;
        }
        for (; column < stop; column++) squared[column] = (float)(height + column * (column - 2 * apex));
    }
    for (; column < end; column++) squared[column] = -1;
}

void solver_core_signed_distance(int64_t count, const uint8_t *masks, int32_t height, int32_t width, int32_t *scratch,
                                 Parabola *envelope, float *distance)
{
    const int64_t num_pixels = (int64_t)height * width;
    const int32_t far = height + width;
    if (num_pixels == 0) return;
    for (int64_t item = 0; item < count; item++, masks += num_pixels, distance += num_pixels) {
        column_distances(masks, height, width, far, scratch);
        for (int32_t row = 0; row < height; row++) {
            const int64_t start = (int64_t)row * width;
            for (int32_t first = 0, end; first < width; first = end) {
                const int value = masks[start + first] != 0;
                for (end = first + 1; end < width && (masks[start + end] != 0) == value; end++) continue;
                squared_distances(scratch + start, first, end, width, far, envelope, distance + start);
            }
        }
        for (int64_t i = 0; i < num_pixels; i++) {
            const float beyond = distance[i] < 0 ? (float)far : sqrtf(distance[i]) - 0.5f; /* -1: there is no other value */
            distance[i] = masks[i] ? -beyond : beyond;
        }
    }
}
