#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/region.h"
#include "ops/coded_task.h"

namespace taskfold {

/// What an encoder made of everything that it was given.
struct CodedResult {
  /// The arrays without padding; `codes` are in the file.
  std::vector<uint8_t> tables, directory;
  uint64_t codes_bytes = 0;
  /// Σ (θt − θ̂t)² as decoded and rounded, and Σ (θt − θ*)².
  double error_squared = 0, residual_squared = 0;
  /// Nonzero codes.
  uint64_t kept = 0;
  /// Bits of all codes under one memoryless source for each table, zeros included.
  double entropy_bits = 0;
};

/// One tensor whose remainder is coded: θt and θ* as stored.
struct CodecTensor {
  CodedTensor shape;
  Operand task;
  /// [elements] of shape.dtype.
  Region merged;
};

/// Codes the remainder of one task in two passes over its tensors. A failed or cancelled pass leaves it
/// unusable (INVALID_ARGUMENT from then on). Not thread-safe: one call at a time.
class CodedEncoder {
 public:
  virtual ~CodedEncoder() = default;
  /// Between the passes: chooses the tables.
  virtual void Prepare() = 0;
  /// After the second pass.
  virtual CodedResult Finish() = 0;
};

/// Which calls an encoder expects, and whether it is still sound.
class EncoderState {
 public:
  enum class Stage { kCount, kEncode, kFinished, kBroken };

  explicit EncoderState(std::vector<CodedTensor> tensors) : tensors_(std::move(tensors)) {}
  const std::vector<CodedTensor>& tensors() const { return tensors_; }
  /// Tensors that this pass has seen.
  size_t seen() const { return seen_; }
  /// Runs f as the next step of a pass over `batch`; INVALID_ARGUMENT when it is another pass's turn or when
  /// these are not the tensors that come next. Whatever f throws leaves the encoder broken.
  template <class Tensor, class F>
  void Pass(Stage stage, const std::vector<Tensor>& batch, const F& f) {
    Expect(stage);
    for (size_t i = 0; i < batch.size(); i++) {
      const CodecTensor& tensor = batch[i];
      CheckNext(seen_ + i, tensor);
    }
    stage_ = Stage::kBroken;
    f();
    seen_ += batch.size();
    stage_ = stage;
  }
  /// After all tensors of `from`: runs f and goes to `to`.
  template <class F>
  void Advance(Stage from, Stage to, const F& f) {
    Expect(from);
    ExpectAllSeen();
    stage_ = Stage::kBroken;
    f();
    seen_ = 0;
    stage_ = to;
  }

 private:
  void Expect(Stage stage) const;
  void ExpectAllSeen() const;
  /// Shape and operands of tensor number `place`.
  void CheckNext(size_t place, const CodecTensor& tensor) const;
  std::vector<CodedTensor> tensors_;
  size_t seen_ = 0;
  Stage stage_ = Stage::kCount;
};

}  // namespace taskfold
