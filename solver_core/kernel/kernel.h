/* SPDX-License-Identifier: Apache-2.0 */
/* What the compiled kernel offers: the loops of solver_core that are too slow in NumPy.
 *
 * Plain C99 without dependencies, called through ctypes (loader.py).  Every buffer belongs to the caller and nothing is
 * global, so the functions may run on many threads at once.  Each C file has its reference in the Python file of the same
 * name: raster and distance give the same results by the same operations in the same order, so compile without contracting
 * a * b + c into one rounding (build.py); the others give the same up to rounding.
 */
#ifndef SOLVER_CORE_KERNEL_H
#define SOLVER_CORE_KERNEL_H

#include <math.h>
#include <stdint.h>

#if defined(_WIN32)
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif

#define KERNEL_VERSION 11 /* loader.py asks for the same; raise both when an interface or a result changes */

EXPORT int32_t solver_core_kernel_version(void);

/* Bytes of MeshArrays, Corner, Parabola, Subtree, Outline, ContourPoint and OutlinePoint. */
EXPORT void solver_core_structure_sizes(int64_t *sizes);

typedef struct {
    const float *vertices; /* (num_vertices, 3), object frame */
    int64_t num_vertices;
    const int32_t *faces; /* (num_faces, 3) */
    int64_t num_faces;
} MeshArrays;

#define SUBPIXELS 4096 /* grid points a pixel length */
#define GUARD 65536    /* pixels; what reaches farther is clipped or moved there, so that edge functions stay below 2^60 */

/* A projected vertex. */
typedef struct {
    int32_t column, row; /* in grid points */
    double nearness;
} Corner;

/* Depth and face index of a batch.
 *
 * projections: (count, 4, 4), object frame to (u, v, w, q).  is_perspective: see raster.c.  near_fraction: the near plane is
 * at this fraction of the largest w.  corners: scratch, as many as the largest number of vertices.  depth: (count, height,
 * width), infinite where nothing is seen.  face_index: the same shape, -1 where nothing is seen, or NULL.  No side of an
 * image is longer than 65536.  Returns -1, or the first item with a face index outside its vertices; it and what follows are
 * not drawn.
 */
EXPORT int64_t solver_core_rasterize(int64_t count, const MeshArrays *meshes, const double *projections,
                                     int32_t is_perspective, double near_fraction, int32_t height, int32_t width,
                                     Corner *corners, float *depth, int32_t *face_index);

/* Silhouettes of one mesh: 1 where rasterize with perspective finds a face, however near.
 *
 * mesh: one.  projections, near_fraction, corners as there.  silhouettes: (count, height, width).  Returns 0, or 1 if a face
 * index is outside of the vertices; then nothing is drawn.
 */
EXPORT int32_t solver_core_silhouettes(int64_t count, const MeshArrays *mesh, const double *projections, double near_fraction,
                                       int32_t height, int32_t width, Corner *corners, uint8_t *silhouettes);

/* What an image shows inside of silhouettes and along their outlines.
 *
 * silhouettes: (count, height, width).  labels, votes: (height, width).  across: (height, width - 1), down: (height - 1, width),
 * of pixels and their neighbour to the right and below.  Of each silhouette: counts (num_labels), its pixels by label; sums (3),
 * the votes of its pixels, across and down where only one of the two neighbours is inside, and how many of these there are.
 * Pixels of other labels are not counted.
 */
EXPORT void solver_core_silhouette_sums(int64_t count, int32_t height, int32_t width, const uint8_t *silhouettes,
                                        const uint8_t *labels, const int8_t *votes, const float *across, const float *down,
                                        int32_t num_labels, int32_t *counts, double *sums);

/* Parabola column -> height - 2 apex column + column^2; it is lower than the one before it where gap * column > rise. */
typedef struct {
    int32_t apex, gap;
    int64_t height, rise;
} Parabola;

/* Signed distance to the boundary of masks, in pixels: positive where the mask is 0, negative where it is not.
 *
 * masks: (count, height, width), sides as above.  scratch: (height, width).  envelope: (width + 2).
 * distance: (count, height, width).  A mask without a boundary gives +-(height + width) everywhere.
 */
EXPORT void solver_core_signed_distance(int64_t count, const uint8_t *masks, int32_t height, int32_t width,
                                        int32_t *scratch, Parabola *envelope, float *distance);

/* Sums over the nodes below a joint, each at d from it, with weight w and residual r. */
typedef struct {
    double mass, first[3], second[6]; /* of w, w d and w d d^T: xx, yy, zz, yz, xz, xy */
    double pull[3], torque[3];        /* of w r and w d x r */
} Subtree;

