#pragma once
#include <vector>

#include "core/run_control.h"
#include "ops/matrix_blocks.h"

// The passes of a randomized SVD over its matrix D [rows × columns], which is read once by each. Sketches lie
// with their columns contiguous: k vectors of length n are [k × n] row-major, the layout in which BLAS was
// measured to be quickest (and in which LAPACK's QR takes them).
//
// The same bits for any number of threads: see RowPartition.

namespace taskfold {

class SketchPasses {
 public:
  /// k: columns of the sketch.
  SketchPasses(const MatrixSource& source, size_t k, RunControl& control);

  /// Z = Dᵀ·(D·X): x [k × columns] → [k × columns]. Products in f32.
  std::vector<double> Fused(const std::vector<float>& x);
  /// Y = D·X: x [k × columns] → [k × rows]. Products in f32.
  std::vector<double> Forward(const std::vector<float>& x);
  /// Z = Dᵀ·Q: q [k × rows] → [k × columns]. Products in f32.
  std::vector<double> Backward(const std::vector<float>& q);
  /// The same with products in f64.
  std::vector<double> Backward(const std::vector<double>& q);

  /// ‖D‖² (Frobenius, in f64, before scaling); summed in the first pass.
  double squared_norm() const { return squared_norm_; }

 private:
  /// Calls work(group, first row, rows, block, scratch) for every block, in order inside a group.
  template <class Work>
  void ForBlocks(const Work& work);
  template <class T>
  std::vector<double> AddGroups(const std::vector<std::vector<T>>& parts) const;

  const MatrixSource& source_;
  const size_t k_;
  RunControl& control_;
  const RowPartition partition_;
  ScratchPerWorker scratches_;
  bool norm_known_ = false;
  double squared_norm_ = 0;
};

}  // namespace taskfold
