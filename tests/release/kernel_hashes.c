/* SPDX-License-Identifier: Apache-2.0 */
/* Loads a compiled kernel, calls all its functions on numbers that are the same everywhere, and prints a hash of each result.
 *
 * kernel_hashes KERNEL.  Cross-compiled and run by kernels.py, so that kernels for other machines are run before they ship.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../solver_core/kernel/kernel.h"

#if defined(_WIN32)
#include <windows.h>
#define OPEN(path) ((void *)LoadLibraryA(path))
#define FIND(library, name) ((void *)GetProcAddress((HMODULE)(library), name))
#else
#include <dlfcn.h>
#define OPEN(path) dlopen(path, RTLD_NOW)
#define FIND(library, name) dlsym(library, name)
#endif

enum { SIDE = 96, RINGS = 24, TURNS = 48, VERTICES = (RINGS + 1) * TURNS, FACES = 2 * RINGS * TURNS, NODES = 12, JOINTS = 11 };

static uint64_t state = 20260101;

/* From 0 to 1, all bits the same on every machine. */
static double random_number(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (double)(state >> 11) / 9007199254740992.0;
}

static void print_hash(const char *name, const void *data, size_t size)
{
    uint64_t hash = 14695981039346656037u; /* FNV-1a */
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ ((const unsigned char *)data)[i]) * 1099511628211u;
    printf("%s %08lx%08lx\n", name, (unsigned long)(hash >> 32), (unsigned long)(hash & 0xffffffffu));
}

static void *find(void *library, const char *name)
{
    void *found = FIND(library, name);
    if (found == NULL) {
        fprintf(stderr, "%s is not in the library\n", name);
        exit(2);
    }
    return found;
}

static float vertices[VERTICES][3];
static int32_t faces[FACES][3];
static Corner corners[VERTICES];
static float depth[SIDE * SIDE], distance[SIDE * SIDE], coverage[SIDE * SIDE];
static int32_t face_index[SIDE * SIDE], scratch[SIDE * SIDE];
static uint8_t mask[SIDE * SIDE], evidence[SIDE * SIDE];
static Parabola envelope[SIDE + 2];
static uint8_t kinds[2 * (SIDE + 8)], seen_evidence[SIDE * SIDE];
static Outline outlines[2 * SIDE];
static int32_t spans[2 * SIDE];
static float seen[SIDE * SIDE], averaged[SIDE * SIDE], channels[7 * SIDE * SIDE], unit[VERTICES][3];
static ContourPoint points[4 * SIDE * SIDE];
static int64_t instance[4 * SIDE * SIDE];
static int32_t ends[FACES][2], first_wing[FACES + 1], wings[2 * FACES];
static double projected[3 * VERTICES];
static OutlinePoint outline[FACES];
static double in_image[4 * FACES];
static int32_t grid[2 * VERTICES], next_in_cell[FACES];
static int8_t sides[FACES];
static float log_odds[256];
static uint8_t table[32768];

/* A lump about as large as 1: a grid of rings on the square from -1 to 1, drawn to a ball by rational numbers alone. */
static void make_mesh(void)
{
    for (int ring = 0; ring <= RINGS; ring++) {
        double height = 2.0 * ring / RINGS - 1;
        double radius = 1.05 - height * height;
        for (int turn = 0; turn < TURNS; turn++) {
            double t = 2.0 * (turn % (TURNS / 2)) / (TURNS / 2) - 1; /* half a circle: (2t, 1 - t^2) / (1 + t^2) */
            double sign = turn < TURNS / 2 ? 1 : -1, bump = 1 + 0.1 * random_number();
            float *vertex = vertices[ring * TURNS + turn];
            vertex[0] = (float)(bump * radius * sign * 2 * t / (1 + t * t));
            vertex[1] = (float)(bump * radius * sign * (1 - t * t) / (1 + t * t));
            vertex[2] = (float)height;
        }
    }
    for (int ring = 0; ring < RINGS; ring++)
        for (int turn = 0; turn < TURNS; turn++) {
            int32_t here = ring * TURNS + turn, beside = ring * TURNS + (turn + 1) % TURNS;
            int32_t two[2][3] = {{here, beside, here + TURNS}, {beside, beside + TURNS, here + TURNS}};
            memcpy(faces[2 * here], two, sizeof two);
        }
}