/* Damped least squares steps of trees of joints.
 *
 * Of the tree: order (num_nodes) has parents first, parents (num_nodes) has -1 for the root, joint_of_node (num_nodes) is -1
 * for end sites; height counts the joints from the root down to the lowest.  Of each of count bodies: positions and residuals
 * (num_nodes, 3), weights (num_nodes), axes (num_joints, 3, 3), damping, step (num_joints, 3).
 * Scratch: depths and subtrees (num_nodes), blocks (num_joints + 1, height, 3, 3).
 * Returns 0, or 1 if the numbers of the tree contradict each other; then nothing is written to step.
 */
EXPORT int32_t solver_core_damped_step(int64_t count, int32_t num_nodes, int32_t num_joints, int32_t height,
                                       const int32_t *order, const int32_t *parents, const int32_t *joint_of_node,
                                       const double *positions, const double *axes, const double *residuals,
                                       const double *weights, const double *damping, int32_t *depths, Subtree *subtrees,
                                       double *blocks, double *step);

/* A pixel on the object and its neighbour beside it. */
typedef struct {
    int32_t row, column, other_row, other_column;
} Outline;

/* What is found there. */
typedef struct {
    double residual, weight, jacobian[6];
} ContourPoint;

/* Points on the outlines of renders, in the order of their pixels.
 *
 * depth, distance, evidence: (count, height, width).  positions: (count, 3) of the objects.  intrinsics: (count, 4).
 * Scratch: kinds (2, width + 8), outlines (2 * width).  points, instance: (capacity).  Returns how many points there are; if that is more than capacity, the others are missing.
 */
EXPORT int64_t solver_core_contour_points(int64_t count, int32_t height, int32_t width, const float *depth,
                                          const float *distance, const uint8_t *evidence, const double *positions,
                                          const double *intrinsics, uint8_t *kinds, Outline *outlines,
                                          int64_t capacity, ContourPoint *points, int64_t *instance);

/* Sums over the points of each instance, without damping: hessian (num_instances, 6, 6) and gradient (num_instances, 6) of
 * half the squared residuals with Cauchy weights of scale robust (num_instances).  Both must hold zeros.
 * Returns -1, or the first point whose instance is none of num_instances; it and what follows are left out.
 */
EXPORT int64_t solver_core_normal_equations(int64_t num_points, const ContourPoint *points, const int64_t *instance,
                                            int64_t num_instances, const double *robust, double *hessian,
                                            double *gradient);

/* How renders differ from masks, over the pixels with evidence.
 *
 * depth: (count, height, width).  distance, evidence, coverage: the same, or (1, height, width) if is_shared.  sums: (count, 5),
 * the distances of the rendered outline, cut at `cut` and in units of it; the outline's length; the coverage that is rendered;
 * the pixels rendered; all coverage.  Scratch as above.
 */
EXPORT void solver_core_misfit(int64_t count, int32_t height, int32_t width, const float *depth, const float *distance,
                               const uint8_t *evidence, const float *coverage, int32_t is_shared, double cut,
                               uint8_t *kinds, Outline *outlines, double *sums);

#define LONGEST_EDGE 65536.0 /* pixels; edges that seem longer pass the camera */

/* A point of a mesh that is seen on its outline, and the normal outwards there, in the object's frame. */
typedef struct {
    double place[3], normal[3];
} OutlinePoint;

/* Points on the outline of a mesh, against the background, at equal distances along its edges, the outermost where edges lie side by
 * side.
 *
 * vertices: (num_vertices, 3).  ends: (num_edges, 2), vertices.  Those opposite to an edge, in the faces at it, are in wings from
 * first_wing[edge] on to first_wing[edge + 1].  matrix: (4, 4) camera from object.  intrinsics: (4).
 * spacing: pixels between points.  Scratch: seen (num_vertices, 3), grid (num_vertices, 2), sides (num_edges), in_image
 * (capacity, 4), counts (height, width), next_in_cell (capacity).
 * is_seen: (height, width), the mesh's silhouette.  points: (capacity).  Nothing is seen unless all vertices lie before the camera.
 * Returns how many points there are; if that is more than capacity, the others are missing.  Returns -1 if an index is outside of
 * what it counts.
 */
EXPORT int64_t solver_core_outline_points(int64_t num_vertices, const float *vertices, int64_t num_edges, const int32_t *ends,
                                          const int32_t *first_wing, int64_t num_wings, const int32_t *wings,
                                          const double *matrix, const double *intrinsics, int32_t height, int32_t width,
                                          double spacing, double *seen, int32_t *grid, int8_t *sides, int64_t capacity,
                                          double *in_image, int32_t *counts, int32_t *next_in_cell, uint8_t *is_seen,
                                          OutlinePoint *points);

