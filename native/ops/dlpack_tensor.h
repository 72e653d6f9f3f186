#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "device/device_memory.h"

namespace taskfold {

/// DLPack's DLManagedTensor, as dlpack.h lays it out (without a version: every DLPack so far reads it).
struct DlpackTensor {
  void* data;
  int32_t device_type;  // 2: CUDA
  int32_t device_id;
  int32_t ndim;
  uint8_t type_code;
  uint8_t type_bits;
  uint16_t type_lanes;
  int64_t* shape;    // [ndim]
  int64_t* strides;  // [ndim], in elements
  uint64_t byte_offset;
  void* manager_ctx;
  /// To be called once by whoever took the tensor over, from any thread; it frees the struct as well.
  void (*deleter)(DlpackTensor* self);
};

/// A row-major tensor of `bytes` bytes that begins `at` bytes into the memory, which stays allocated until
/// the deleter runs. `dtype`: safetensors name. What DLPack before 1.1 has no code for (8 bits and less)
/// becomes uint8: of the same shape where an element is a byte, else [bytes].
DlpackTensor* NewDlpackTensor(std::shared_ptr<DeviceMemory> memory, uint64_t at, uint64_t bytes,
                              const std::string& dtype, const std::vector<int64_t>& shape);

}  // namespace taskfold
