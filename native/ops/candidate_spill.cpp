#include "ops/candidate_spill.h"

#include <bit>
#include <cstring>

#include "backend/registry.h"
#include "core/error.h"

namespace taskfold {
namespace {

// Pieces of all tensors and tasks together: 64 MiB of memory at most.
constexpr uint64_t kMaxPieces = uint64_t{4} << 20;

size_t Marked(size_t words, const uint64_t* bits) {
  size_t count = 0;
  for (size_t w = 0; w < words; w++) count += static_cast<size_t>(std::popcount(bits[w]));
  return count;
}

/// Lists the entries inside the window with their ranks among all marked ones.
void ListDoubtful(size_t words, const CandidateSpill::Found& found, CandidateSpill::Doubtful* out) {
  size_t before = 0, next = 0;
  for (size_t w = 0; w < words; w++) {
    for (uint64_t word = found.inside[w]; word != 0; word &= word - 1) {
      const auto bit = static_cast<size_t>(std::countr_zero(word));
      const uint64_t lower = found.marked[w] & ((uint64_t{1} << bit) - 1);
      out[next] = {static_cast<uint16_t>(before + static_cast<size_t>(std::popcount(lower))),
                   static_cast<uint16_t>(w * 64 + bit), found.keys[next]};
      next++;
    }
    before += static_cast<size_t>(std::popcount(found.marked[w]));
  }
}

}  // namespace

CandidateSpill::CandidateSpill(std::string beside, std::vector<uint64_t> limits)
    : beside_(std::move(beside)), limits_(std::move(limits)), files_(limits_.size()) {}

std::shared_ptr<CandidateSpill::Tensor> CandidateSpill::Begin(const std::string& name, uint64_t elements,
                                                              Dtype dtype, size_t piece_elements,
                                                              const std::vector<TfWindow>& windows) {
  const std::lock_guard<std::mutex> lock(mutex_);
  tensors_.erase(name);
  const uint64_t pieces = (elements + piece_elements - 1) / piece_elements;
  // Only ever counted up: a tensor is begun again after an error at most.
  if (pieces > kMaxPieces || remembered_ + pieces * windows.size() > kMaxPieces) return nullptr;
  remembered_ += pieces * windows.size();
  auto tensor =
      std::make_shared<Tensor>(Tensor{elements, dtype, piece_elements, std::vector<Column>(windows.size())});
  for (size_t t = 0; t < windows.size(); t++) {
    Column& column = tensor->columns[t];
    column.window = windows[t];
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

void CandidateSpill::Put(Tensor& tensor, size_t task, uint64_t first, size_t n, const Found& found,
                         const void* values, Scratch& scratch, size_t slot) {
  Column& column = tensor.columns[task];
  TaskFile& entry = files_[task];
  if (!column.wanted || entry.failed.load(std::memory_order_relaxed)) return;
  const size_t words = Words(n);
  Piece piece{0, static_cast<uint32_t>(Marked(words, found.marked)), found.inside_count};
  const size_t bytes = PieceBytes(piece, n, tensor.dtype);
  piece.offset = entry.end.fetch_add(bytes, std::memory_order_relaxed);
  if (piece.offset + bytes > limits_[task]) {
    entry.failed.store(true, std::memory_order_relaxed);
    return;
  }
  if (piece.count > 0) {
    uint8_t* out = scratch.Get(slot, bytes);
    ListDoubtful(words, found, reinterpret_cast<Doubtful*>(out));
    uint8_t* bits = out + piece.doubtful * sizeof(Doubtful);
    memcpy(bits, found.marked, words * sizeof(uint64_t));
    ActiveBackend().gather(ItemSize(tensor.dtype), n, found.marked, values, bits + words * sizeof(uint64_t));
    try {
      FileOf(task)->WriteAt(out, bytes, piece.offset);
    } catch (const Error&) {
      // The family itself may still fit; if not, its own writes say so.
      entry.failed.store(true, std::memory_order_relaxed);
      return;
    }
  }
  column.pieces[first / tensor.piece_elements] = piece;
}

const CandidateSpill::Tensor* CandidateSpill::Find(const std::string& name, size_t task, uint64_t elements,
                                                   Dtype dtype, uint32_t key) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end() || task >= found->second->columns.size()) return nullptr;
  const Tensor& tensor = *found->second;
  const Column& column = tensor.columns[task];
  if (tensor.elements != elements || tensor.dtype != dtype || !column.wanted || key < column.window.low ||
      key >= column.window.end) {
    return nullptr;
  }
  for (const Piece& piece : column.pieces) {
    if (piece.offset == Piece::kMissing) return nullptr;
  }
  return &tensor;
}

void CandidateSpill::Read(size_t task, const Piece& piece, size_t n, Dtype dtype, void* to) const {
  if (piece.count > 0) files_[task].file->ReadAt(to, PieceBytes(piece, n, dtype), piece.offset);
}

}  // namespace taskfold