static void try_images(void *library)
{
    int64_t (*rasterize)(int64_t, const MeshArrays *, const double *, int32_t, double, int32_t, int32_t, Corner *, float *,
                         int32_t *) = find(library, "solver_core_rasterize");
    void (*signed_distance)(int64_t, const uint8_t *, int32_t, int32_t, int32_t *, Parabola *, float *) =
        find(library, "solver_core_signed_distance");
    int64_t (*contour_points)(int64_t, int32_t, int32_t, const float *, const float *, const uint8_t *, const double *,
                              const double *, uint8_t *, Outline *, int64_t, ContourPoint *, int64_t *) =
        find(library, "solver_core_contour_points");
    int64_t (*normal_equations)(int64_t, const ContourPoint *, const int64_t *, int64_t, const double *, double *, double *) =
        find(library, "solver_core_normal_equations");
    void (*misfit)(int64_t, int32_t, int32_t, const float *, const float *, const uint8_t *, const float *, int32_t, double,
                   uint8_t *, Outline *, double *) = find(library, "solver_core_misfit");
    int32_t (*silhouettes)(int64_t, const MeshArrays *, const double *, double, int32_t, int32_t, Corner *, uint8_t *) =
        find(library, "solver_core_silhouettes");
    void (*silhouette_sums)(int64_t, int32_t, int32_t, const uint8_t *, const uint8_t *, const int8_t *, const float *, const float *,
                            int32_t, int32_t *, double *) = find(library, "solver_core_silhouette_sums");
    make_mesh();
    MeshArrays mesh = {vertices[0], VERTICES, faces[0], FACES};
    double focal = 1.4 * SIDE, middle = SIDE / 2.0, away = 3.5;
    double projection[16] = {focal, 0, middle * 0.6, middle * away, 0, 0.8 * focal, -0.6 * focal, middle * away,
                             0,     0, 0.6,          away,          0, 0,           0,            1};
    rasterize(1, &mesh, projection, 1, 1e-3, SIDE, SIDE, corners, depth, face_index);
    print_hash("depth", depth, sizeof depth);
    print_hash("faces", face_index, sizeof face_index);
    silhouettes(1, &mesh, projection, 1e-3, SIDE, SIDE, corners, seen_evidence);
    print_hash("silhouette", seen_evidence, sizeof seen_evidence);
    for (int i = 0; i < SIDE * SIDE; i++) {
        int row = i / SIDE - SIDE / 2, column = i % SIDE - SIDE / 2 - 4;
        mask[i] = row * row + 2 * column * column < SIDE * SIDE / 12;
        coverage[i] = mask[i], evidence[i] = row * column != 0;
    }
    signed_distance(1, mask, SIDE, SIDE, scratch, envelope, distance);
    print_hash("distance", distance, sizeof distance);
    int32_t counts[2];
    double of_silhouette[3];
    silhouette_sums(1, SIDE, SIDE, seen_evidence, mask, (const int8_t *)mask, distance, distance, 2, counts, of_silhouette);
    of_silhouette[0] += 1024 * counts[0] + counts[1];
    print_hash("inside", of_silhouette, sizeof of_silhouette);
    double position[3] = {0, 0, -away}, intrinsics[4] = {focal, focal, middle, middle};
    int64_t count = contour_points(1, SIDE, SIDE, depth, distance, evidence, position, intrinsics, kinds, outlines,
                                   (int64_t)(sizeof points / sizeof *points), points, instance);
    print_hash("contour", points, (size_t)count * sizeof *points);
    double robust = 3, hessian[36] = {0}, gradient[6] = {0}, sums[5];
    normal_equations(count, points, instance, 1, &robust, hessian, gradient);
    print_hash("hessian", hessian, sizeof hessian);
    print_hash("gradient", gradient, sizeof gradient);
    misfit(1, SIDE, SIDE, depth, distance, evidence, coverage, 0, 8, kinds, outlines, sums);
    print_hash("misfit", sums, sizeof sums);
    fprintf(stderr, "%d points of the outline\n", (int)count);
}