/* Gauss-Newton steps to where an image shows points of an outline, each on its line of up to 128 samples across it.
 *
 * intrinsics: (4).  image: (height, width).  log_odds: (256) that pixels of a value show the object.  step_px: pixels between
 * samples.  robust: scale in pixels, of Geman and McClure.  damping: of the Hessian's diagonal.  settled: a step that moves the outline
 * by less, in pixels, is the last of up to num_steps.  matrix: (4, 4) camera from object, before and after.  matches: (num_points) how
 * far the points are off after the steps.  Returns by how many pixels the steps moved the outline, in all.
 */
EXPORT double solver_core_follow_lines(int64_t num_points, const OutlinePoint *points, const double *intrinsics,
                                       int32_t height, int32_t width, const uint8_t *image, const float *log_odds,
                                        double step_px, int32_t num_samples, double robust, double damping, double settled,
                                        int32_t num_steps, double *matrix, ContourPoint *matches);

/* What a table of 32 x 32 x 32 colours holds for pixels.
 *
 * colours: (height, width, 3), rows row_bytes apart.  table: (32768).  values: (height, width).
 */
EXPORT void solver_core_look_up(int32_t height, int32_t width, int64_t row_bytes, const uint8_t *colours,
                                const uint8_t *table, uint8_t *values);

/* First object pixel of each row of masks (count, height, width), and the one after the last: spans (count, height, 2).  Both
 * are the width in a row without object.
 */
EXPORT void solver_core_mask_spans(int64_t count, int32_t height, int32_t width, const uint8_t *masks, int32_t *spans);

/* Images as other cameras see them.
 *
 * coverage, known: (count, height, width); known may be NULL.  homographies: (count, 3, 3), pixels (column, row, 1) of a view to
 * the image's.  reductions (count), at least 1: image pixels a side that are averaged first.  scratch: as an image.
 * places: (2, size).  seen, evidence: (count, size, size), the second 0 where the image does not reach or is not known.
 */
EXPORT void solver_core_warp(int64_t count, int32_t height, int32_t width, const float *coverage, const uint8_t *known,
                             const double *homographies, const int32_t *reductions, int32_t size, float *scratch,
                             double *places, float *seen, uint8_t *evidence);

/* Channels (count, num_pixels, 7) of what pose networks see, from arrays (count, num_pixels) and centre_depth (count): observed and
 * estimated distance in units of limit, cut there; their difference; coverage; object or not; twice what lies before the
 * centre; evidence.
 */
EXPORT void solver_core_mask_channels(int64_t count, int64_t num_pixels, const float *observed, const float *estimated,
                                      const float *coverage, const float *depth, const uint8_t *evidence,
                                      const double *centre_depth, float limit, float *channels);

/* Vertices of count meshes, one after the other: transformed by matrices (count, 3, 3), centred on their bounding box, whose
 * diagonal becomes 1.  boxes: (count, 4), the box's centre and diagonal before that.  The box is that of all vertices; it must
 * have some extent.
 */
EXPORT void solver_core_unit_vertices(int64_t count, const MeshArrays *meshes, const double *matrices, float *vertices,
                                      double *boxes);

/* What filters of PNG files made rows of.
 *
 * rows: (height, 1 + row_bytes), the first byte being the filter.  pixel_bytes: of a pixel, at least 1.  nothing: (row_bytes) zeros,
 * which lie above the first row.  values: (height, row_bytes).  Returns -1, or the first row whose filter is unknown; it and what
 * follows are not written.
 */
EXPORT int64_t solver_core_unfilter(int64_t height, int64_t row_bytes, int64_t pixel_bytes, const uint8_t *rows,
                                    const uint8_t *nothing, uint8_t *values);

static inline void cross(const double *a, const double *b, double *result)
{
    result[0] = a[1] * b[2] - a[2] * b[1];
    result[1] = a[2] * b[0] - a[0] * b[2];
    result[2] = a[0] * b[1] - a[1] * b[0];
}

/* Nearest grid point.  The offset makes the sum positive, so that truncation rounds down. */
static inline int32_t snap(double pixels)
{
    return (int32_t)(pixels * SUBPIXELS + ((double)GUARD * SUBPIXELS + 0.5)) - GUARD * SUBPIXELS;
}

static inline double clamp_to_guard(double pixels)
{
    if (!(pixels >= -GUARD)) return -GUARD; /* also where it is no number */
    return pixels <= GUARD ? pixels : GUARD;
}

/* First and last pixel whose centre lies in [low, high], both in grid points. */
static inline int32_t first_centre(int32_t low) { return (low + SUBPIXELS / 2 - 1) >> 12; }
static inline int32_t last_centre(int32_t high) { return (high - SUBPIXELS / 2) >> 12; }

#endif
