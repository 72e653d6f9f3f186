#pragma once
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

#include "core/error.h"
#include "core/thread_pool.h"

namespace taskfold {

/// Reusable aligned buffers of one worker, by slot number. Contents are undefined after Get.
class Scratch {
 public:
  uint8_t* Get(size_t slot, size_t bytes) {
    if (slot >= slots_.size()) slots_.resize(slot + 1);
    Slot& buffer = slots_[slot];
    if (buffer.size < bytes) {
      const size_t size = (std::max<size_t>(bytes, 64) + 63) & ~size_t{63};
      buffer.data.reset(static_cast<uint8_t*>(std::aligned_alloc(64, size)));
      if (!buffer.data) {
        buffer.size = 0;
        throw Error("OUT_OF_MEMORY", "cannot allocate " + std::to_string(size) + " bytes of working memory");
      }
      buffer.size = size;
    }
    return buffer.data.get();
  }
  template <class T>
  T* Array(size_t slot, size_t count) {
    return reinterpret_cast<T*>(Get(slot, count * sizeof(T)));
  }

 private:
  struct Free {
    void operator()(uint8_t* data) const { std::free(data); }
  };
  struct Slot {
    std::unique_ptr<uint8_t, Free> data;
    size_t size = 0;
  };
  std::vector<Slot> slots_;
};

/// One Scratch for each worker that ParallelFor may use.
class ScratchPerWorker {
 public:
  explicit ScratchPerWorker(unsigned threads) : workers_(threads == 0 ? MachineThreads() : threads) {}
  Scratch& operator[](unsigned worker) { return workers_[worker]; }

 private:
  std::vector<Scratch> workers_;
};

}  // namespace taskfold
