/* SPDX-License-Identifier: Apache-2.0 */
/* Depth and face index.
 *
 * A vertex is taken by a 4x4 matrix to homogeneous (u, v, w, q): column u/w, row v/w, nearness q/w.  With perspective w is
 * the depth and nearness its inverse; without, w is 1 and nearness is minus the depth.  Either way nearness is linear in the
 * image and the largest is seen.  Columns and rows are rounded to a grid of 1/4096 pixel, on which edge functions are whole
 * numbers: coverage is exact, free of cracks, and the same on every machine.
 */

#include "kernel.h"

#define NEEDS_CLIP INT32_MIN /* column of a vertex nearer than the near plane or outside the guard band */
#define NARROW 4             /* pixels; testing as many is quicker than finding the first and last */
#define NUM_CLIP_PLANES 5
#define MAX_CORNERS (3 + NUM_CLIP_PLANES)

typedef struct {
    double u, v, w, q;
} Homogeneous;

typedef struct {
    int32_t height, width;
    float *nearness;     /* (height, width), or NULL for a silhouette */
    int32_t *face_index; /* (height, width) or NULL */
    uint8_t *silhouette; /* (height, width) if there is no nearness */
} Image;

int32_t solver_core_kernel_version(void) { return KERNEL_VERSION; }

void solver_core_structure_sizes(int64_t *sizes)
{
    sizes[0] = sizeof(MeshArrays);
    sizes[1] = sizeof(Corner);
    sizes[2] = sizeof(Parabola);
    sizes[3] = sizeof(Subtree);
    sizes[4] = sizeof(Outline);
    sizes[5] = sizeof(ContourPoint);
    sizes[6] = sizeof(OutlinePoint);
}

static Homogeneous transform(const double *matrix, const float *point)
{
    const double x = point[0], y = point[1], z = point[2];
    Homogeneous result;
    result.u = matrix[0] * x + matrix[1] * y + matrix[2] * z + matrix[3];
    result.v = matrix[4] * x + matrix[5] * y + matrix[6] * z + matrix[7];
    result.w = matrix[8] * x + matrix[9] * y + matrix[10] * z + matrix[11];
    result.q = matrix[12] * x + matrix[13] * y + matrix[14] * z + matrix[15];
    return result;
}

static double largest_w(const double *matrix, const float *vertices, int64_t num_vertices)
{
    double largest = 0;
    for (int64_t i = 0; i < num_vertices; i++) {
        const double x = vertices[3 * i], y = vertices[3 * i + 1], z = vertices[3 * i + 2];
        const double w = matrix[8] * x + matrix[9] * y + matrix[10] * z + matrix[11];
        largest = w > largest ? w : largest;
    }
    return largest;
}

static Corner project(Homogeneous point, double near)
{
    const double inverse_w = 1.0 / point.w;
    const double column = point.u * inverse_w, row = point.v * inverse_w;
    Corner corner = {NEEDS_CLIP, 0, 0};
    if (point.w >= near && column >= -GUARD && column <= GUARD && row >= -GUARD && row <= GUARD) {
        corner.column = snap(column);
        corner.row = snap(row);
        corner.nearness = point.q * inverse_w;
    }
    return corner;
}

static Corner project_clipped(Homogeneous point)
{
    const double inverse_w = 1.0 / point.w;
    Corner corner;
    corner.column = snap(clamp_to_guard(point.u * inverse_w));
    corner.row = snap(clamp_to_guard(point.v * inverse_w));
    corner.nearness = point.q * inverse_w;
    return corner;
}

static int32_t smallest_of_3(int32_t a, int32_t b, int32_t c)
{
    const int32_t ab = a < b ? a : b;
    return ab < c ? ab : c;
}

static int32_t largest_of_3(int32_t a, int32_t b, int32_t c)
{
    const int32_t ab = a > b ? a : b;
    return ab > c ? ab : c;
}

/* Whether a box of pixels is in the silhouette already; in those of fine meshes most are. */
static int is_drawn(const Image *image, int32_t first_row, int32_t last_row, int32_t first_column, int32_t last_column)
{
    for (int32_t row = first_row; row <= last_row; row++) {
        const uint8_t *pixels = image->silhouette + (int64_t)row * image->width;
        for (int32_t column = first_column; column <= last_column; column++) {
            if (!pixels[column]) return 0;
        }
    }
    return 1;
}

