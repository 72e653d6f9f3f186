#pragma once
#include <optional>
#include <string>
#include <vector>

#include "core/region.h"
#include "core/run_control.h"
#include "ops/candidate_spill.h"
#include "ops/selection.h"

namespace taskfold {

/// θ0, the θt in task order, and where θ* goes. All operands hold `elements` numbers.
struct MergeTensor {
  std::string name;
  uint64_t elements = 0;
  /// Storage dtype: operands of another dtype are converted to it first.
  Dtype dtype = Dtype::kF32;
  Operand base;
  std::vector<Operand> tasks;
  /// [elements] of dtype; empty: θ* is not stored.
  std::optional<Region> out;
};

struct MergeOptions {
  float lambda = 0;
  /// Counts |θt − θ*| of every task in the same pass; may be null.
  Selection* selection = nullptr;
  bool keep_non_finite = false;
  /// Gets every task's candidates in the same pass, on the CPU; needs a selection. May be null.
  CandidateSpill* spill = nullptr;
};

struct MergeFingerprints {
  std::vector<std::string> merged, base;
};

/// θ* = round(fma(λ, Σt(θt − θ0), θ0)), one rounding per addition, in task order (arXiv 2310.01886, eq. of
/// task arithmetic; design.md section 1), with fingerprints of what was stored and of the base. Same bits for
/// any thread count.
MergeFingerprints MergeTensors(const std::vector<MergeTensor>& tensors, const MergeOptions& options,
                               RunControl& control);

/// Chooses the selection's first windows from pages spread over all tensors.
void SampleResiduals(const std::vector<MergeTensor>& tensors, float lambda, Selection& selection,
                     RunControl& control);

/// A residual to rank: u = task − merged, or the task's values themselves without `merged`.
struct ResidualTensor {
  std::string name;
  uint64_t elements = 0;
  Dtype dtype = Dtype::kF32;
  std::optional<Region> merged;
  std::vector<Operand> tasks;
};

/// The same for residuals against a stored θ*.
void SampleResiduals(const std::vector<ResidualTensor>& tensors, Selection& selection, RunControl& control);

/// INVALID_ARGUMENT unless every operand has the tensor's length and there are as many tasks as the selection
/// has.
void CheckMergeTensor(const MergeTensor& tensor, size_t tasks);
void CheckResidualTensor(const ResidualTensor& tensor, size_t tasks);

/// One more full pass of a selection over residuals.
void CountResiduals(const std::vector<ResidualTensor>& tensors, Selection& selection, bool keep_non_finite,
                    RunControl& control);

}  // namespace taskfold