/* What follows an object from frame to frame: the edges along the rings of the lump, and lines across its outline. */
static void try_lines(void *library)
{
    int64_t (*outline_points)(int64_t, const float *, int64_t, const int32_t *, const int32_t *, int64_t, const int32_t *,
                              const double *, const double *, int32_t, int32_t, double, double *, int32_t *, int8_t *, int64_t,
                              double *, int32_t *, int32_t *, uint8_t *, OutlinePoint *) =
        find(library, "solver_core_outline_points");
    double (*follow_lines)(int64_t, const OutlinePoint *, const double *, int32_t, int32_t, const uint8_t *, const float *, double,
                            int32_t, double, double, double, int32_t, double *, ContourPoint *) =
        find(library, "solver_core_follow_lines");
    void (*look_up)(int32_t, int32_t, int64_t, const uint8_t *, const uint8_t *, uint8_t *) =
        find(library, "solver_core_look_up");
    int count = 0;
    for (int ring = 1; ring < RINGS; ring++)
        for (int turn = 0; turn < TURNS; turn++, count++) {
            ends[count][0] = ring * TURNS + turn, ends[count][1] = ring * TURNS + (turn + 1) % TURNS;
            wings[2 * count] = ends[count][0] - TURNS, wings[2 * count + 1] = ends[count][1] + TURNS;
            first_wing[count + 1] = 2 * (count + 1);
        }
    double focal = 1.4 * SIDE, middle = SIDE / 2.0, away = 3.5;
    double matrix[16] = {1, 0, 0, 0, 0, 0.8, -0.6, 0, 0, 0.6, 0.8, -away, 0, 0, 0, 1};
    double intrinsics[4] = {focal, focal, middle, middle};
    int64_t found = outline_points(VERTICES, vertices[0], count, ends[0], first_wing, 2 * count, wings, matrix, intrinsics, SIDE,
                                   SIDE, 3, projected, grid, sides, FACES, in_image, scratch, next_in_cell, seen_evidence, outline);
    print_hash("by edges", seen_evidence, sizeof seen_evidence);
    print_hash("outline", outline, (size_t)found * sizeof *outline);
    for (int i = 0; i < 256; i++) log_odds[i] = (float)(i - 128) / 32;
    for (int i = 0; i < SIDE * SIDE; i++) evidence[i] = (uint8_t)(255 * mask[i]);
    follow_lines(found, outline, intrinsics, SIDE, SIDE, evidence, log_odds, 1, 16, 2, 1e-3, 0, 2, matrix, points);
    for (int64_t k = 0; k < found; k++) { /* exp differs in the last bit from machine to machine */
        int32_t rounded[2] = {(int32_t)(1024 * points[k].residual + 0.5), (int32_t)(1024 * points[k].weight + 0.5)};
        memcpy(instance + k, rounded, sizeof rounded);
    }
    print_hash("lines", instance, (size_t)found * sizeof *instance);
    for (int i = 0; i < 32768; i++) table[i] = (uint8_t)(i % 251);
    look_up(SIDE / 3, SIDE / 3, SIDE, evidence, table, seen_evidence);
    print_hash("colours", seen_evidence, SIDE / 3 * (SIDE / 3));
    fprintf(stderr, "%d lines across the outline\n", (int)found);
}

