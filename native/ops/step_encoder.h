#pragma once
#include <mutex>
#include <vector>

#include "core/run_control.h"
#include "ops/coded_encoder.h"
#include "ops/step_layout.h"
#include "ops/step_quantizer.h"
#include "ops/step_tables.h"

namespace taskfold {

/// Codes the remainder of one task with a dead-zone quantiser (docs/FORMAT.md, "step"). Same bytes for any
/// batches, threads and SIMD targets. Memory ∝ tensors and blocks, and one block for each thread.
class StepEncoder final : public CodedEncoder {
 public:
  /// Codes are written to `out` from `offset` on. INVALID_ARGUMENT for a file that is open for reading only.
  StepEncoder(float step, float dead_zone, std::vector<CodedTensor> tensors, std::shared_ptr<File> out,
              uint64_t offset);
  /// First pass over the next tensors: counts tokens. NON_FINITE names tensor and index.
  void Count(const std::vector<CodecTensor>& batch, RunControl& control);
  void Prepare() override;
  /// Second pass: writes streams.
  void Encode(const std::vector<CodecTensor>& batch, RunControl& control);
  CodedResult Finish() override;

 private:
  /// The part of one block that a batch holds.
  struct Piece {
    uint64_t block;  ///< of all blocks
    size_t tensor;   ///< the first, of all tensors
    size_t tensors;  ///< how many of this batch
    uint64_t first;  ///< element of the first tensor
    bool complete;   ///< the block's last segments are among them
  };
  /// A block being made: the segments of a joint one may come from several batches.
  struct Block {
    std::vector<StepEntries> segments;
    std::vector<double> errors;  ///< Σ (θt − θ̂t)² of each segment
    std::vector<uint8_t> stream;
  };
  std::vector<Piece> PiecesOf(size_t tensors) const;
  size_t SegmentElements(const Piece& piece, size_t segment) const;
  void CountPiece(const std::vector<CodecTensor>& batch, const Piece& piece, Scratch& scratch,
                  double* residual);
  void EncodePiece(const std::vector<CodecTensor>& batch, const Piece& piece, Scratch& scratch, Block* block);
  /// Bytes read for a piece, for progress.
  uint64_t PieceBytes(const std::vector<CodecTensor>& batch, const Piece& piece) const;
  void Append(const Piece& piece, const Block& block, std::vector<uint8_t>* codes);

  StepQuantizer quantizer_;
  EncoderState state_;
  StepLayout layout_;
  std::shared_ptr<File> out_;
  uint64_t offset_;
  std::mutex counts_mutex_;
  std::vector<StepCounts> counts_;  ///< [tensors]
  StepTables tables_;
  Block pending_;  ///< the first segments of a joint block whose last are still to come
  CodedResult result_;
};

}  // namespace taskfold
