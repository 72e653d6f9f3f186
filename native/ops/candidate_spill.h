#pragma once
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "core/dtype.h"
#include "core/file.h"
#include "ops/scratch.h"

namespace taskfold {

/// What the merging pass sets aside so that the inputs are read only once: of each task the entries whose key
/// is at least the lower bound of its window, with θ* there. When the exact threshold turns out to be at or
/// above that bound, the delta is made of them alone. Everything is optional: what is missing (another run
/// merged it, the limit was reached, the disk was full) is read from the inputs again, with the same result.
///
/// One unnamed file a task; memory holds 16 bytes a piece. Put may run on many threads.
class CandidateSpill {
 public:
  /// A candidate inside the window: only the exact threshold decides on it. Those above are kept.
  struct Doubtful {
    uint16_t rank;      ///< among the piece's candidates
    uint16_t position;  ///< in the piece
    uint32_t key;
  };
  /// Candidates of one piece as they lie in the file: the doubtful ones, one bit an element, θt's items.
  struct Piece {
    static constexpr uint64_t kMissing = ~uint64_t{0};
    uint64_t offset = kMissing;
    uint32_t count = 0;
    uint32_t doubtful = 0;
  };
  /// What counting a piece of one task finds.
  struct Found {
    const uint64_t* marked;  ///< [⌈n/64⌉] keys from the window's lower end on
    const uint64_t* inside;  ///< [⌈n/64⌉] of them inside the window
    const uint32_t* keys;    ///< of those, in order
    uint32_t inside_count;
  };
  /// One tensor of one task.
  struct Column {
    TfWindow window{0, 0};
    bool wanted = false;
    std::vector<Piece> pieces;
  };
  struct Tensor {
    uint64_t elements = 0;
    Dtype dtype = Dtype::kF32;
    size_t piece_elements = 0;
    std::vector<Column> columns;
  };

  /// `limits[t]`: bytes that the file of task t may have. The files lie beside `beside`.
  CandidateSpill(std::string beside, std::vector<uint64_t> limits);

  size_t tasks() const { return limits_.size(); }
  /// Begins a tensor anew, `windows[t]` of each task; an empty window or one from 0 on is not worth it. Null:
  /// too many pieces to remember.
  std::shared_ptr<Tensor> Begin(const std::string& name, uint64_t elements, Dtype dtype,
                                size_t piece_elements, const std::vector<TfWindow>& windows);
  /// Stores the candidates of elements [first, first + n), a piece of the tensor. Uses one slot of the
  /// scratch.
  void Put(Tensor& tensor, size_t task, uint64_t first, size_t n, const Found& found, const void* values,
           Scratch& scratch, size_t slot);

  /// The tensor when all its pieces are there and decide on a threshold of that key; else null.
  const Tensor* Find(const std::string& name, size_t task, uint64_t elements, Dtype dtype,
                     uint32_t key) const;
  static size_t Words(size_t n) { return (n + 63) / 64; }
  /// Bytes of a piece of n elements in the file.
  static size_t PieceBytes(const Piece& piece, size_t n, Dtype dtype) {
    if (piece.count == 0) return 0;
    return piece.doubtful * sizeof(Doubtful) + Words(n) * sizeof(uint64_t) + piece.count * ItemSize(dtype);
  }
  void Read(size_t task, const Piece& piece, size_t n, Dtype dtype, void* to) const;

 private:
  struct TaskFile {
    std::atomic<uint64_t> end{0};
    std::shared_ptr<File> file;
    /// The disk was full: nothing more is stored.
    std::atomic<bool> failed{false};
  };
  /// Null when it cannot be made.
  File* FileOf(size_t task);

  std::string beside_;
  std::vector<uint64_t> limits_;
  std::vector<TaskFile> files_;
  std::mutex mutex_;  // of tensors_, remembered_ and the opening of files
  std::map<std::string, std::shared_ptr<Tensor>> tensors_;
  uint64_t remembered_ = 0;
};

}  // namespace taskfold
