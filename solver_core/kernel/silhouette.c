/* SPDX-License-Identifier: Apache-2.0 */
/* What an image shows inside of silhouettes and along their outlines, as in silhouette.py. */

#include "kernel.h"

#include <string.h>

#define AT_ONCE 8 /* pixels; most have nothing to add */

static uint64_t load(const uint8_t *pixels)
{
    uint64_t word;
    memcpy(&word, pixels, sizeof word);
    return word;
}

static void add_pixels(int32_t from, int32_t to, const uint8_t *here, const uint8_t *labels, const int8_t *votes,
                       int32_t num_labels, int32_t *counts, int64_t *sum)
{
    for (int32_t column = from; column < to; column++) {
        if (!here[column]) continue;
        if (labels[column] < num_labels) counts[labels[column]]++;
        *sum += votes[column];
    }
}

static void add_row(int32_t width, const uint8_t *here, const uint8_t *labels, const int8_t *votes, int32_t num_labels,
                    int32_t *counts, int64_t *sum)
{
    int32_t column = 0;
    for (; column + AT_ONCE <= width; column += AT_ONCE) {
        if (load(here + column)) add_pixels(column, column + AT_ONCE, here, labels, votes, num_labels, counts, sum);
    }
    add_pixels(column, width, here, labels, votes, num_labels, counts, sum);
}

static void add_edges(int32_t from, int32_t to, const uint8_t *here, const uint8_t *there, const float *edges, double *sums)
{
    for (int32_t column = from; column < to; column++) {
        if (!here[column] == !there[column]) continue;
        sums[1] += edges[column];
        sums[2] += 1;
    }
}

/* Between pixels here and there of which one is inside. */
static void add_outline(int32_t count, const uint8_t *here, const uint8_t *there, const float *edges, double *sums)
{
    int32_t column = 0;
    for (; column + AT_ONCE <= count; column += AT_ONCE) {
        if (load(here + column) != load(there + column)) add_edges(column, column + AT_ONCE, here, there, edges, sums);
    }
    add_edges(column, count, here, there, edges, sums);
}

void solver_core_silhouette_sums(int64_t count, int32_t height, int32_t width, const uint8_t *silhouettes, const uint8_t *labels,
                                 const int8_t *votes, const float *across, const float *down, int32_t num_labels,
                                 int32_t *counts, double *sums)
{
    for (int64_t item = 0; item < count; item++, counts += num_labels, sums += 3) {
        int64_t sum = 0;
        for (int32_t label = 0; label < num_labels; label++) counts[label] = 0;
        for (int i = 0; i < 3; i++) sums[i] = 0;
        for (int32_t row = 0; row < height; row++, silhouettes += width) {
            const int64_t start = (int64_t)row * width;
            add_row(width, silhouettes, labels + start, votes + start, num_labels, counts, &sum);
            if (width > 0) add_outline(width - 1, silhouettes, silhouettes + 1, across + start - row, sums);
            if (row + 1 < height) add_outline(width, silhouettes, silhouettes + width, down + start, sums);
        }
        sums[0] = (double)sum;
    }
}
