#pragma once
#include <cstdint>
#include <functional>
#include <vector>

#include "core/region.h"
#include "device/device_health.h"
#include "device/device_memory.h"

namespace taskfold {

/// One stream of a device with its working memory, driven by one thread at a time (LaneLease). Everything is
/// queued in order and runs while the thread goes on; only Wait, Download and a full staging buffer wait.
class Lane {
 public:
  /// Starts nothing before it is used. `memory_bytes`: device memory that it may hold at most.
  Lane(const CudaLibrary& cuda, DeviceHealth& health, int32_t device, uint64_t memory_bytes)
      : cuda_(cuda), health_(health), device_(device), memory_bytes_(memory_bytes) {}

  int32_t device() const { return device_; }
  const CudaLibrary& cuda() const { return cuda_; }
  tf_cuda_queue* queue() const { return queue_.get(); }
  uint64_t memory_bytes() const { return memory_bytes_; }

  /// Device memory by slot number: at least `bytes`, aligned to 256. Keeps its contents until it has to grow;
  /// growing waits for what is queued. OUT_OF_MEMORY when the lane's slots of this lease would exceed
  /// memory_bytes().
  void* Get(size_t slot, uint64_t bytes);
  template <class T>
  T* Array(size_t slot, uint64_t count) {
    return static_cast<T*>(Get(slot, count * sizeof(T)));
  }

  /// Queues a kernel: Launch("merging", cuda().merge, job). `doing` is for messages.
  template <class Function, class Job>
  void Launch(const char* doing, Function function, const Job& job) {
    health_.Call(device_, doing, function, queue_.get(), &job);
  }
  /// Between device memory and device or pinned memory, which stays untouched until Wait.
  void Copy(void* to, const void* from, uint64_t bytes);
  void Fill(void* to, uint8_t byte, uint64_t bytes);
  /// Waits for everything queued; throws what went wrong since the last time.
  void Wait();

  /// Bytes [offset, offset + bytes) of a region to the device, through pinned memory. The region is read
  /// before it returns.
  void Upload(void* to, const Region& from, uint64_t offset, uint64_t bytes);
  /// Host memory to the device; read before it returns.
  void Upload(void* to, const void* from, uint64_t bytes);
  /// Waits, and hands the bytes to consume(piece, offset of the piece, its length) in order.
  void Download(const void* from, uint64_t bytes,
                const std::function<void(const uint8_t*, uint64_t, size_t)>& consume);
  void Download(const Region& to, uint64_t offset, const void* from, uint64_t bytes);
  void Download(void* to, const void* from, uint64_t bytes);

  /// Called by LaneLease at both ends. End never throws: a stream that does not come to rest is thrown away.
  void Begin();
  void End() noexcept;
  /// Gives stream and memory back.
  void Clear() noexcept;

 private:
  struct Slot {
    DeviceMemory memory;
    uint64_t lease = 0;
  };
  /// Part of the staging buffer that nothing queued uses, 1 … `most` bytes; waits when all is in use.
  uint8_t* Stage(uint64_t most, size_t* length);
  /// Frees slots that this lease has not asked for.
  void DropOldSlots();
  uint64_t Held() const;

  const CudaLibrary& cuda_;
  DeviceHealth& health_;
  int32_t device_;
  uint64_t memory_bytes_;
  // Destroyed in reverse: the queue first, which waits for whatever uses the memory.
  std::vector<Slot> slots_;
  PinnedMemory staging_;
  uint64_t staged_ = 0;
  uint64_t lease_ = 0;
  Queue queue_;
};

}  // namespace taskfold