/* Writes the pixels whose centre is in the triangle (edges included) and nearer than what was there. */
static void draw_triangle(const Image *image, Corner a, Corner b, Corner c, int32_t face)
{
    int32_t first_row = first_centre(smallest_of_3(a.row, b.row, c.row));
    int32_t last_row = last_centre(largest_of_3(a.row, b.row, c.row));
    int32_t first_column = first_centre(smallest_of_3(a.column, b.column, c.column));
    int32_t last_column = last_centre(largest_of_3(a.column, b.column, c.column));
    if (first_row < 0) first_row = 0;
    if (first_column < 0) first_column = 0;
    if (last_row >= image->height) last_row = image->height - 1;
    if (last_column >= image->width) last_column = image->width - 1;
    if (first_row > last_row || first_column > last_column) return;
    if (image->silhouette && is_drawn(image, first_row, last_row, first_column, last_column)) return;

    int64_t area = (int64_t)(b.column - a.column) * (c.row - a.row) - (int64_t)(c.column - a.column) * (b.row - a.row);
    if (area == 0) return;
    if (area < 0) {
        const Corner swapped = b;
        b = c;
        c = swapped;
        area = -area;
    }

    /* Twice the areas opposite to b and to c, at the centre of the first pixel, and how they grow by a pixel. */
    const int64_t column_offset = (int64_t)first_column * SUBPIXELS + SUBPIXELS / 2 - a.column;
    const int64_t row_offset = (int64_t)first_row * SUBPIXELS + SUBPIXELS / 2 - a.row;
    const int64_t b_by_column = (int64_t)SUBPIXELS * (c.row - a.row), b_by_row = (int64_t)SUBPIXELS * (a.column - c.column);
    const int64_t c_by_column = (int64_t)SUBPIXELS * (a.row - b.row), c_by_row = (int64_t)SUBPIXELS * (b.column - a.column);
    int64_t b_of_row = column_offset * (c.row - a.row) + row_offset * (a.column - c.column);
    int64_t c_of_row = column_offset * (a.row - b.row) + row_offset * (b.column - a.column);

    /* Rows of more than a few pixels are first narrowed to where all three can be positive, but for rounding. */
    const int32_t num_columns = last_column - first_column + 1;
    const int is_wide = num_columns > NARROW;
    const int64_t by_column[3] = {-b_by_column - c_by_column, b_by_column, c_by_column};
    double pixels[3] = {0, 0, 0}; /* of a row, in which an area changes by one */
    for (int k = 0; is_wide && k < 3; k++) pixels[k] = by_column[k] ? 1.0 / (double)by_column[k] : 0;

    const double inverse_area = 1.0 / (double)area;
    const double b_slope = (b.nearness - a.nearness) * inverse_area;
    const double c_slope = (c.nearness - a.nearness) * inverse_area;

    for (int32_t row = first_row; row <= last_row; row++, b_of_row += b_by_row, c_of_row += c_by_row) {
        const int64_t start = (int64_t)row * image->width;
        int64_t b_area = b_of_row, c_area = c_of_row;
        int32_t from = first_column, to = last_column;
        if (is_wide) {
            const int64_t of_row[3] = {area - b_area - c_area, b_area, c_area};
            double low = 0, high = num_columns - 1;
            for (int k = 0; k < 3; k++) {
                const double root = -(double)of_row[k] * pixels[k];
                if (by_column[k] > 0 && root > low) low = root;
                if (by_column[k] < 0 && root < high) high = root;
            }
            if (low > high + 1) continue;
            from += (int32_t)low;
            to = first_column + (int32_t)(high + 1) < to ? first_column + (int32_t)(high + 1) : to;
            b_area += (from - first_column) * b_by_column;
            c_area += (from - first_column) * c_by_column;
        }
        for (int32_t column = from; column <= to; column++) {
            const int64_t a_area = area - b_area - c_area;
            if ((a_area | b_area | c_area) < 0) {
                /* outside */
            } else if (image->silhouette) {
                image->silhouette[start + column] = 1;
            } else {
                const float nearness = (float)(a.nearness + ((double)b_area * b_slope + (double)c_area * c_slope));
                if (nearness > image->nearness[start + column]) {
                    image->nearness[start + column] = nearness;
                    if (image->face_index) image->face_index[start + column] = face;
                }
            }
            b_area += b_by_column;
            c_area += c_by_column;
        }
    }
}

/* At least 0 on the kept side of clip plane 0 (near) and 1 to 4 (guard band: left, right, top, bottom). */
static double clip_distance(int plane, Homogeneous point, double near)
{
    switch (plane) {
    case 0: return point.w - near;
    case 1: return point.u + GUARD * point.w;
    case 2: return GUARD * point.w - point.u;
    case 3: return point.v + GUARD * point.w;
    default: return GUARD * point.w - point.v;
    }
}

/* Where the way from `inside` to `outside` meets the plane.  Always from inside, so that neighbours get the same. */
static Homogeneous cut(Homogeneous inside, Homogeneous outside, double inside_distance, double outside_distance)
{
    const double t = inside_distance / (inside_distance - outside_distance);
    Homogeneous result;
    result.u = inside.u + t * (outside.u - inside.u);
    result.v = inside.v + t * (outside.v - inside.v);
    result.w = inside.w + t * (outside.w - inside.w);
    result.q = inside.q + t * (outside.q - inside.q);
    return result;
}

