/* SPDX-License-Identifier: Apache-2.0 */
/* Damped least squares on trees of joints, by the same elimination from leaves to root as in tree.py. */

#include "kernel.h"

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

/* Whether the order has every node once and parents first, and joints fit: what the loops below rely on. */
static int is_tree(int32_t num_nodes, int32_t num_joints, int32_t height, const int32_t *order, const int32_t *parents,
                   const int32_t *joint_of_node, int32_t *depths)
{
    for (int32_t i = 0; i < num_nodes; i++) depths[i] = -1;
    for (int32_t i = 0; i < num_nodes; i++) {
        const int32_t node = order[i];
        if (node < 0 || node >= num_nodes || depths[node] >= 0) return 0;
        const int32_t parent = parents[node], joint = joint_of_node[node];
        if (i == 0 ? parent != -1 : parent < 0 || parent >= num_nodes || depths[parent] < 0) return 0;
        if (i > 0 && joint_of_node[parent] < 0) return 0;
        depths[node] = i == 0 ? 0 : depths[parent] + 1;
        if (joint < -1 || joint >= num_joints || (joint >= 0 && depths[node] >= height)) return 0;
    }
    return 1;
}

int32_t solver_core_damped_step(int64_t count, int32_t num_nodes, int32_t num_joints, int32_t height, const int32_t *order,
                                const int32_t *parents, const int32_t *joint_of_node, const double *positions,
                                const double *axes, const double *residuals, const double *weights, const double *damping,
                                int32_t *depths, Subtree *subtrees, double *blocks, double *step)
{
    /* blocks: of a joint and its n-th ancestor */
    double *solved = blocks + 9 * (int64_t)num_joints * height;
    if (!is_tree(num_nodes, num_joints, height, order, parents, joint_of_node, depths)) return 1;
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
    return 0;
}