/* What makes samples to train on. */
static void try_samples(void *library)
{
    void (*mask_spans)(int64_t, int32_t, int32_t, const uint8_t *, int32_t *) = find(library, "solver_core_mask_spans");
    void (*warp)(int64_t, int32_t, int32_t, const float *, const uint8_t *, const double *, const int32_t *, int32_t, float *,
                 double *, float *, uint8_t *) = find(library, "solver_core_warp");
    void (*mask_channels)(int64_t, int64_t, const float *, const float *, const float *, const float *, const uint8_t *,
                          const double *, float, float *) = find(library, "solver_core_mask_channels");
    void (*unit_vertices)(int64_t, const MeshArrays *, const double *, float *, double *) =
        find(library, "solver_core_unit_vertices");
    static double places[2 * SIDE];
    double homography[9] = {0.75, 0.125, 3, -0.0625, 0.875, 5, 0, 0.0009765625, 1}, centre = -3.5, box[4];
    double matrix[9] = {1.25, 0.5, 0, 0, 0.75, 0.25, -0.5, 0, 1};
    int32_t reduction = 1;
    MeshArrays mesh = {vertices[0], VERTICES, faces[0], FACES};
    mask_spans(1, SIDE, SIDE, mask, spans);
    print_hash("spans", spans, sizeof spans);
    warp(1, SIDE, SIDE, coverage, evidence, homography, &reduction, SIDE, averaged, places, seen, seen_evidence);
    print_hash("warp", seen, sizeof seen);
    print_hash("evidence", seen_evidence, sizeof seen_evidence);
    mask_channels(1, SIDE * SIDE, distance, distance, seen, depth, seen_evidence, &centre, 8, channels);
    print_hash("channels", channels, sizeof channels);
    unit_vertices(1, &mesh, matrix, unit[0], box);
    print_hash("unit", unit, sizeof unit);
}

static void try_rows(void *library)
{
    int64_t (*unfilter)(int64_t, int64_t, int64_t, const uint8_t *, const uint8_t *, uint8_t *) =
        find(library, "solver_core_unfilter");
    static uint8_t rows[SIDE][SIDE + 1], nothing[SIDE], values[SIDE][SIDE];
    for (int row = 0; row < SIDE; row++) {
        rows[row][0] = (uint8_t)(row % 5);
        for (int i = 1; i <= SIDE; i++)
            rows[row][i] = (uint8_t)(256 * random_number());
    }
    if (unfilter(SIDE, SIDE, 3, rows[0], nothing, values[0]) >= 0) {
        fprintf(stderr, "the rows were refused\n");
        exit(2);
    }
    print_hash("rows", values, sizeof values);
}

static void try_tree(void *library)
{
    int32_t (*damped_step)(int64_t, int32_t, int32_t, int32_t, const int32_t *, const int32_t *, const int32_t *, const double *,
                           const double *, const double *, const double *, const double *, int32_t *, Subtree *, double *,
                           double *) = find(library, "solver_core_damped_step");
    int32_t order[NODES], parents[NODES], joint_of_node[NODES], depths[NODES];
    double positions[NODES][3], residuals[NODES][3], weights[NODES], axes[JOINTS][9], damping = 0.01, step[JOINTS][3];
    static double blocks[(JOINTS + 1) * JOINTS * 9];
    Subtree subtrees[NODES];
    for (int node = 0; node < NODES; node++) { /* a chain that ends in an end site */
        order[node] = node, parents[node] = node - 1, joint_of_node[node] = node < JOINTS ? node : -1;
        weights[node] = 0.5 + random_number();
        for (int axis = 0; axis < 3; axis++) {
            positions[node][axis] = node * 0.3 + random_number();
            residuals[node][axis] = random_number() - 0.5;
        }
    }
    for (int joint = 0; joint < JOINTS; joint++)
        for (int i = 0; i < 9; i++)
            axes[joint][i] = i % 4 == 0;
    int32_t failed = damped_step(1, NODES, JOINTS, JOINTS, order, parents, joint_of_node, positions[0], axes[0], residuals[0],
                                 weights, &damping, depths, subtrees, blocks, step[0]);
    if (failed) {
        fprintf(stderr, "the tree was refused\n");
        exit(2);
    }
    print_hash("step", step, sizeof step);
}

int main(int count, char **arguments)
{
    void *library = count == 2 ? OPEN(arguments[1]) : NULL;
    if (library == NULL) {
        fprintf(stderr, "the kernel cannot be loaded\n");
        return 2;
    }
    try_images(library);
    try_samples(library);
    try_lines(library);
    try_rows(library);
    try_tree(library);
    return 0;
}
