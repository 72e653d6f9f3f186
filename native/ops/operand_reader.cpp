#include "ops/operand_reader.h"

namespace taskfold {

void CheckOperandLength(const std::string& tensor, const char* operand, const Region& region,
                        uint64_t elements, Dtype dtype) {
  // elements is at most 2^53, so the product fits.
  if (region.length() != elements * ItemSize(dtype)) {
    throw Error("INVALID_ARGUMENT", tensor + ": " + operand + " has " + std::to_string(region.length()) +
                                        " bytes, " + std::to_string(elements) + " elements of " +
                                        DtypeName(dtype) + " need " +
                                        std::to_string(elements * ItemSize(dtype)))
        .Tensor(tensor)
        .Operand(operand);
  }
}

void CheckWritable(const std::string& tensor, const char* operand, const File* file) {
  if (!file || file->writable()) return;
  throw Error("INVALID_ARGUMENT",
              tensor + ": " + operand + " is " + file->path() + ", which is open for reading only")
      .Tensor(tensor)
      .File(file->path())
      .Operand(operand);
}

const uint8_t* ReadAligned(const Region& region, uint64_t offset, size_t length, uint8_t* scratch) {
  const uint8_t* bytes = region.Read(offset, length, scratch);
  if (reinterpret_cast<uintptr_t>(bytes) % 8 == 0 || bytes == scratch || length == 0) return bytes;
  memcpy(scratch, bytes, length);
  return scratch;
}

const void* ReadElements(const TfBackend& backend, const Operand& operand, Dtype storage, uint64_t first,
                         size_t n, Scratch& scratch, size_t slot) {
  const size_t item = ItemSize(operand.dtype);
  const uint8_t* raw = ReadAligned(operand.region, first * item, n * item, scratch.Get(slot, n * item));
  if (operand.dtype == storage) return raw;
  float* wide = scratch.Array<float>(slot + 1, n);
  backend.widen(static_cast<int32_t>(operand.dtype), n, raw, wide);
  uint8_t* converted = scratch.Get(slot + 2, n * ItemSize(storage));
  backend.narrow(static_cast<int32_t>(storage), n, wide, converted);
  return converted;
}

const float* ReadAsFloat(const TfBackend& backend, const Operand& operand, uint64_t first, size_t n,
                         Scratch& scratch, size_t slot) {
  const size_t item = ItemSize(operand.dtype);
  const uint8_t* raw = ReadAligned(operand.region, first * item, n * item, scratch.Get(slot, n * item));
  float* wide = scratch.Array<float>(slot + 1, n);
  backend.widen(static_cast<int32_t>(operand.dtype), n, raw, wide);
  return wide;
}

}  // namespace taskfold
