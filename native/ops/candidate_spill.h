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

/// What the merging pass sets aside so that the inputs are read only once: of each task the entries whose key is
/// at least the lower bound of its window, with θ* there. When the exact threshold turns out to be at or above
/// that bound, the delta is made of them alone. Everything is optional: what is missing (another run merged it,
/// the limit was reached, the disk was full) is read from the inputs again, with the same result.
///
/// One unnamed file a task; memory holds 16 bytes a piece. Put may run on many threads.
class CandidateSpill {
 public:
  /// Candidates of one piece as they lie in the file: θt's items, θ*'s items, positions in the block (u16).
  struct Piece {
    uint64_t offset = 0;
    uint32_t count = 0;
    bool present = false;
  };
  /// One tensor of one task.
  struct Column {
    uint32_t low = 0;
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
  std::shared_ptr<Tensor> Begin(const std::string& name, uint64_t elements, Dtype dtype, size_t piece_elements,
                                const std::vector<TfWindow>& windows);
  /// Stores the marked ones of elements [first, first + n), a piece of the tensor. Uses one slot of the scratch.
  void Put(Tensor& tensor, size_t task, uint64_t first, size_t n, const uint64_t* bits, const void* merged,
           const void* values, Scratch& scratch, size_t slot);

  /// The tensor when all its pieces are there and every entry of at least that key is among them; else null.
  const Tensor* Find(const std::string& name, size_t task, uint64_t elements, Dtype dtype,
                     uint32_t key) const;
  /// Bytes of a piece in the file; θ*'s items begin at ItemBytes, the positions at 2 × ItemBytes.
  static size_t ItemBytes(size_t count, Dtype dtype) { return (count * ItemSize(dtype) + 7) / 8 * 8; }
  static size_t PieceBytes(size_t count, Dtype dtype) {
    return 2 * ItemBytes(count, dtype) + count * sizeof(uint16_t);
  }
  void Read(size_t task, const Piece& piece, Dtype dtype, void* to) const;

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
