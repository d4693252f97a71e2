/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of PNG files; the reference is png.py. */
#include "kernel.h"

#include <stdlib.h>
#include <string.h>

enum { NONE, SUB, UP, AVERAGE, PAETH };

static uint8_t nearest_of(int left, int up, int beyond)
{
    int to_left = abs(up - beyond), to_up = abs(left - beyond), to_beyond = abs(left + up - 2 * beyond);
    int of_two = to_left <= to_up ? left : up, to_two = to_left <= to_up ? to_left : to_up;
    return (uint8_t)(to_two <= to_beyond ? of_two : beyond);
}

/* Adds to a row what is expected of it; above: the row above it.  No pixel lies before the first one, so 0 is taken for it. */
static void add_expected(uint8_t filter, int64_t row_bytes, int64_t pixel_bytes, const uint8_t *restrict above,
                         uint8_t *restrict values)
{
    int64_t first = pixel_bytes < row_bytes ? pixel_bytes : row_bytes;
    if (filter == UP || filter == PAETH)
        for (int64_t i = 0; i < (filter == UP ? row_bytes : first); i++)
            values[i] = (uint8_t)(values[i] + above[i]);
    if (filter == SUB)
        for (int64_t i = first; i < row_bytes; i++)
            values[i] = (uint8_t)(values[i] + values[i - pixel_bytes]);
    if (filter == AVERAGE) {
        for (int64_t i = 0; i < first; i++)
            values[i] = (uint8_t)(values[i] + above[i] / 2);
        for (int64_t i = first; i < row_bytes; i++)
            values[i] = (uint8_t)(values[i] + (values[i - pixel_bytes] + above[i]) / 2);
    }
    if (filter == PAETH)
        for (int64_t i = first; i < row_bytes; i++)
            values[i] = (uint8_t)(values[i] + nearest_of(values[i - pixel_bytes], above[i], above[i - pixel_bytes]));
}

int64_t solver_core_unfilter(int64_t height, int64_t row_bytes, int64_t pixel_bytes, const uint8_t *rows,
                             const uint8_t *nothing, uint8_t *values)
{
    const uint8_t *above = nothing;
    for (int64_t row = 0; row < height; row++, above = values, values += row_bytes, rows += row_bytes + 1) {
        if (rows[0] > PAETH)
            return row;
        memcpy(values, rows + 1, (size_t)row_bytes);
        add_expected(rows[0], row_bytes, pixel_bytes, above, values);
    }
    return -1;
}
