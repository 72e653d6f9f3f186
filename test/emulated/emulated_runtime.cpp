// The runtime of cuda_runtime.h. Environment variables:
//
//   TASKFOLD_EMULATED_DEVICES      number of devices (1)
//   TASKFOLD_EMULATED_MEMORY       bytes of each device (256 MiB)
//   TASKFOLD_EMULATED_ORDER        0 forward, 1 backward, 2 interleaved threads and blocks
//   TASKFOLD_EMULATED_ERROR        call=error number, error number without a call: the count of devices; e.g.
//                                  "35", "cudaMalloc=2", "cudaStreamSynchronize=719@3" (from the third call on, counted since this
//                                  text was first seen)
//   TASKFOLD_EMULATED_CRASH        name of a call that kills the process with SIGSEGV
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <new>
#include <string>

#include "cuda_runtime.h"

struct EmulatedStream {
  std::deque<std::function<void()>> work;
};

namespace {

constexpr size_t kMostDevices = 8;
constexpr size_t kAlignment = 256;
// All device memory of the process is one range that the host cannot touch while nothing runs on a device.
constexpr size_t kRange = size_t{16} << 30;

size_t Number(const char* name, size_t otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr && *text != '\0' ? std::strtoull(text, nullptr, 10) : otherwise;
}
size_t DeviceCount() { return std::min(Number("TASKFOLD_EMULATED_DEVICES", 1), kMostDevices); }
size_t DeviceMemory() { return Number("TASKFOLD_EMULATED_MEMORY", size_t{256} << 20); }

struct Allocation {
  size_t bytes;
  int device;
};

struct State {
  std::mutex mutex;
  char* range = nullptr;
  std::map<char*, Allocation> device;
  std::map<char*, size_t> pinned;
  size_t used[kMostDevices] = {0};
  int running = 0;
  std::map<std::string, size_t> calls;
};
State& Shared() {
  static State& state = *new State;  // kernels may run while static objects are destroyed
  return state;
}

thread_local int current_device = 0;
thread_local cudaError_t last_error = cudaSuccess;

cudaError_t Fail(cudaError_t error) { return last_error = error; }

/// The fault that a call was told to have.
cudaError_t Fault(const char* call) {
  const char* crash = std::getenv("TASKFOLD_EMULATED_CRASH");
  if (crash != nullptr && std::strcmp(crash, call) == 0) std::raise(SIGSEGV);
  const char* text = std::getenv("TASKFOLD_EMULATED_ERROR");
  if (text == nullptr || *text == '\0') return cudaSuccess;
  std::string wanted = text, name = "cudaGetDeviceCount";
  if (const size_t equals = wanted.find('='); equals != std::string::npos) {
    name = wanted.substr(0, equals);
    wanted = wanted.substr(equals + 1);
  }
  if (name != call) return cudaSuccess;
  size_t from = 1;
  if (const size_t at = wanted.find('@'); at != std::string::npos) from = std::stoul(wanted.substr(at + 1));
  const std::lock_guard<std::mutex> lock(Shared().mutex);
  if (++Shared().calls[text] < from) return cudaSuccess;
  return Fail(static_cast<cudaError_t>(std::atoi(wanted.c_str())));
}
#define TF_FAULT(call)                                          \
  do {                                                          \
    if (const cudaError_t fault_ = Fault(call)) return fault_;  \
  } while (false)

/// While one of these lives the host's hands are on the device.
class OnDevice {
 public:
  OnDevice() {
    const std::lock_guard<std::mutex> lock(Shared().mutex);
    if (Shared().running++ == 0 && Shared().range) mprotect(Shared().range, kRange, PROT_READ | PROT_WRITE);
  }
  ~OnDevice() {
    const std::lock_guard<std::mutex> lock(Shared().mutex);
    if (--Shared().running == 0 && Shared().range) mprotect(Shared().range, kRange, PROT_NONE);
  }
};

bool Inside(const std::map<char*, size_t>& allocations, const void* pointer) {
  auto* at = static_cast<char*>(const_cast<void*>(pointer));
  auto next = allocations.upper_bound(at);
  if (next == allocations.begin()) return false;
  --next;
  return at < next->first + next->second;
}
bool IsDevice(const void* pointer) {
  auto* at = static_cast<const char*>(pointer);
  return Shared().range && at >= Shared().range && at < Shared().range + kRange;
}
bool IsPinned(const void* pointer) {
  const std::lock_guard<std::mutex> lock(Shared().mutex);
  return Inside(Shared().pinned, pointer);
}
/// Is [pointer, pointer + bytes) inside one allocation? Caught here, where a GPU would report it late or never.
bool Fits(const void* pointer, size_t bytes) {
  const std::lock_guard<std::mutex> lock(Shared().mutex);
  auto* at = static_cast<char*>(const_cast<void*>(pointer));
  auto next = Shared().device.upper_bound(at);
  if (next == Shared().device.begin()) return false;
  --next;
  return at + bytes <= next->first + next->second.bytes;
}

void Drain(cudaStream_t stream) {
  if (stream->work.empty()) return;
  const OnDevice hands;
  while (!stream->work.empty()) {
    const std::function<void()> next = std::move(stream->work.front());
    stream->work.pop_front();
    next();
  }
}

}  // namespace

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "no error";
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorInsufficientDriver:
      return "CUDA driver version is insufficient for CUDA runtime version";
    case cudaErrorNoDevice:
      return "no CUDA-capable device is detected";
    case cudaErrorInvalidDevice:
      return "invalid device ordinal";
    case cudaErrorOperatingSystem:
      return "OS call failed or operation not supported on this OS";
    case cudaErrorLaunchFailure:
      return "unspecified launch failure";
    case cudaErrorIllegalAddress:
      return "an illegal memory access was encountered";
    case cudaErrorSystemDriverMismatch:
      return "system has unsupported display driver / cuda driver combination";
    default:
      return "emulated error";
  }
}
const char* cudaGetErrorName(cudaError_t error) {
  thread_local char text[32];
  std::snprintf(text, sizeof text, "error %d", static_cast<int>(error));
  return text;
}
cudaError_t cudaGetLastError() {
  const cudaError_t error = last_error;
  last_error = cudaSuccess;
  return error;
}
cudaError_t cudaDriverGetVersion(int* version) {
  TF_FAULT("cudaDriverGetVersion");
  *version = 13000;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = 13000;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceCount(int* count) {
  TF_FAULT("cudaGetDeviceCount");
  *count = static_cast<int>(DeviceCount());
  return *count == 0 ? Fail(cudaErrorNoDevice) : cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  TF_FAULT("cudaGetDeviceProperties");
  if (device < 0 || static_cast<size_t>(device) >= DeviceCount()) return Fail(cudaErrorInvalidDevice);
  std::memset(properties, 0, sizeof *properties);
  std::snprintf(properties->name, sizeof properties->name, "Emulated GPU %d (runs on the CPU)", device);
  properties->totalGlobalMem = DeviceMemory();
  properties->major = 9;
  properties->multiProcessorCount = 2;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  *value = attribute == cudaDevAttrComputeCapabilityMajor ? 9 : 2;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetPCIBusId(char* text, int length, int device) {
  std::snprintf(text, static_cast<size_t>(length), "0000:0%d:00.0", device);
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  TF_FAULT("cudaSetDevice");
  if (device < 0 || static_cast<size_t>(device) >= DeviceCount()) return Fail(cudaErrorInvalidDevice);
  current_device = device;
  return cudaSuccess;
}
cudaError_t cudaMemGetInfo(size_t* available, size_t* total) {
  TF_FAULT("cudaMemGetInfo");
  const std::lock_guard<std::mutex> lock(Shared().mutex);
  *total = DeviceMemory();
  const size_t used = Shared().used[current_device];
  *available = used < *total ? *total - used : 0;
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** memory, size_t bytes) {
  TF_FAULT("cudaMalloc");
  State& state = Shared();
  const std::lock_guard<std::mutex> lock(state.mutex);
  if (bytes == 0 || state.used[current_device] + bytes > DeviceMemory()) return Fail(cudaErrorMemoryAllocation);
  if (!state.range) {
    void* range = mmap(nullptr, kRange, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (range == MAP_FAILED) return Fail(cudaErrorMemoryAllocation);
    state.range = static_cast<char*>(range);
    if (state.running > 0) mprotect(state.range, kRange, PROT_READ | PROT_WRITE);
  }
  // First gap that is wide enough, with some bytes between allocations that nobody owns.
  const size_t size = (bytes + 2 * kAlignment - 1) / kAlignment * kAlignment + kAlignment;
  char* at = state.range;
  for (const auto& [start, allocation] : state.device) {
    if (at + size <= start) break;
    at = start + (allocation.bytes + 2 * kAlignment - 1) / kAlignment * kAlignment + kAlignment;
  }
  if (at + size > state.range + kRange) return Fail(cudaErrorMemoryAllocation);
  state.device[at] = {bytes, current_device};
  state.used[current_device] += bytes;
  *memory = at;
  return cudaSuccess;
}
cudaError_t cudaFree(void* memory) {
  if (memory == nullptr) return cudaSuccess;
  State& state = Shared();
  const std::lock_guard<std::mutex> lock(state.mutex);
  const auto found = state.device.find(static_cast<char*>(memory));
  if (found == state.device.end()) return Fail(cudaErrorInvalidValue);
  state.used[found->second.device] -= found->second.bytes;
  // Whole pages only: madvise rounds up, and the last page's rest may be somebody else's.
  madvise(memory, found->second.bytes / 4096 * 4096, MADV_DONTNEED);
  state.device.erase(found);
  return cudaSuccess;
}
cudaError_t cudaHostAlloc(void** memory, size_t bytes, unsigned) {
  TF_FAULT("cudaHostAlloc");
  *memory = std::aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
  if (*memory == nullptr) return Fail(cudaErrorMemoryAllocation);
  const std::lock_guard<std::mutex> lock(Shared().mutex);
  Shared().pinned[static_cast<char*>(*memory)] = bytes;
  return cudaSuccess;
}
cudaError_t cudaFreeHost(void* memory) {
  {
    const std::lock_guard<std::mutex> lock(Shared().mutex);
    if (Shared().pinned.erase(static_cast<char*>(memory)) == 0) return Fail(cudaErrorInvalidValue);
  }
  std::free(memory);
  return cudaSuccess;
}
cudaError_t cudaIpcGetMemHandle(cudaIpcMemHandle_t* handle, void* memory) {
  TF_FAULT("cudaIpcGetMemHandle");
  if (!Fits(memory, 1)) return Fail(cudaErrorInvalidValue);
  std::memset(handle, 0, sizeof *handle);
  std::memcpy(handle->reserved, &memory, sizeof memory);
  return cudaSuccess;
}
cudaError_t cudaIpcOpenMemHandle(void** memory, cudaIpcMemHandle_t handle, unsigned) {
  // As the real one, refused in the process that exported it.
  std::memcpy(memory, handle.reserved, sizeof *memory);
  return Fail(Fits(*memory, 1) ? cudaErrorContextIsDestroyed : cudaErrorInvalidValue);
}
cudaError_t cudaIpcCloseMemHandle(void*) { return Fail(cudaErrorInvalidValue); }

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  TF_FAULT("cudaStreamCreateWithFlags");
  *stream = new (std::nothrow) EmulatedStream;
  return *stream ? cudaSuccess : Fail(cudaErrorMemoryAllocation);
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  delete stream;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  TF_FAULT("cudaStreamSynchronize");
  Drain(stream);
  return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind, cudaStream_t stream) {
  TF_FAULT("cudaMemcpyAsync");
  if ((IsDevice(to) && !Fits(to, bytes)) || (IsDevice(from) && !Fits(from, bytes))) {
    return Fail(cudaErrorInvalidValue);
  }
  stream->work.emplace_back([to, from, bytes] { std::memmove(to, from, bytes); });
  // Pageable memory: the real one stages it before it returns.
  if (!(IsDevice(to) || IsPinned(to)) || !(IsDevice(from) || IsPinned(from))) Drain(stream);
  return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* to, int byte, size_t bytes, cudaStream_t stream) {
  TF_FAULT("cudaMemsetAsync");
  if (!Fits(to, bytes)) return Fail(cudaErrorInvalidValue);
  stream->work.emplace_back([to, byte, bytes] { std::memset(to, byte, bytes); });
  return cudaSuccess;
}

cudaError_t EmulatedLaunch(cudaStream_t stream, std::function<void()> kernel) {
  TF_FAULT("launch");
  stream->work.push_back(std::move(kernel));
  return cudaSuccess;
}
int EmulatedOrder() { return static_cast<int>(Number("TASKFOLD_EMULATED_ORDER", 0)); }
