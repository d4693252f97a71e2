/* Depth, face index, signed distance, steps of joints and of contours: the loops of solver_core that are too slow in NumPy.
 *
 * Plain C99 without dependencies, called through ctypes.  Every buffer belongs to the caller and nothing is global, so
 * the functions may run on many threads at once.  raster.py and distance.py are the reference: the same results, by the
 * same operations in the same order, so compile without contracting a * b + c into one rounding (build.py).  Those of
 * the steps are least_squares.py and contour.py: the same up to rounding.
 *
 * Rasterising.  A vertex is taken by a 4x4 matrix to homogeneous (u, v, w, q): column u/w, row v/w, nearness q/w.  With
 * perspective w is the depth and nearness its inverse; without, w is 1 and nearness is minus the depth.  Either way
 * nearness is linear in the image and the largest is seen.  Columns and rows are rounded to a grid of 1/4096 pixel, on
 * which edge functions are whole numbers: coverage is exact, free of cracks, and the same on every machine.
 */

#include <math.h>
#include <stdint.h>

#if defined(_WIN32)
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif

#define KERNEL_VERSION 2 /* native.py asks for the same; raise both when an interface or a result changes */

#define SUBPIXELS 4096       /* grid points a pixel length */
#define GUARD 65536          /* pixels; faces reaching farther are clipped, so that edge functions stay below 2^60 */
#define NEEDS_CLIP INT32_MIN /* column of a vertex nearer than the near plane or outside the guard band */
#define NUM_CLIP_PLANES 5
#define MAX_CORNERS (3 + NUM_CLIP_PLANES)

typedef struct {
    const float *vertices; /* (num_vertices, 3), object frame */
    int64_t num_vertices;
    const int32_t *faces; /* (num_faces, 3) */
    int64_t num_faces;
} MeshArrays;

typedef struct {
    double u, v, w, q;
} Homogeneous;

typedef struct {
    int32_t column, row; /* in grid points */
    double nearness;
} Corner;

typedef struct {
    int32_t height, width;
    float *nearness;     /* (height, width) */
    int32_t *face_index; /* (height, width) or NULL */
} Image;

EXPORT int32_t solver_core_kernel_version(void) { return KERNEL_VERSION; }

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

