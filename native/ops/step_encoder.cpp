#include "ops/step_encoder.h"

#include "core/block_scatter.h"
#include "core/thread_pool.h"
#include "ops/block_marks.h"
#include "ops/operand_reader.h"

namespace taskfold {
namespace {

void CountTokens(const StepEntries& entries, StepCounts* counts) {
  uint32_t behind = 0;
  for (size_t i = 0; i < entries.codes.size(); i++) {
    const int32_t q = entries.codes[i];
    counts->run[EncodeNumber(entries.positions[i] - behind).token]++;
    counts->level[EncodeNumber(static_cast<uint32_t>(q < 0 ? -q : q) - 1).token]++;
    behind = entries.positions[i] + 1U;
  }
  counts->segments += entries.codes.empty() ? 0 : 1;
}

}  // namespace

StepEncoder::StepEncoder(float step, float dead_zone, std::vector<CodedTensor> tensors,
                         std::shared_ptr<File> out, uint64_t offset)
    : quantizer_(step, dead_zone),
      state_(std::move(tensors)),
      layout_(state_.tensors()),
      out_(std::move(out)),
      offset_(offset),
      counts_(state_.tensors().size()) {
  if (!out_->writable()) {
    throw Error("INVALID_ARGUMENT", out_->path() + " is open for reading only").File(out_->path());
  }
}

/// The pieces of the next `count` tensors, in the order of blocks.
std::vector<StepEncoder::Piece> StepEncoder::PiecesOf(size_t count) const {
  std::vector<Piece> pieces;
  const size_t end = state_.seen() + count;
  for (size_t t = state_.seen(); t < end;) {
    const StepUnit& unit = layout_.UnitOfTensor(t);
    const size_t unit_end = unit.tensor + unit.tensors;
    if (unit.joint()) {
      const size_t behind = std::min(end, unit_end);
      pieces.push_back({unit.block, t, behind - t, 0, behind == unit_end});
      t = behind;
      continue;
    }
    const uint64_t blocks = layout_.Blocks(unit);
    for (uint64_t b = 0; b < blocks; b++) {
      pieces.push_back({unit.block + b, t, 1, b * kBlockElements, true});
    }
    t++;
  }
  return pieces;
}

size_t StepEncoder::SegmentElements(const Piece& piece, size_t segment) const {
  return std::min(kBlockElements, state_.tensors()[piece.tensor + segment].elements() - piece.first);
}

uint64_t StepEncoder::PieceBytes(const std::vector<CodecTensor>& batch, const Piece& piece) const {
  uint64_t bytes = 0;
  for (size_t s = 0; s < piece.tensors; s++) {
    const CodecTensor& tensor = batch[piece.tensor + s - state_.seen()];
    bytes += SegmentElements(piece, s) * (ItemSize(tensor.task.dtype) + ItemSize(tensor.shape.dtype));
  }
  return bytes;
}

void StepEncoder::CountPiece(const std::vector<CodecTensor>& batch, const Piece& piece, Scratch& scratch,
                             double* residual) {
  for (size_t s = 0; s < piece.tensors; s++) {
    const size_t place = piece.tensor + s;
    const CodecTensor& tensor = batch[place - state_.seen()];
    NamingTensor(tensor.shape.name, [&, segment = s] {
      const size_t n = SegmentElements(piece, segment);
      QuantizedSegment quantized;
      QuantizeSegment(quantizer_, tensor, piece.first, n, StepSum::kResidual, scratch, 0, &quantized);
      StepCounts counts;
      counts.elements = n;
      CountTokens(quantized.entries, &counts);
      residual[segment] = quantized.squared;
      const std::lock_guard<std::mutex> lock(counts_mutex_);
      counts_[place] += counts;
    });
  }
}

void StepEncoder::Count(const std::vector<CodecTensor>& batch, RunControl& control) {
  control.ThrowIfCancelled();
  state_.Pass(EncoderState::Stage::kCount, batch, [&] {
    const std::vector<Piece> pieces = PiecesOf(batch.size());
    std::vector<std::vector<double>> residuals(pieces.size());
    ScratchPerWorker scratches(control.threads());
    ParallelFor(pieces.size(), control.threads(), [&](size_t i, unsigned worker) {
      control.ThrowIfCancelled();
      residuals[i].resize(pieces[i].tensors);
      CountPiece(batch, pieces[i], scratches[worker], residuals[i].data());
      control.AddProgress(PieceBytes(batch, pieces[i]));
    });
    for (const std::vector<double>& piece : residuals) {
      for (const double residual : piece) result_.residual_squared += residual;
    }
  });
}

void StepEncoder::Prepare() {
  state_.Advance(EncoderState::Stage::kCount, EncoderState::Stage::kEncode, [&] {
    tables_ = ChooseStepTables(counts_);
    for (const StepCounts& counts : counts_) result_.kept += counts.entries();
    result_.entropy_bits = tables_.entropy_bits;
    WriteVarint(tables_.pairs.size(), &result_.tables);
    for (const StepPair& pair : tables_.pairs) {
      pair.run.Write(&result_.tables);
      pair.level.Write(&result_.tables);
    }
    counts_ = {};
  });
}

void StepEncoder::EncodePiece(const std::vector<CodecTensor>& batch, const Piece& piece, Scratch& scratch,
                              Block* block) {
  for (size_t s = 0; s < piece.tensors; s++) {
    const CodecTensor& tensor = batch[piece.tensor + s - state_.seen()];
    NamingTensor(tensor.shape.name, [&, segment = s] {
      QuantizedSegment quantized;
      QuantizeSegment(quantizer_, tensor, piece.first, SegmentElements(piece, segment), StepSum::kError,
                      scratch, 0, &quantized);
      block->segments.push_back(std::move(quantized.entries));
      block->errors.push_back(quantized.squared);
    });
  }
  if (!piece.complete) return;
  const size_t first = piece.tensor + piece.tensors - block->segments.size();
  std::vector<StepSegment> segments;
  for (size_t s = 0; s < block->segments.size(); s++) {
    const StepPair* pair = tables_.pairs.empty() ? nullptr : &tables_.pairs[tables_.number[first + s]];
    segments.push_back({&block->segments[s], pair});
  }
  if (!EncodeStepBlock(segments, &block->stream)) {
    const std::string& name = state_.tensors()[piece.tensor].name;
    throw Error("INPUT_CHANGED", name + ": not the values that were counted").Tensor(name);
  }
}

void StepEncoder::Append(const Piece& piece, const Block& block, std::vector<uint8_t>* codes) {
  const size_t first = piece.tensor + piece.tensors - block.segments.size();
  for (size_t s = 0; s < block.segments.size(); s++) {
    const size_t entries = block.segments[s].codes.size();
    WriteVarint(entries, &result_.directory);
    if (entries > 0) WriteVarint(tables_.number[first + s], &result_.directory);
    result_.error_squared += block.errors[s];
  }
  if (block.stream.empty()) return;
  WriteVarint((block.stream.size() - kRansHeader) / 2, &result_.directory);
  codes->insert(codes->end(), block.stream.begin(), block.stream.end());
}

void StepEncoder::Encode(const std::vector<CodecTensor>& batch, RunControl& control) {
  control.ThrowIfCancelled();
  state_.Pass(EncoderState::Stage::kEncode, batch, [&] {
    const std::vector<Piece> pieces = PiecesOf(batch.size());
    ScratchPerWorker scratches(control.threads());
    const size_t group = BlocksPerGroup(control.threads());
    std::vector<uint8_t> codes;
    for (size_t begin = 0; begin < pieces.size(); begin += group) {
      const size_t count = std::min(group, pieces.size() - begin);
      std::vector<Block> blocks(count);
      std::swap(blocks[0], pending_);
      ParallelFor(count, control.threads(), [&](size_t i, unsigned worker) {
        control.ThrowIfCancelled();
        EncodePiece(batch, pieces[begin + i], scratches[worker], &blocks[i]);
        control.AddProgress(PieceBytes(batch, pieces[begin + i]));
      });
      codes.clear();
      for (size_t i = 0; i < count; i++) {
        const Piece& piece = pieces[begin + i];
        if (piece.complete) {
          Append(piece, blocks[i], &codes);
        } else {
          pending_ = std::move(blocks[i]);  // the batch's last
        }
      }
      if (codes.empty()) continue;
      out_->WriteAt(codes.data(), codes.size(), offset_ + result_.codes_bytes);
      result_.codes_bytes += codes.size();
    }
  });
}

CodedResult StepEncoder::Finish() {
  state_.Advance(EncoderState::Stage::kEncode, EncoderState::Stage::kFinished, [] {});
  return std::move(result_);
}

}  // namespace taskfold
