#include "ops/resident_upload.h"

#include <algorithm>

#include "core/thread_pool.h"
#include "ops/work_list.h"

namespace taskfold {
namespace {

// Long enough for copies at full speed, short enough that lanes share a tensor and a cancel is seen soon.
constexpr uint64_t kPieceBytes = uint64_t{8} << 20;

uint64_t Pieces(uint64_t bytes) { return (bytes + kPieceBytes - 1) / kPieceBytes; }
uint64_t PieceLength(uint64_t bytes, uint64_t offset) { return std::min(kPieceBytes, bytes - offset); }

}  // namespace

void UploadPieces(const std::vector<ResidentPiece>& pieces, const LaneLease& lanes, RunControl& control) {
  WorkList list;
  for (const ResidentPiece& piece : pieces) list.Add(Pieces(piece.from.length()));
  ParallelFor(list.items(), static_cast<unsigned>(lanes.size()), [&](size_t item, unsigned worker) {
    control.ThrowIfCancelled();
    const auto [which, number] = list.Find(item);
    const ResidentPiece& piece = pieces[which];
    const uint64_t offset = number * kPieceBytes;
    const uint64_t length = PieceLength(piece.from.length(), offset);
    NamingTensor(piece.name, [&] { lanes[worker].Upload(piece.to + offset, piece.from, offset, length); });
    control.AddProgress(length);
  });
  for (size_t lane = 0; lane < lanes.size(); lane++) lanes[lane].Wait();
}

void DownloadBytes(const uint8_t* from, const Region& out, const LaneLease& lanes, RunControl& control) {
  const uint64_t bytes = out.length();
  ParallelFor(static_cast<size_t>(Pieces(bytes)), static_cast<unsigned>(lanes.size()),
              [&](size_t number, unsigned worker) {
                control.ThrowIfCancelled();
                const uint64_t offset = number * kPieceBytes;
                const uint64_t length = PieceLength(bytes, offset);
                lanes[worker].Download(out, offset, from + offset, length);
                control.AddProgress(length);
              });
}

}  // namespace taskfold
