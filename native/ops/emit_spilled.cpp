#include "ops/emit_spilled.h"

#include "backend/registry.h"
#include "core/thread_pool.h"

namespace taskfold {
namespace {

enum Slot : size_t { kRaw, kDense };

/// Marks over candidates become marks over elements.
void Spread(const MarkedBlock& unit, const uint16_t* positions, size_t origin, size_t words, uint64_t* dense) {
  memset(dense, 0, words * sizeof(uint64_t));
  for (size_t w = 0; w < (unit.elements + 63) / 64; w++) {
    for (uint64_t word = unit.bits[w]; word != 0; word &= word - 1) {
      const size_t at = positions[w * 64 + static_cast<size_t>(__builtin_ctzll(word))] - origin;
      dense[at / 64] |= uint64_t{1} << (at % 64);
    }
  }
}

}  // namespace

void SpillEmitter::Emit(const CandidateSpill& spill, const CandidateSpill::Tensor& source, size_t task,
                        const Threshold& threshold, uint64_t* ties, ArrayWriter& writer, MarkStore& marks,
                        std::vector<uint64_t>& starts, RunControl& control) {
  const TfBackend& backend = ActiveBackend();
  const size_t item = ItemSize(source.dtype), size = source.piece_elements;
  const std::vector<CandidateSpill::Piece>& pieces = source.columns[task].pieces;
  uint64_t kept = 0;
  for (size_t first = 0; first < pieces.size(); first += group_) {
    control.ThrowIfCancelled();
    const size_t count = std::min(group_, pieces.size() - first);
    const uint32_t key = MarkingKey(threshold, *ties);
    ParallelFor(count, control.threads(), [&](size_t u, unsigned) {
      const CandidateSpill::Piece& piece = pieces[first + u];
      uint8_t* raw = scratch_[u].Get(kRaw, CandidateSpill::PieceBytes(piece.count, source.dtype));
      spill.Read(task, piece, source.dtype, raw);
      MarkedBlock& unit = units_[u];
      unit.elements = piece.count;
      unit.values = raw;
      unit.merged = raw + CandidateSpill::ItemBytes(piece.count, source.dtype);
      backend.mark(static_cast<int32_t>(source.dtype), piece.count, unit.merged, unit.values, key, unit.bits,
                   &unit.marks);
    });
    SettleTies(source.dtype, threshold, key, ties, units_.data(), count);
    std::vector<uint64_t> places(count + 1, 0);
    for (size_t u = 0; u < count; u++) {
      places[u + 1] = places[u] + units_[u].kept;
      kept += units_[u].kept;
      const uint64_t end = std::min<uint64_t>((first + u + 1) * size, source.elements);
      if (end % kBlockElements == 0 || end == source.elements) starts.push_back(kept);
    }
    uint8_t* values = gathered_.Get(0, places[count] * item);
    ParallelFor(count, control.threads(), [&](size_t u, unsigned) {
      const MarkedBlock& unit = units_[u];
      backend.gather(item, unit.elements, unit.bits, unit.values, values + places[u] * item);
      const uint64_t begin = (first + u) * size;
      const size_t words = (std::min<uint64_t>(size, source.elements - begin) + 63) / 64;
      auto* dense = scratch_[u].Array<uint64_t>(kDense, words);
      const auto* positions = reinterpret_cast<const uint16_t*>(
          static_cast<const uint8_t*>(unit.merged) + CandidateSpill::ItemBytes(unit.elements, source.dtype));
      Spread(unit, positions, begin % kBlockElements, words, dense);
      marks.PutAt(begin / 8, dense, words * sizeof(uint64_t));
    });
    writer.Append(values, places[count] * item);
  }
}

}  // namespace taskfold