/* Part of a polygon on the kept side of one plane (Sutherland and Hodgman 1974).  Returns its number of corners. */
static int clip_polygon(int plane, double near, const Homogeneous *polygon, int num_corners, Homogeneous *kept)
{
    int num_kept = 0;
    for (int i = 0; i < num_corners; i++) {
        const Homogeneous here = polygon[i], next = polygon[(i + 1) % num_corners];
        const double here_distance = clip_distance(plane, here, near);
        const double next_distance = clip_distance(plane, next, near);
        if (here_distance >= 0) kept[num_kept++] = here;
        if ((here_distance >= 0) != (next_distance >= 0)) {
            kept[num_kept] = here_distance >= 0 ? cut(here, next, here_distance, next_distance)
                                                : cut(next, here, next_distance, here_distance);
            if (plane == 0) kept[num_kept].w = near; /* rounding must not leave it behind the camera */
            num_kept++;
        }
    }
    return num_kept;
}

static void draw_clipped(const Image *image, const Homogeneous *triangle, double near, int32_t face)
{
    Homogeneous polygons[2][2 * MAX_CORNERS]; /* a cut at most doubles the corners, whatever rounding did */
    int num_corners = 3;
    for (int i = 0; i < 3; i++) polygons[0][i] = triangle[i];
    for (int plane = 0; plane < NUM_CLIP_PLANES && num_corners > 0; plane++) {
        num_corners = clip_polygon(plane, near, polygons[plane & 1], num_corners, polygons[!(plane & 1)]);
        if (num_corners > MAX_CORNERS) return;
    }
    const Homogeneous *polygon = polygons[NUM_CLIP_PLANES & 1];
    for (int i = 2; i < num_corners; i++) {
        draw_triangle(image, project_clipped(polygon[0]), project_clipped(polygon[i - 1]), project_clipped(polygon[i]), face);
    }
}

static int faces_index_vertices(const MeshArrays *mesh)
{
    int is_outside = 0;
    for (int64_t i = 0; i < 3 * mesh->num_faces; i++) is_outside |= mesh->faces[i] < 0 || mesh->faces[i] >= mesh->num_vertices;
    return !is_outside;
}

static void draw_mesh(const Image *image, const MeshArrays *mesh, const double *matrix, double near, Corner *corners)
{
    for (int64_t i = 0; i < mesh->num_vertices; i++) {
        corners[i] = project(transform(matrix, mesh->vertices + 3 * i), near);
    }
    for (int64_t face = 0; face < mesh->num_faces; face++) {
        const int32_t *index = mesh->faces + 3 * face;
        const Corner a = corners[index[0]], b = corners[index[1]], c = corners[index[2]];
        if (a.column != NEEDS_CLIP && b.column != NEEDS_CLIP && c.column != NEEDS_CLIP) {
            draw_triangle(image, a, b, c, (int32_t)face);
        } else {
            Homogeneous triangle[3];
            for (int i = 0; i < 3; i++) triangle[i] = transform(matrix, mesh->vertices + 3 * (int64_t)index[i]);
            draw_clipped(image, triangle, near, (int32_t)face);
        }
    }
}

int64_t solver_core_rasterize(int64_t count, const MeshArrays *meshes, const double *projections, int32_t is_perspective,
                              double near_fraction, int32_t height, int32_t width, Corner *corners, float *depth,
                              int32_t *face_index)
{
    const int64_t num_pixels = (int64_t)height * width;
    for (int64_t item = 0; item < count; item++) {
        if (!faces_index_vertices(meshes + item)) return item;
        const double *matrix = projections + 16 * item;
        Image image = {height, width, depth + item * num_pixels, face_index ? face_index + item * num_pixels : 0, 0};
        for (int64_t i = 0; i < num_pixels; i++) image.nearness[i] = is_perspective ? 0.0f : -INFINITY;
        if (image.face_index) {
            for (int64_t i = 0; i < num_pixels; i++) image.face_index[i] = -1;
        }
        const double farthest = largest_w(matrix, meshes[item].vertices, meshes[item].num_vertices);
        if (farthest > 0) draw_mesh(&image, &meshes[item], matrix, near_fraction * farthest, corners);
        if (is_perspective) {
            for (int64_t i = 0; i < num_pixels; i++) image.nearness[i] = 1.0f / image.nearness[i];
        } else {
            for (int64_t i = 0; i < num_pixels; i++) image.nearness[i] = -image.nearness[i];
        }
    }
    return -1;
}

int32_t solver_core_silhouettes(int64_t count, const MeshArrays *mesh, const double *projections, double near_fraction,
                                int32_t height, int32_t width, Corner *corners, uint8_t *silhouettes)
{
    if (!faces_index_vertices(mesh)) return 1;
    const int64_t num_pixels = (int64_t)height * width;
    for (int64_t item = 0; item < count; item++, projections += 16, silhouettes += num_pixels) {
        const Image image = {height, width, 0, 0, silhouettes};
        for (int64_t i = 0; i < num_pixels; i++) silhouettes[i] = 0;
        const double farthest = largest_w(projections, mesh->vertices, mesh->num_vertices);
        if (farthest > 0) draw_mesh(&image, mesh, projections, near_fraction * farthest, corners);
    }
    return 0;
}
