#pragma once
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "core/region.h"
#include "core/run_control.h"

namespace taskfold {

/// Bins of a histogram of magnitudes: bits of |u| >> 16, finite values only.
constexpr uint32_t kHistogramBins = 0x7F80;

/// A tensor whose residuals are counted: against θ* as stored, or merged on the fly.
struct HistogramTensor {
  std::string name;
  uint64_t elements = 0;
  Dtype dtype = Dtype::kF32;
  /// One of the two.
  std::optional<Operand> base;
  std::optional<Region> merged;
  std::vector<Operand> tasks;
  size_t group = 0;
};

struct HistogramSums {
  double squared = 0;   ///< Σ u²
  double absolute = 0;  ///< Σ |u|
  double original = 0;  ///< Σ θt²
  uint64_t elements = 0;
};

/// Histograms of |θt − θ*| for each λ, task and group. The same numbers for any threads and batches; grows
/// with their number only.
class ResidualHistogram {
 public:
  /// At least one λ, task and group; at most kMaxHistograms together.
  ResidualHistogram(std::vector<float> lambdas, size_t tasks, size_t groups);
  static constexpr size_t kMaxHistograms = 4096;

  /// Adds the residuals of these tensors, in their order. NON_FINITE for a NaN or an infinity, and then the
  /// histogram is unusable, as after a cancelled job (INVALID_ARGUMENT).
  void Count(const std::vector<HistogramTensor>& tensors, RunControl& control);

  /// Number of the first bin that counts anything, and the counts up to the last such.
  struct Bins {
    uint32_t first = 0;
    std::vector<uint64_t> counts;
  };
  Bins BinsOf(size_t lambda, size_t task, size_t group) const;
  HistogramSums SumsOf(size_t lambda, size_t task, size_t group) const;

 private:
  struct Cell {
    std::vector<uint64_t> counts;  ///< [kHistogramBins], made on first use
    HistogramSums sums;
  };
  class Worker;
  size_t Place(size_t lambda, size_t task, size_t group) const;
  const Cell& CellOf(size_t lambda, size_t task, size_t group) const;
  void Check(const HistogramTensor& tensor) const;
  void CountBlock(const HistogramTensor& tensor, uint64_t block, Worker& worker, HistogramSums* sums);

  std::vector<float> lambdas_;
  size_t tasks_, groups_;
  std::vector<Cell> cells_;
  std::mutex mutex_;
  bool broken_ = false;
};

}  // namespace taskfold
