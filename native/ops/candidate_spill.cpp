#include "ops/candidate_spill.h"

#include <bit>
#include <cstring>

#include "backend/registry.h"
#include "core/block_scatter.h"
#include "core/error.h"

namespace taskfold {
namespace {

// Pieces of all tensors and tasks together: 64 MiB of memory at most.
constexpr uint64_t kMaxPieces = uint64_t{4} << 20;

size_t Marked(size_t n, const uint64_t* bits) {
  size_t count = 0;
  for (size_t w = 0; w < (n + 63) / 64; w++) count += static_cast<size_t>(std::popcount(bits[w]));
  return count;
}

}  // namespace

CandidateSpill::CandidateSpill(std::string beside, std::vector<uint64_t> limits)
    : beside_(std::move(beside)), limits_(std::move(limits)), files_(limits_.size()) {}

std::shared_ptr<CandidateSpill::Tensor> CandidateSpill::Begin(const std::string& name, uint64_t elements, Dtype dtype,
                                              size_t piece_elements, const std::vector<TfWindow>& windows) {
  const std::lock_guard<std::mutex> lock(mutex_);
  tensors_.erase(name);
  const uint64_t pieces = (elements + piece_elements - 1) / piece_elements;
  // Only ever counted up: a tensor is begun again after an error at most.
  if (pieces > kMaxPieces || remembered_ + pieces * windows.size() > kMaxPieces) return nullptr;
  remembered_ += pieces * windows.size();
  auto tensor = std::make_shared<Tensor>(
      Tensor{elements, dtype, piece_elements, std::vector<Column>(windows.size())});
  for (size_t t = 0; t < windows.size(); t++) {
    Column& column = tensor->columns[t];
    column.low = windows[t].low;
    column.wanted = windows[t].low > 0 && windows[t].low < windows[t].end;
    if (column.wanted) column.pieces.resize(pieces);
  }
  tensors_[name] = tensor;
  return tensor;
}

File* CandidateSpill::FileOf(size_t task) {
  const std::lock_guard<std::mutex> lock(mutex_);
  TaskFile& entry = files_[task];
  if (!entry.file) entry.file = File::OpenTemporaryBeside(beside_);
  return entry.file.get();
}

void CandidateSpill::Put(Tensor& tensor, size_t task, uint64_t first, size_t n, const uint64_t* bits,
                         const void* merged, const void* values, Scratch& scratch, size_t slot) {
  Column& column = tensor.columns[task];
  TaskFile& entry = files_[task];
  if (!column.wanted || entry.failed.load(std::memory_order_relaxed)) return;
  Piece& piece = column.pieces[first / tensor.piece_elements];
  const size_t count = Marked(n, bits);
  const size_t bytes = PieceBytes(count, tensor.dtype);
  const uint64_t offset = entry.end.fetch_add(bytes, std::memory_order_relaxed);
  if (offset + bytes > limits_[task]) {
    entry.failed.store(true, std::memory_order_relaxed);
    return;
  }
  const TfBackend& backend = ActiveBackend();
  const size_t item = ItemSize(tensor.dtype), item_bytes = ItemBytes(count, tensor.dtype);
  uint8_t* out = scratch.Get(slot, bytes);
  backend.gather(item, n, bits, values, out);
  memset(out + count * item, 0, item_bytes - count * item);
  backend.gather(item, n, bits, merged, out + item_bytes);
  memset(out + item_bytes + count * item, 0, item_bytes - count * item);
  auto* positions = reinterpret_cast<uint16_t*>(out + 2 * item_bytes);
  backend.positions(n, bits, positions);
  const auto origin = static_cast<uint16_t>(first % kBlockElements);
  if (origin != 0) {
    for (size_t i = 0; i < count; i++) positions[i] = static_cast<uint16_t>(positions[i] + origin);
  }
  try {
    if (count > 0) FileOf(task)->WriteAt(out, bytes, offset);
  } catch (const Error&) {
    // The family itself may still fit; if not, its own writes say so.
    entry.failed.store(true, std::memory_order_relaxed);
    return;
  }
  piece = {offset, static_cast<uint32_t>(count), true};
}

const CandidateSpill::Tensor* CandidateSpill::Find(const std::string& name, size_t task, uint64_t elements,
                                                   Dtype dtype, uint32_t key) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end() || task >= found->second->columns.size()) return nullptr;
  const Tensor& tensor = *found->second;
  const Column& column = tensor.columns[task];
  if (tensor.elements != elements || tensor.dtype != dtype || !column.wanted || key < column.low) {
    return nullptr;
  }
  for (const Piece& piece : column.pieces) {
    if (!piece.present) return nullptr;
  }
  return &tensor;
}

void CandidateSpill::Read(size_t task, const Piece& piece, Dtype dtype, void* to) const {
  if (piece.count > 0) files_[task].file->ReadAt(to, PieceBytes(piece.count, dtype), piece.offset);
}

}  // namespace taskfold
