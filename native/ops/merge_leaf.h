#pragma once
#include "ops/fingerprint.h"
#include "ops/scratch.h"
#include "ops/task_vector.h"

// The pieces that merging and counting are made of on the CPU. A GPU that has seen a NaN runs them again over
// the same elements, so that the error is the same.

namespace taskfold {

struct LeafDigests {
  Digest merged, base;
};

/// Elements of a piece of a tensor with so many tasks: a power of two from 64 on, so that pieces tile leaves
/// and blocks.
size_t PieceElements(size_t item, size_t tasks);

/// Merges, counts and stores one leaf of a tensor; returns its digests (base: only of the storage dtype).
/// `spilled`: the tensor's place in options.spill, or null.
LeafDigests MergeLeaf(const MergeTensor& tensor, uint64_t leaf, const MergeOptions& options,
                      CandidateSpill::Tensor* spilled, Scratch& scratch, RunControl& control);

/// Counts the active tasks' residuals of one block of TF_MAX_PIECE elements.
void CountBlock(const ResidualTensor& tensor, uint64_t block, Selection& selection, bool keep_non_finite,
                Scratch& scratch, RunControl& control);

}  // namespace taskfold
