#include "ops/dlpack_tensor.h"

#include <cstddef>
#include <utility>

namespace taskfold {
namespace {

constexpr int32_t kCuda = 2;

struct Type {
  uint8_t code, bits;
};
struct NamedType {
  const char* name;
  Type type;
};
constexpr uint8_t kInt = 0, kUint = 1, kFloat = 2, kBfloat = 4, kComplex = 5, kBool = 6;
constexpr NamedType kTypes[] = {{"F64", {kFloat, 64}},   {"F32", {kFloat, 32}}, {"F16", {kFloat, 16}},
                                {"BF16", {kBfloat, 16}}, {"I64", {kInt, 64}},   {"I32", {kInt, 32}},
                                {"I16", {kInt, 16}},     {"I8", {kInt, 8}},     {"U64", {kUint, 64}},
                                {"U32", {kUint, 32}},    {"U16", {kUint, 16}},  {"U8", {kUint, 8}},
                                {"C64", {kComplex, 64}}, {"BOOL", {kBool, 8}}};

Type TypeOf(const std::string& dtype) {
  for (const NamedType& known : kTypes) {
    if (dtype == known.name) return known.type;
  }
  return {kUint, 8};
}

/// Everything that the tensor points to.
struct Owner {
  DlpackTensor tensor{};
  std::vector<int64_t> shape, strides;
  std::shared_ptr<DeviceMemory> memory;
};

void Delete(DlpackTensor* tensor) { delete static_cast<Owner*>(tensor->manager_ctx); }

// Where the C struct has its fields on 64-bit machines.
static_assert(sizeof(void*) == 8 && offsetof(DlpackTensor, ndim) == 16 &&
              offsetof(DlpackTensor, shape) == 24 && offsetof(DlpackTensor, byte_offset) == 40 &&
              offsetof(DlpackTensor, deleter) == 56);

}  // namespace

DlpackTensor* NewDlpackTensor(std::shared_ptr<DeviceMemory> memory, uint64_t at, uint64_t bytes,
                              const std::string& dtype, const std::vector<int64_t>& shape) {
  auto owner = std::make_unique<Owner>();
  const Type type = TypeOf(dtype);
  owner->shape = shape;
  int64_t elements = 1;
  for (const int64_t extent : shape) elements *= extent;
  if (static_cast<uint64_t>(elements) * (type.bits / 8) != bytes)
    owner->shape = {static_cast<int64_t>(bytes)};
  owner->strides.resize(owner->shape.size());
  int64_t stride = 1;
  for (size_t i = owner->shape.size(); i-- > 0;) {
    owner->strides[i] = stride;
    stride *= owner->shape[i];
  }
  DlpackTensor& tensor = owner->tensor;
  // PyTorch ignores byte_offset, so the pointer leads to the first element; places are multiples of 256.
  tensor.data = bytes == 0 ? nullptr : memory->As<uint8_t>() + at;
  tensor.device_type = kCuda;
  tensor.device_id = memory->device();
  tensor.ndim = static_cast<int32_t>(owner->shape.size());
  tensor.type_code = type.code;
  tensor.type_bits = type.bits;
  tensor.type_lanes = 1;
  tensor.shape = owner->shape.data();
  tensor.strides = owner->strides.data();
  tensor.manager_ctx = owner.get();
  tensor.deleter = Delete;
  owner->memory = std::move(memory);
  return &owner.release()->tensor;
}

}  // namespace taskfold
