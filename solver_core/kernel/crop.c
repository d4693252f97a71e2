/* SPDX-License-Identifier: Apache-2.0 */
/* Masks as virtual cameras see them, and the images that networks see of them, as in crop.py. */

#include "kernel.h"

void solver_core_mask_spans(int64_t count, int32_t height, int32_t width, const uint8_t *masks, int32_t *spans)
{
    for (int64_t row = 0; row < count * height; row++, masks += width, spans += 2) {
        int32_t first = 0, end = width;
        while (first < width && !masks[first]) first++;
        while (end > first && !masks[end - 1]) end--;
        spans[0] = first;
        spans[1] = end;
    }
}

/* Means of factor x factor blocks; the last blocks repeat the border to be full. */
static void reduce(const float *image, int32_t height, int32_t width, int32_t factor, int32_t reduced_height,
                   int32_t reduced_width, float *reduced)
{
    const float share = 1.0f / ((float)factor * factor);
    for (int32_t row = 0; row < reduced_height; row++) {
        float *means = reduced + (int64_t)row * reduced_width;
        for (int32_t column = 0; column < reduced_width; column++) means[column] = 0;
        for (int32_t i = 0; i < factor; i++) {
            const int32_t from = row * factor + i < height ? row * factor + i : height - 1;
            const float *values = image + (int64_t)from * width;
            for (int32_t column = 0, first = 0; column < reduced_width; column++, first += factor) {
                for (int32_t k = first; k < first + factor; k++) means[column] += values[k < width ? k : width - 1];
            }
        }
        for (int32_t column = 0; column < reduced_width; column++) means[column] *= share;
    }
}

static double clamp(double value, double highest)
{
    if (!(value >= 0)) return 0; /* also where it is no number */
    return value <= highest ? value : highest;
}

void solver_core_warp(int64_t count, int32_t height, int32_t width, const float *coverage, const uint8_t *known,
                      const double *homographies, const int32_t *reductions, int32_t size, float *scratch, double *places,
                      float *seen, uint8_t *evidence)
{
    const int64_t num_pixels = (int64_t)height * width;
    double *columns = places, *rows = places + size;
    for (int64_t item = 0; item < count; item++, homographies += 9) {
        const int32_t factor = reductions[item];
        const int32_t reduced_height = (height - 1) / factor + 1, reduced_width = (width - 1) / factor + 1;
        const float *image = coverage + item * num_pixels;
        if (factor > 1) {
            reduce(image, height, width, factor, reduced_height, reduced_width, scratch);
            image = scratch;
        }
        const double *h = homographies, share = 1.0 / factor;
        for (int32_t row = 0; row < size; row++, seen += size, evidence += size) {
            const double y = row + 0.5, across = h[1] * y + h[2], down = h[4] * y + h[5], depth = h[7] * y + h[8];
            for (int32_t i = 0; i < size; i++) {
                const double x = i + 0.5, z = h[6] * x + depth, inverse = 1 / (z > 1e-3 ? z : 1.0);
                columns[i] = (h[0] * x + across) * inverse;
                rows[i] = (h[3] * x + down) * inverse;
                evidence[i] = (z > 1e-3) & (columns[i] > 0) & (rows[i] > 0) & (columns[i] < width) & (rows[i] < height);
            }
            if (known) {
                for (int32_t i = 0; i < size; i++) {
                    const int32_t column = (int32_t)clamp(columns[i], width - 1), from = (int32_t)clamp(rows[i], height - 1);
                    evidence[i] &= known[item * num_pixels + (int64_t)from * width + column];
                }
            }
            for (int32_t i = 0; i < size; i++) {
                const double column = clamp(columns[i] * share - 0.5, reduced_width - 1);
                const double from = clamp(rows[i] * share - 0.5, reduced_height - 1);
                const int32_t last_left = reduced_width > 1 ? reduced_width - 2 : 0, last_top = reduced_height > 1 ? reduced_height - 2 : 0;
                const int32_t left = (int32_t)column < last_left ? (int32_t)column : last_left;
                const int32_t top = (int32_t)from < last_top ? (int32_t)from : last_top;
                const float right_share = (float)(column - left), lower_share = (float)(from - top);
                const float *upper = image + (int64_t)top * reduced_width + left;
                const float *lower = upper + (reduced_height > 1 ? reduced_width : 0);
                const int32_t right = reduced_width > 1;
                const float above = upper[0] * (1 - right_share) + upper[right] * right_share;
                const float below = lower[0] * (1 - right_share) + lower[right] * right_share;
                seen[i] = above * (1 - lower_share) + below * lower_share;
            }
        }
    }
}

void solver_core_mask_channels(int64_t count, int64_t num_pixels, const float *observed, const float *estimated,
                               const float *coverage, const float *depth, const uint8_t *evidence, const double *centre_depth,
                               float limit, float *channels)
{
    const float share = 1 / limit;
    for (int64_t item = 0; item < count; item++) {
        for (int64_t i = item * num_pixels; i < (item + 1) * num_pixels; i++, channels += 7) {
            const float far = observed[i] * share, far_estimated = estimated[i] * share;
            const int is_object = depth[i] < INFINITY;
            channels[0] = far < -1 ? -1 : far > 1 ? 1 : far;
            channels[1] = far_estimated < -1 ? -1 : far_estimated > 1 ? 1 : far_estimated;
            channels[2] = channels[0] - channels[1];
            channels[3] = coverage[i];
            channels[4] = (float)is_object;
            channels[5] = is_object ? (float)(2 * (centre_depth[item] - depth[i])) : 0;
            channels[6] = evidence[i];
        }
    }
}