/* Nearest grid point.  The offset makes the sum positive, so that truncation rounds down. */
static int32_t snap(double pixels)
{
    return (int32_t)(pixels * SUBPIXELS + ((double)GUARD * SUBPIXELS + 0.5)) - GUARD * SUBPIXELS;
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

static double clamp_to_guard(double pixels)
{
    if (!(pixels >= -GUARD)) return -GUARD; /* also where it is no number */
    return pixels <= GUARD ? pixels : GUARD;
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

/* First and last pixel whose centre lies in [low, high], both in grid points. */
static int32_t first_centre(int32_t low) { return (low + SUBPIXELS / 2 - 1) >> 12; }
static int32_t last_centre(int32_t high) { return (high - SUBPIXELS / 2) >> 12; }

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

    const double inverse_area = 1.0 / (double)area;
    const double b_slope = (b.nearness - a.nearness) * inverse_area;
    const double c_slope = (c.nearness - a.nearness) * inverse_area;

    for (int32_t row = first_row; row <= last_row; row++) {
        const int64_t start = (int64_t)row * image->width;
        int64_t b_area = b_of_row, c_area = c_of_row;
        for (int32_t column = first_column; column <= last_column; column++) {
            const int64_t a_area = area - b_area - c_area;
            if ((a_area | b_area | c_area) >= 0) {
                const float nearness = (float)(a.nearness + ((double)b_area * b_slope + (double)c_area * c_slope));
                if (nearness > image->nearness[start + column]) {
                    image->nearness[start + column] = nearness;
                    if (image->face_index) image->face_index[start + column] = face;
                }
            }
            b_area += b_by_column;
            c_area += c_by_column;
        }
        b_of_row += b_by_row;
        c_of_row += c_by_row;
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

/* Returns 0, or 1 if a face index is outside the vertices. */
static int draw_mesh(const Image *image, const MeshArrays *mesh, const double *matrix, double near, Corner *corners)
{
    for (int64_t i = 0; i < mesh->num_vertices; i++) {
        corners[i] = project(transform(matrix, mesh->vertices + 3 * i), near);
    }
    for (int64_t face = 0; face < mesh->num_faces; face++) {
        const int32_t *index = mesh->faces + 3 * face;
        for (int i = 0; i < 3; i++) {
            if (index[i] < 0 || index[i] >= mesh->num_vertices) return 1;
        }
        const Corner a = corners[index[0]], b = corners[index[1]], c = corners[index[2]];
        if (a.column != NEEDS_CLIP && b.column != NEEDS_CLIP && c.column != NEEDS_CLIP) {
            draw_triangle(image, a, b, c, (int32_t)face);
        } else {
            Homogeneous triangle[3];
            for (int i = 0; i < 3; i++) triangle[i] = transform(matrix, mesh->vertices + 3 * (int64_t)index[i]);
            draw_clipped(image, triangle, near, (int32_t)face);
        }
    }
    return 0;
}

/* Depth and face index of a batch.
 *
 * projections: (count, 4, 4), object frame to (u, v, w, q).  is_perspective: see top.  near_fraction: the near plane is at
 * this fraction of the largest w.  corners: scratch, as many as the largest number of vertices.  depth: (count, height,
 * width), infinite where nothing is seen.  face_index: the same shape, -1 where nothing is seen, or NULL.
 * Returns -1, or the first item with a face index outside its vertices; what follows it is not drawn.
 */
EXPORT int64_t solver_core_rasterize(int64_t count, const MeshArrays *meshes, const double *projections,
                                     int32_t is_perspective, double near_fraction, int32_t height, int32_t width,
                                     Corner *corners, float *depth, int32_t *face_index)
{
    const int64_t num_pixels = (int64_t)height * width;
    for (int64_t item = 0; item < count; item++) {
        const double *matrix = projections + 16 * item;
        Image image = {height, width, depth + item * num_pixels, face_index ? face_index + item * num_pixels : 0};
        for (int64_t i = 0; i < num_pixels; i++) image.nearness[i] = is_perspective ? 0.0f : -INFINITY;
        if (image.face_index) {
            for (int64_t i = 0; i < num_pixels; i++) image.face_index[i] = -1;
        }
        const double farthest = largest_w(matrix, meshes[item].vertices, meshes[item].num_vertices);
        if (farthest > 0 && draw_mesh(&image, &meshes[item], matrix, near_fraction * farthest, corners)) return item;
        if (is_perspective) {
            for (int64_t i = 0; i < num_pixels; i++) image.nearness[i] = 1.0f / image.nearness[i];
        } else {
            for (int64_t i = 0; i < num_pixels; i++) image.nearness[i] = -image.nearness[i];
        }
    }
    return -1;
}

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

/* Parabolas column -> height + (column - apex)^2 that are lowest somewhere, from left to right. */
typedef struct {
    int32_t apex;
    int64_t height;
    double from; /* where this parabola becomes the lowest */
} Parabola;

/* Lower envelope of the squared distances of a row (Felzenszwalb and Huttenlocher 2012, Alg. 1).  Returns its length. */
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

/* Signed distance to the boundary of masks, in pixels: positive where the mask is 0, negative where it is not.
 *
 * masks: (count, height, width).  scratch: height * width whole numbers.  envelope: width parabolas of 24 bytes.
 * distance: (count, height, width).  A mask without a boundary gives +-(height + width) everywhere.
 */
EXPORT void solver_core_signed_distance(int64_t count, const uint8_t *masks, int32_t height, int32_t width,
                                        int32_t *scratch, Parabola *envelope, float *distance)
{
    const int64_t num_pixels = (int64_t)height * width;
    for (int64_t item = 0; item < count; item++) {
        const uint8_t *mask = masks + item * num_pixels;
        distances_to(mask, height, width, 1, 1.0f, scratch, envelope, distance + item * num_pixels);
        distances_to(mask, height, width, 0, -1.0f, scratch, envelope, distance + item * num_pixels);
    }
}

/* Sums over the nodes below a joint, each at d from it, with weight w and residual r. */
typedef struct {
    double mass, first[3], second[6]; /* of w, w d and w d d^T: xx, yy, zz, yz, xz, xy */
    double pull[3], torque[3];        /* of w r and w d x r */
} Subtree;

static void cross(const double *a, const double *b, double *result)
{
    result[0] = a[1] * b[2] - a[2] * b[1];
    result[1] = a[2] * b[0] - a[0] * b[2];
    result[2] = a[0] * b[1] - a[1] * b[0];
}

/* Adds a node and all below it, `below`, to the sums of its parent; offset: (3,) from there to the node. */
static void add_to_parent(const Subtree *below, double weight, const double *residual, const double *offset, Subtree *parent)
{
    const double mass = below->mass + weight;
    double pull[3], turn[3], first[3];
    for (int i = 0; i < 3; i++) {
        pull[i] = below->pull[i] + weight * residual[i];
        first[i] = below->first[i] + mass * offset[i]; /* relative to the parent */
    }
    cross(offset, pull, turn);
    parent->mass += mass;
    for (int i = 0; i < 3; i++) {
        const int j = (i + 1) % 3, k = (i + 2) % 3;
        parent->first[i] += first[i];
        parent->second[i] += below->second[i] + offset[i] * (below->first[i] + first[i]);
        parent->second[3 + i] += below->second[3 + i] + offset[j] * below->first[k] + offset[k] * first[j];
        parent->pull[i] += pull[i];
        parent->torque[i] += below->torque[i] + turn[i];
    }
}

/* result += sign * transposed(a) b for 3x3 matrices. */
static void add_transposed_product(const double *a, const double *b, double sign, double *result)
{
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) result[3 * i + j] += sign * (a[i] * b[j] + a[3 + i] * b[3 + j] + a[6 + i] * b[6 + j]);
}

/* (3, 3) block of the normal matrix for the axes of a joint and those of itself or an ancestor, `arm` (3,) from there. */
static void normal_block(const Subtree *below, const double *axes, const double *ancestor_axes, const double *arm,
                         double *block)
{
    const double *m = below->first, *d = below->second;
    const double along = d[0] + d[1] + d[2] + m[0] * arm[0] + m[1] * arm[1] + m[2] * arm[2];
    const double inertia[9] = {
        along - d[0] - arm[0] * m[0], -d[5] - arm[0] * m[1], -d[4] - arm[0] * m[2],
        -d[5] - arm[1] * m[0], along - d[1] - arm[1] * m[1], -d[3] - arm[1] * m[2],
        -d[4] - arm[2] * m[0], -d[3] - arm[2] * m[1], along - d[2] - arm[2] * m[2],
    };
    for (int i = 0; i < 3; i++) {
        const double *a = axes + 3 * i;
        double row[3];
        for (int j = 0; j < 3; j++) row[j] = a[0] * inertia[j] + a[1] * inertia[3 + j] + a[2] * inertia[6 + j];
        for (int j = 0; j < 3; j++) {
            const double *b = ancestor_axes + 3 * j;
            block[3 * i + j] = row[0] * b[0] + row[1] * b[1] + row[2] * b[2];
        }
    }
}

/* Inverse of a positive definite 3x3 matrix plus damping times the unit matrix. */
static void damped_inverse(const double *matrix, double damping, double *inverse)
{
    const double a = matrix[0] + damping, b = matrix[4] + damping, c = matrix[8] + damping;
    const double d = matrix[5], e = matrix[2], f = matrix[1];
    const double aa = b * c - d * d, ff = d * e - f * c, ee = f * d - b * e;
    const double scale = 1 / (a * aa + f * ff + e * ee);
    inverse[0] = scale * aa;
    inverse[4] = scale * (a * c - e * e);
    inverse[8] = scale * (a * b - f * f);
    inverse[1] = inverse[3] = scale * ff;
    inverse[2] = inverse[6] = scale * ee;
    inverse[5] = inverse[7] = scale * (e * f - a * d);
}

/* Damped least squares steps of trees of joints, as least_squares.py says, by the same elimination from leaves to root.
 *
 * Of the tree: order (num_nodes) has parents first, parents (num_nodes) has -1 for the root, joint_of_node (num_nodes) is -1
 * for end sites; height counts the joints from the root down to the lowest.  Of each of count bodies: positions and residuals
 * (num_nodes, 3), weights (num_nodes), axes (num_joints, 3, 3), damping, step (num_joints, 3).
 * workspace: 16 num_nodes + 9 (num_joints + 1) height numbers.
 */
EXPORT void solver_core_damped_step(int64_t count, int32_t num_nodes, int32_t num_joints, int32_t height,
                                    const int32_t *order, const int32_t *parents, const int32_t *joint_of_node,
                                    const double *positions, const double *axes, const double *residuals,
                                    const double *weights, const double *damping, double *workspace, double *step)
{
    Subtree *subtrees = (Subtree *)workspace;
    double *blocks = workspace + 16 * (int64_t)num_nodes; /* (num_joints, height): of a joint and its n-th ancestor */
    double *solved = blocks + 9 * (int64_t)num_joints * height;
    for (int64_t item = 0; item < count; item++) {
        const double *places = positions + item * num_nodes * 3, *body_axes = axes + item * num_joints * 9;
        double *right = step + item * num_joints * 3;
        for (int32_t node = 0; node < num_nodes; node++) subtrees[node] = (Subtree){0};
        for (int32_t i = num_nodes - 1; i > 0; i--) {
            const int32_t node = order[i], parent = parents[node];
            const double *from = places + 3 * parent, *to = places + 3 * node;
            const double offset[3] = {to[0] - from[0], to[1] - from[1], to[2] - from[2]};
            const int64_t row = item * num_nodes + node;
            add_to_parent(subtrees + node, weights[row], residuals + 3 * row, offset, subtrees + parent);
        }
        for (int32_t node = 0; node < num_nodes; node++) {
            const int32_t joint = joint_of_node[node];
            if (joint < 0) continue;
            const double *own = body_axes + 9 * joint, *torque = subtrees[node].torque;
            for (int i = 0; i < 3; i++)
                right[3 * joint + i] = own[3 * i] * torque[0] + own[3 * i + 1] * torque[1] + own[3 * i + 2] * torque[2];
            double *block = blocks + 9 * (int64_t)joint * height;
            for (int32_t above = node; above >= 0; above = parents[above], block += 9) {
                const double *from = places + 3 * above, *to = places + 3 * node;
                const double arm[3] = {to[0] - from[0], to[1] - from[1], to[2] - from[2]};
                normal_block(subtrees + node, own, body_axes + 9 * joint_of_node[above], arm, block);
            }
        }
        for (int32_t i = num_nodes - 1; i >= 0; i--) {
            const int32_t joint = joint_of_node[order[i]];
            if (joint < 0) continue;
            double *block = blocks + 9 * (int64_t)joint * height, *force = right + 3 * joint;
            double inverse[9];
            damped_inverse(block, damping[item], inverse);
            const double y[3] = {inverse[0] * force[0] + inverse[1] * force[1] + inverse[2] * force[2],
                                 inverse[3] * force[0] + inverse[4] * force[1] + inverse[5] * force[2],
                                 inverse[6] * force[0] + inverse[7] * force[1] + inverse[8] * force[2]};
            int32_t depth = 1;
            for (int32_t above = parents[order[i]]; above >= 0; above = parents[above], depth++) {
                for (int k = 0; k < 9; k++) solved[9 * depth + k] = 0;
                add_transposed_product(inverse, block + 9 * depth, 1, solved + 9 * depth);
            }
            int32_t level = 1;
            for (int32_t above = parents[order[i]]; above >= 0; above = parents[above], level++) {
                const int32_t ancestor = joint_of_node[above];
                const double *coupling = block + 9 * level;
                for (int k = 0; k < 3; k++)
                    right[3 * ancestor + k] -= coupling[k] * y[0] + coupling[3 + k] * y[1] + coupling[6 + k] * y[2];
                double *changed = blocks + 9 * (int64_t)ancestor * height;
                for (int32_t other = level; other < depth; other++)
                    add_transposed_product(coupling, solved + 9 * other, -1, changed + 9 * (other - level));
            }
            for (int k = 0; k < 3; k++) force[k] = y[k];
            for (int32_t k = 9; k < 9 * depth; k++) block[k] = solved[k];
        }
        for (int32_t i = 1; i < num_nodes; i++) {
            const int32_t joint = joint_of_node[order[i]];
            if (joint < 0) continue;
            const double *block = blocks + 9 * (int64_t)joint * height + 9;
            for (int32_t above = parents[order[i]]; above >= 0; above = parents[above], block += 9) {
                const double *turn = right + 3 * joint_of_node[above];
                for (int k = 0; k < 3; k++)
                    right[3 * joint + k] -= block[3 * k] * turn[0] + block[3 * k + 1] * turn[1] + block[3 * k + 2] * turn[2];
            }
        }
    }
}

/* A pixel on the object and its neighbour beside it: what contour.py says of such a pair. */
typedef struct {
    double residual, weight, jacobian[6];
} ContourPoint;

typedef struct {
    int32_t height, width;
    const float *depth, *distance; /* (height, width); depth is infinite beside the object */
    const uint8_t *evidence;       /* (height, width) */
} ContourView;

/* Adds half the slope of the distance at a pixel, by column and by row: one-sided at the border. */
static void add_half_slope(const ContourView *view, int32_t row, int32_t column, double *slope)
{
    const int32_t left = column > 0 ? column - 1 : 0, right = column + 1 < view->width ? column + 1 : column;
    const int32_t above = row > 0 ? row - 1 : 0, below = row + 1 < view->height ? row + 1 : row;
    const float *along_row = view->distance + (int64_t)row * view->width, *along_column = view->distance + column;
    const float by_row = along_column[(int64_t)below * view->width] - along_column[(int64_t)above * view->width];
    slope[0] += 0.5 * (along_row[right] - along_row[left]) / (right - left);
    slope[1] += 0.5 * by_row / (below - above);
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

/* Points on the outlines of renders, as contour.py says, in the order of their pixels.
 *
 * depth, distance, evidence: (count, height, width).  positions: (count, 3) of the objects.  intrinsics: (count, 4).
 * points, instance: (capacity).  Returns how many points there are; if that is more than capacity, the others are missing.
 */
EXPORT int64_t solver_core_contour_points(int64_t count, int32_t height, int32_t width, const float *depth,
                                          const float *distance, const uint8_t *evidence, const double *positions,
                                          const double *intrinsics, int64_t capacity, ContourPoint *points,
                                          int64_t *instance)
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

/* Sums over the points of each instance, without damping: hessian (num_instances, 6, 6) and gradient (num_instances, 6) of
 * half the squared residuals with Cauchy weights of scale robust (num_instances).  Both must hold zeros.
 */
EXPORT void solver_core_normal_equations(int64_t num_points, const ContourPoint *points, const int64_t *instance,
                                         int64_t num_instances, const double *robust, double *hessian, double *gradient)
{
    for (int64_t k = 0; k < num_points; k++) {
        const ContourPoint *point = points + k;
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
}
