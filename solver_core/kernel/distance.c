/* SPDX-License-Identifier: Apache-2.0 */
/* Signed distance to the boundary of masks: first along columns, then the lowest parabola of each row. */

#include "kernel.h"

/* Distance along each column to the nearest pixel of the column with this value; FAR where the column has none. */
static void column_distances(const uint8_t *mask, int32_t height, int32_t width, int value, int32_t far, int32_t *distance)
{
    for (int32_t column = 0; column < width; column++) distance[column] = (mask[column] != 0) == value ? 0 : far;
    for (int32_t row = 1; row < height; row++) {
        const int64_t start = (int64_t)row * width;
        for (int32_t column = 0; column < width; column++) {
            const int32_t above = distance[start - width + column];
            distance[start + column] = (mask[start + column] != 0) == value ? 0 : above < far ? above + 1 : far;
        }
    }
    for (int32_t row = height - 2; row >= 0; row--) {
        const int64_t start = (int64_t)row * width;
        for (int32_t column = 0; column < width; column++) {
            const int32_t below = distance[start + width + column] + 1;
            if (below < distance[start + column]) distance[start + column] = below;
        }
    }
}

/* Lower envelope of the squared distances of a row: the parabolas that are lowest somewhere, from left to right (Felzenszwalb
 * and Huttenlocher 2012, Alg. 1).  Returns its length.
 */
static int32_t lower_envelope(const int32_t *distance, int32_t width, int32_t far, Parabola *envelope)
{
    int32_t length = 0;
    for (int32_t column = 0; column < width; column++) {
        if (distance[column] >= far) continue;
        const int64_t height = (int64_t)distance[column] * distance[column];
        double from = -INFINITY;
        while (length > 0) {
            const Parabola last = envelope[length - 1];
            const int64_t rise = height + (int64_t)column * column - last.height - (int64_t)last.apex * last.apex;
            from = (double)rise / (double)(2 * (column - last.apex));
            if (from > last.from) break;
            length--;
            from = -INFINITY;
        }
        const Parabola added = {column, height, from};
        envelope[length++] = added;
    }
    return length;
}

/* Writes sign * (distance - 0.5) where the mask has not this value; the distance is to the nearest pixel that has it. */
static void distances_to(const uint8_t *mask, int32_t height, int32_t width, int value, float sign, int32_t *scratch,
                         Parabola *envelope, float *result)
{
    const int32_t far = height + width;
    column_distances(mask, height, width, value, far, scratch);
    for (int32_t row = 0; row < height; row++) {
        const int64_t start = (int64_t)row * width;
        const int32_t length = lower_envelope(scratch + start, width, far, envelope);
        int32_t lowest = 0;
        for (int32_t column = 0; column < width; column++) {
            if ((mask[start + column] != 0) == value) continue;
            if (length == 0) {
                result[start + column] = sign * (float)far;
                continue;
            }
            while (lowest + 1 < length && envelope[lowest + 1].from < column) lowest++;
            const int64_t offset = column - envelope[lowest].apex;
            result[start + column] = sign * (sqrtf((float)(envelope[lowest].height + offset * offset)) - 0.5f);
        }
    }
}

void solver_core_signed_distance(int64_t count, const uint8_t *masks, int32_t height, int32_t width, int32_t *scratch,
                                 Parabola *envelope, float *distance)
{
    const int64_t num_pixels = (int64_t)height * width;
    if (num_pixels == 0) return;
    for (int64_t item = 0; item < count; item++) {
        const uint8_t *mask = masks + item * num_pixels;
        distances_to(mask, height, width, 1, 1.0f, scratch, envelope, distance + item * num_pixels);
        distances_to(mask, height, width, 0, -1.0f, scratch, envelope, distance + item * num_pixels);
    }
}
