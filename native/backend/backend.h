#pragma once
#include <stddef.h>
#include <stdint.h>

// The one interface between the algorithms (ops) and the machines that run them (cpu, cuda): a plain C table,
// because no STL type and no exception may cross a shared library's edge. Everything was checked above it: an
// entry trusts its arguments and cannot fail. Each entry works on one piece of a tensor that lies in memory,
// at most TF_MAX_PIECE elements, and is called from many threads at once.
//
// Promise of every entry here: the same bits on every backend and SIMD target, as the scalar code in core/
// says.

#ifdef __cplusplus
extern "C" {
#endif

#define TF_BACKEND_ABI 1
/// Elements of one block of a pack, and the most that any entry is given. Positions fit in 16 bits.
#define TF_MAX_PIECE 65536

/// A window of the key space: keys low … end-1 are collected, keys ≥ end are counted.
typedef struct TfWindow {
  uint32_t low;
  uint32_t end;
} TfWindow;

/// What one piece holds for one task.
typedef struct TfTally {
  uint64_t above;   ///< keys ≥ end
  uint32_t inside;  ///< keys inside the window, written to keys[0 … inside)
  int32_t has_nan;  ///< a residual is NaN
  uint32_t* keys;   ///< caller's, room for n
} TfTally;

/// What a threshold selects in one piece.
typedef struct TfMarks {
  uint32_t at_least;  ///< keys ≥ threshold
  uint32_t equal;     ///< keys == threshold
  int32_t has_nan;
} TfMarks;

typedef struct TfBackend {
  int32_t abi;
  const char* name;

  /// out[i] = round(fma(lambda, Σt(tasks[t][i] − base[i]), base[i])), the sum in task order in f32 from 0.
  /// base, tasks[0 … task_count), out: [n] of dtype; out may not overlap the inputs.
  void (*merge)(int32_t dtype, size_t n, const void* base, const void* const* tasks, size_t task_count,
                float lambda, void* out);
  /// Ranks u = task − merged: tallies keys against the window. merged null: u = task.
  void (*tally)(int32_t dtype, size_t n, const void* merged, const void* task, TfWindow window,
                TfTally* tally);
  /// The same; also sets bit i of bits (LSB first, ⌈n/64⌉ words, spare bits 0) where the key is ≥ window.low,
  /// and of the ⌈n/64⌉ words behind them where it is inside the window.
  void (*tally_marks)(int32_t dtype, size_t n, const void* merged, const void* task, TfWindow window,
                      TfTally* tally, uint64_t* bits);
  /// Sets bit i of marks (LSB first, ⌈n/64⌉ words, spare bits 0) where key(task[i] − merged[i]) ≥ threshold.
  void (*mark)(int32_t dtype, size_t n, const void* merged, const void* task, uint32_t threshold,
               uint64_t* bits, TfMarks* marks);
  /// Copies the marked items of src, in order, to out. Returns how many.
  size_t (*gather)(size_t item_size, size_t n, const uint64_t* bits, const void* src, void* out);
  /// Writes the positions of the set bits, ascending. Returns how many.
  size_t (*positions)(size_t n, const uint64_t* bits, uint16_t* out);
  /// dst[position[i]] = values[i]. Returns 0 when the positions are not strictly ascending or not below n
  /// (dst is then unspecified), else 1.
  int32_t (*scatter_u16)(size_t item_size, size_t n, void* dst, const uint16_t* positions, const void* values,
                         size_t count);
  /// The same with a bitmap. The caller has checked that the number of set bits is the number of values.
  void (*scatter_bitmap)(size_t item_size, size_t n, void* dst, const uint64_t* bits, const void* values);
  /// f32 out[i] = src[i], exact.
  void (*widen)(int32_t dtype, size_t n, const void* src, float* out);
  /// f32 out[i] = task[i] − minus[i], minus null: task[i]. Returns 0 when one of
  /// them is NaN or infinite, else 1.
  int32_t (*difference)(int32_t dtype, size_t n, const void* task, const void* minus, float* out);
  /// out[i] = round(src[i]).
  void (*narrow)(int32_t dtype, size_t n, const float* src, void* out);
} TfBackend;

#ifdef __cplusplus
}
#endif
