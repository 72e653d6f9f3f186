#include "ops/emit_spilled.h"

#include <cstring>

#include "core/thread_pool.h"

namespace taskfold {
namespace {

enum Slot : size_t { kRaw, kNone };

using Doubtful = CandidateSpill::Doubtful;
using Piece = CandidateSpill::Piece;

/// Copies the values of a piece that are kept to `values`, and clears the marks of the others.
void Trim(const Piece& piece, const Doubtful* doubtful, uint64_t* bits, const uint8_t* candidates,
          size_t item, uint32_t threshold, uint64_t ties, uint8_t* values) {
  size_t from = 0;  // first candidate that is not copied yet
  const auto copy_to = [&](size_t end) {
    memcpy(values, candidates + from * item, (end - from) * item);
    values += (end - from) * item;
  };
  for (uint32_t i = 0; i < piece.doubtful; i++) {
    const auto& [rank, position, key] = doubtful[i];
    if (key > threshold) continue;
    if (key == threshold && ties > 0) {
      ties--;
      continue;
    }
    copy_to(rank);
    from = rank + size_t{1};
    bits[position / 64] &= ~(uint64_t{1} << (position % 64));
  }
  copy_to(piece.count);
}

}  // namespace

void SpillEmitter::Emit(const CandidateSpill& spill, const CandidateSpill::Tensor& source, size_t task,
                        const Threshold& threshold, uint64_t* ties, ValueStore& kept_values, MarkStore& marks,
                        std::vector<uint64_t>& starts, RunControl& control) {
  const size_t item = ItemSize(source.dtype), size = source.piece_elements;
  const std::vector<Piece>& pieces = source.columns[task].pieces;
  uint64_t kept = 0;
  for (size_t first = 0; first < pieces.size(); first += group_) {
    control.ThrowIfCancelled();
    const size_t count = std::min(group_, pieces.size() - first);
    ParallelFor(count, control.threads(), [&](size_t u, unsigned) {
      const Piece& piece = pieces[first + u];
      Unit& unit = units_[u];
      unit = {};
      unit.elements = std::min<uint64_t>(size, source.elements - (first + u) * size);
      const size_t bytes = CandidateSpill::PieceBytes(piece, unit.elements, source.dtype);
      unit.raw = scratch_[u].Get(kRaw, bytes);
      spill.Read(task, piece, unit.elements, source.dtype, unit.raw);
      const auto* doubtful = reinterpret_cast<const Doubtful*>(unit.raw);
      for (uint32_t i = 0; piece.count > 0 && i < piece.doubtful; i++) {
        unit.below += doubtful[i].key < threshold.key;
        unit.equal += doubtful[i].key == threshold.key;
      }
    });
    std::vector<uint64_t> places(count + 1, 0);
    for (size_t u = 0; u < count; u++) {
      Unit& unit = units_[u];
      unit.ties = std::min(*ties, unit.equal);
      *ties -= unit.ties;
      places[u + 1] = places[u] + pieces[first + u].count - unit.below - (unit.equal - unit.ties);
      const uint64_t end = (first + u) * size + unit.elements;
      if (end % kBlockElements == 0 || end == source.elements) starts.push_back(kept + places[u + 1]);
    }
    const uint64_t before = kept;
    kept += places[count];
    uint8_t* values = gathered_.Get(0, places[count] * item);
    ParallelFor(count, control.threads(), [&](size_t u, unsigned) {
      const Piece& piece = pieces[first + u];
      const Unit& unit = units_[u];
      const size_t words = CandidateSpill::Words(unit.elements);
      const uint64_t at = (first + u) * size / 8;
      if (piece.count == 0) {
        auto* none = scratch_[u].Array<uint64_t>(kNone, words);
        memset(none, 0, words * sizeof(uint64_t));
        return marks.PutAt(at, none, words * sizeof(uint64_t));
      }
      const auto* doubtful = reinterpret_cast<const Doubtful*>(unit.raw);
      auto* bits = reinterpret_cast<uint64_t*>(unit.raw + piece.doubtful * sizeof(Doubtful));
      const uint8_t* candidates = reinterpret_cast<const uint8_t*>(bits + words);
      Trim(piece, doubtful, bits, candidates, item, threshold.key, unit.ties, values + places[u] * item);
      marks.PutAt(at, bits, words * sizeof(uint64_t));
    });
    kept_values.Put(before * item, values, places[count] * item);
  }
}

}  // namespace taskfold
