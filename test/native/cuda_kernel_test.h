#pragma once
// The emulated plug-in (test/emulated) for tests of its kernels: a queue, and arrays of device memory.
#include <dlfcn.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "backend/cuda_library.h"
#include "check.h"

/// Device memory of `size` items, freed with this object. Behind them lie bytes that no kernel may change.
template <class T>
class DeviceArray {
 public:
  static constexpr size_t kGuard = 256;
  static constexpr uint8_t kGuardByte = 0xA5;

  DeviceArray() = default;
  DeviceArray(const taskfold::CudaLibrary& cuda, size_t size) : cuda_(&cuda), size_(size) {
    char error[256] = "";
    void* memory = nullptr;
    CHECK(cuda.allocate(0, size * sizeof(T) + kGuard, &memory, error, sizeof error) == TF_CUDA_OK, "%s",
          error);
    data_ = static_cast<T*>(memory);
  }
  DeviceArray(DeviceArray&& other) noexcept { *this = std::move(other); }
  DeviceArray& operator=(DeviceArray&& other) noexcept {
    std::swap(cuda_, other.cuda_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~DeviceArray() {
    if (data_ != nullptr) cuda_->free(0, data_, nullptr, 0);
  }

  /// Not null even when size() is 0; only kernels may look behind it.
  T* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  const taskfold::CudaLibrary* cuda_ = nullptr;
  T* data_ = nullptr;
  size_t size_ = 0;
};

/// The plug-in and one queue of it.
struct CudaTest {
  const taskfold::CudaLibrary& cuda;
  tf_cuda_queue* queue = nullptr;

  CudaTest() : cuda(Open()) {
    char error[256] = "";
    CHECK(cuda.queue_create(0, &queue, error, sizeof error) == TF_CUDA_OK, "%s", error);
  }
  CudaTest(const CudaTest&) = delete;
  CudaTest& operator=(const CudaTest&) = delete;
  ~CudaTest() { cuda.queue_destroy(queue, nullptr, 0); }

  /// Threads and blocks run forward (0), backward (1), interleaved (2) from the next wait on.
  static constexpr int kOrders = 3;
  static void Order(int order) { setenv("TASKFOLD_EMULATED_ORDER", std::to_string(order).c_str(), 1); }

  /// Runs entry(queue, &job): CHECKs that it was accepted. Wait() does the work.
  template <class Entry, class Job>
  void Call(Entry entry, const Job& job) const {
    char error[256] = "";
    const int status = entry(queue, &job, error, sizeof error);
    CHECK(status == TF_CUDA_OK, "status %d: %s", status, error);
  }
  /// The same for a job that is wrong: CHECKs that it is refused as TF_CUDA_INVALID with a message.
  template <class Entry, class Job>
  void Refused(Entry entry, const Job& job) const {
    char error[256] = "";
    const int status = entry(queue, &job, error, sizeof error);
    CHECK(status == TF_CUDA_INVALID && error[0] != '\0', "status %d: %s", status, error);
  }
  void Wait() const {
    char error[256] = "";
    const int status = cuda.queue_wait(queue, error, sizeof error);
    CHECK(status == TF_CUDA_OK, "status %d: %s", status, error);
  }

  /// Its items are unspecified bytes that are not zero.
  template <class T>
  DeviceArray<T> Allocate(size_t size) const {
    DeviceArray<T> array(cuda, size);
    char error[256] = "";
    const int status = cuda.fill(queue, array.data(), DeviceArray<T>::kGuardByte,
                                 size * sizeof(T) + DeviceArray<T>::kGuard, error, sizeof error);
    CHECK(status == TF_CUDA_OK, "status %d: %s", status, error);
    return array;
  }
  template <class T>
  DeviceArray<T> Upload(const std::vector<T>& items) const {
    DeviceArray<T> array = Allocate<T>(items.size());
    Copy(array.data(), items.data(), items.size() * sizeof(T));
    return array;
  }
  /// Waits for the queue. CHECKs that nothing was written behind the array.
  template <class T>
  std::vector<T> Download(const DeviceArray<T>& array) const {
    const size_t bytes = array.size() * sizeof(T);
    std::vector<uint8_t> all(bytes + DeviceArray<T>::kGuard);
    Copy(all.data(), array.data(), all.size());
    Wait();
    for (size_t i = bytes; i < all.size(); i++) {
      CHECK(all[i] == DeviceArray<T>::kGuardByte, "%zu bytes behind the array something was written",
            i - bytes);
    }
    std::vector<T> items(array.size());
    if (bytes > 0) std::memcpy(items.data(), all.data(), bytes);
    return items;
  }

 private:
  static const taskfold::CudaLibrary& Open() {
    // The loader looks for a driver by this library's name; loaded here, it finds it.
    const void* driver = dlopen(TASKFOLD_EMULATED_FOLDER "/libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    CHECK(driver != nullptr, "%s", dlerror());
    std::string reason;
    const taskfold::CudaLibrary* library =
        taskfold::OpenCudaLibrary(TASKFOLD_EMULATED_FOLDER "/taskfold_cuda.so", &reason);
    CHECK(library != nullptr, "%s", reason.c_str());
    return *library;
  }
  void Copy(void* to, const void* from, size_t bytes) const {
    char error[256] = "";
    const int status = cuda.copy(queue, to, from, bytes, error, sizeof error);
    CHECK(status == TF_CUDA_OK, "status %d: %s", status, error);
  }
};
