#pragma once
#include <memory>
#include <vector>

#include "core/run_control.h"
#include "ops/matrix_blocks.h"

namespace taskfold {

/// The sketches of a randomized SVD, X and Z [k × columns] and Y [k × rows], and the steps that it takes with
/// them, on the CPU or on a GPU. Sketches and their layout: ops/sketch_passes.h.
class Sketches {
 public:
  virtual ~Sketches() = default;

  /// X = Ω, the test matrix.
  virtual void Start(const std::vector<float>& omega) = 0;
  /// X = Z, rounded to f32. Z is orthonormal.
  virtual void Continue() = 0;
  /// Z = Dᵀ·(D·X)
  virtual void Fused() = 0;
  /// Y = D·X
  virtual void Forward() = 0;
  /// Z = Dᵀ·Y with an orthonormal Y: from Y rounded to f32 with products in f32, or with all of it in f64.
  virtual void Backward(bool wide) = 0;
  /// S becomes an orthonormal basis Q of a space that holds its columns; R [k × k] with S = Q·R is returned.
  virtual std::vector<double> OrthonormalizeY() = 0;
  virtual std::vector<double> OrthonormalizeZ() = 0;
  /// The sketch, which is not defined from there on.
  virtual std::vector<double> TakeY() = 0;
  virtual std::vector<double> TakeZ() = 0;
  /// ‖D‖² (Frobenius, in f64, before scaling); summed in the first pass.
  virtual double squared_norm() const = 0;
};

/// `source` is kept by reference: its scale may change between passes.
std::unique_ptr<Sketches> MakeHostSketches(const MatrixSource& source, size_t k, RunControl& control);

}  // namespace taskfold
