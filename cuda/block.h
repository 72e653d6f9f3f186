#pragma once
// What a kernel's body sees of the threads that run it. A body is a struct with
//
//   static constexpr uint32_t kThreads;          threads of a block, from tuning.h
//   struct Shared { … };                         shared memory of a block, at most 48 KiB
//   template <class Block> TF_KERNEL void operator()(Block& block) const;
//
// and consists of phases, block.ForEach([&](uint32_t thread) { … }), each of which ends with a barrier.
// Inside a phase threads see only what earlier phases wrote. What a thread keeps from one phase to the next
// is a Block::PerThread<T>. So the same body runs on a GPU, and on the CPU as plain loops (HostBlock), in an
// order that tests may turn round: where a body relies on an order, its results change, and a test sees it.
#include <cstdint>
#include <type_traits>
#include <vector>

#ifdef __CUDACC__
#include <cub/block/block_reduce.cuh>
#include <cub/block/block_scan.cuh>
#define TF_KERNEL __device__
#else
#define TF_KERNEL
#endif

namespace taskfold::cuda {

/// 16 bytes that are loaded and stored at once. T: an unsigned integer of 1, 2, 4 or 8 bytes.
template <class T>
struct alignas(16) Vec16 {
  static constexpr uint32_t kItems = 16 / sizeof(T);
  T item[kItems];
};

/// In which order a HostBlock runs threads and blocks.
enum class ThreadOrder { kForward, kBackward, kInterleaved };

/// A block whose threads run one after the other on the CPU.
template <uint32_t kThreadCount>
class HostBlock {
 public:
  static constexpr bool kOnDevice = false;
  HostBlock(uint32_t index, uint32_t blocks, void* shared, ThreadOrder order)
      : index_(index), blocks_(blocks), shared_(shared), order_(order) {}

  uint32_t index() const { return index_; }
  uint32_t blocks() const { return blocks_; }
  static constexpr uint32_t threads() { return kThreadCount; }
  template <class T>
  T& shared() const {
    return *static_cast<T*>(shared_);
  }

  /// A value of each thread that lives as long as this object.
  template <class T>
  class PerThread {
   public:
    explicit PerThread(const HostBlock&) : values_(kThreadCount) {}
    T& operator[](uint32_t thread) { return values_[thread]; }

   private:
    std::vector<T> values_;
  };

  /// One phase: f(thread) for every thread, then a barrier.
  template <class F>
  void ForEach(const F& f) const {
    for (uint32_t i = 0; i < kThreadCount; i++) f(At(i, kThreadCount));
  }
  /// One phase of whole warps: f(warp); on the device all 32 lanes call it together.
  template <class F>
  void ForEachWarp(const F& f) const {
    for (uint32_t i = 0; i < kThreadCount / 32; i++) f(At(i, kThreadCount / 32));
  }

  /// Every thread's value becomes the sum of those of lower threads. Returns the sum of all.
  template <class T>
  T ExclusiveSum(PerThread<T>& values) const {
    T sum = 0;
    for (uint32_t t = 0; t < kThreadCount; t++) {
      const T value = values[t];
      values[t] = sum;
      sum += value;
    }
    return sum;
  }
  /// The sum of all threads' values, for every thread; of floats in an order that is fixed, not this one.
  template <class T>
  T Sum(PerThread<T>& values) const {
    T sum = 0;
    for (uint32_t t = 0; t < kThreadCount; t++) sum += values[t];
    return sum;
  }

  /// Returns what was there.
  template <class T>
  static T AtomicAdd(T* at, T value) {
    const T before = *at;
    *at += value;
    return before;
  }
  template <class T>
  static void AtomicOr(T* at, T value) {
    *at |= value;
  }
  /// Writes `value` if `expected` is there. Returns what was there.
  static uint32_t AtomicCas(uint32_t* at, uint32_t expected, uint32_t value) {
    const uint32_t before = *at;
    if (before == expected) *at = value;
    return before;
  }

 private:
  uint32_t At(uint32_t i, uint32_t n) const {
    switch (order_) {
      case ThreadOrder::kForward:
        return i;
      case ThreadOrder::kBackward:
        return n - 1 - i;
      default:
        return (i % 2 == 0) ? i / 2 : n - 1 - i / 2;
    }
  }
  uint32_t index_, blocks_;
  void* shared_;
  ThreadOrder order_;
};

#ifdef __CUDACC__
/// A block of a grid.
template <uint32_t kThreadCount>
class DeviceBlock {
 public:
  static constexpr bool kOnDevice = true;
  __device__ explicit DeviceBlock(void* shared) : shared_(shared) {}

  __device__ uint32_t index() const { return blockIdx.x; }
  __device__ uint32_t blocks() const { return gridDim.x; }
  __device__ static constexpr uint32_t threads() { return kThreadCount; }
  template <class T>
  __device__ T& shared() const {
    return *static_cast<T*>(shared_);
  }

  template <class T>
  class PerThread {
   public:
    __device__ explicit PerThread(const DeviceBlock&) : value_{} {}
    __device__ T& operator[](uint32_t) { return value_; }

   private:
    T value_;
  };

  template <class F>
  __device__ void ForEach(const F& f) const {
    f(threadIdx.x);
    __syncthreads();
  }
  template <class F>
  __device__ void ForEachWarp(const F& f) const {
    f(threadIdx.x / 32);
    __syncthreads();
  }

  template <class T>
  __device__ T ExclusiveSum(PerThread<T>& values) const {
    using Scan = cub::BlockScan<T, static_cast<int>(kThreadCount)>;
    __shared__ typename Scan::TempStorage storage;
    T sum;
    Scan(storage).ExclusiveSum(values[0], values[0], sum);
    __syncthreads();
    return sum;
  }
  template <class T>
  __device__ T Sum(PerThread<T>& values) const {
    using Reduce = cub::BlockReduce<T, static_cast<int>(kThreadCount)>;
    __shared__ typename Reduce::TempStorage storage;
    __shared__ T sum;
    const T mine = Reduce(storage).Sum(values[0]);
    if (threadIdx.x == 0) sum = mine;
    __syncthreads();
    const T result = sum;
    __syncthreads();
    return result;
  }

  __device__ static uint32_t AtomicAdd(uint32_t* at, uint32_t value) { return atomicAdd(at, value); }
  __device__ static uint64_t AtomicAdd(uint64_t* at, uint64_t value) {
    return atomicAdd(reinterpret_cast<unsigned long long*>(at), static_cast<unsigned long long>(value));
  }
  __device__ static void AtomicOr(uint32_t* at, uint32_t value) { atomicOr(at, value); }
  __device__ static void AtomicOr(uint64_t* at, uint64_t value) {
    atomicOr(reinterpret_cast<unsigned long long*>(at), static_cast<unsigned long long>(value));
  }
  __device__ static uint32_t AtomicCas(uint32_t* at, uint32_t expected, uint32_t value) {
    return atomicCAS(at, expected, value);
  }

 private:
  void* shared_;
};
#endif

}  // namespace taskfold::cuda
