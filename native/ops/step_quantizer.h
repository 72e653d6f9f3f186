#pragma once
#include <cstdint>

#include "ops/coded_encoder.h"
#include "ops/scratch.h"
#include "ops/step_stream.h"

namespace taskfold {

/// The dead-zone quantiser: q = sign(u)·⌊|u|·(1/Δ) + (1 − dead zone)⌋, each operation in f32 with one
/// rounding, |q| ≤ kMaxStepCode.
class StepQuantizer {
 public:
  /// dead_zone: in steps, 0.5 to 1; 0.5 rounds to the nearest.
  StepQuantizer(float step, float dead_zone);
  /// u finite.
  int32_t operator()(float u) const;
  /// The least bits of a |u| that does not become 0.
  uint32_t threshold() const { return threshold_; }
  float step() const { return step_; }

 private:
  float step_, inverse_, offset_;
  uint32_t threshold_;
};

/// Σ u² of the residual, or Σ (θt − θ̂t)² as decoded and rounded.
enum class StepSum { kResidual, kError };

/// A residual's nonzero codes and one of its sums over one segment.
struct QuantizedSegment {
  StepEntries entries;
  double squared = 0;
};

/// Quantises elements [first, first + n) of a tensor (n ≤ kBlockElements): u = θt − θ* in f32, θt converted
/// to the storage dtype first. NON_FINITE with tensor and index. Uses the scratch slots slot … slot + 7. Same
/// result on every machine.
void QuantizeSegment(const StepQuantizer& quantizer, const CodecTensor& tensor, uint64_t first, size_t n,
                     StepSum sum, Scratch& scratch, size_t slot, QuantizedSegment* out);

}  // namespace taskfold
