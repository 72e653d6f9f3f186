#include "ops/delta_scatter.h"

#include "backend/registry.h"
#include "core/thread_pool.h"
#include "ops/block_marks.h"
#include "ops/device_delta_scatter.h"
#include "ops/operand_reader.h"
#include "ops/work_list.h"

namespace taskfold {

DeltaDecoder::DeltaDecoder(const std::string& name, uint64_t elements, Dtype dtype, const DeltaRegions& delta)
    : name_(name), delta_(delta), elements_(elements), item_(ItemSize(dtype)) {
  const uint64_t blocks = BlockCount(elements);
  const auto refuse = [&](const std::string& why) {
    throw Error("PACK_INVALID", name + ": " + why).Tensor(name);
  };
  if (delta.kept > elements)
    refuse("keeps " + std::to_string(delta.kept) + " of " + std::to_string(elements));
  const size_t width = delta.kept < (uint64_t{1} << 32) ? 4 : 8;
  if (delta.blocks.length() < (blocks + 1) * width) refuse("the block starts are too short");
  if (delta.value.length() < delta.kept * item_) refuse("fewer values than kept entries");
  const uint64_t index_bytes = delta.index == IndexCode::kBitmap ? (elements + 7) / 8 : 2 * delta.kept;
  if (delta.index_bytes.length() < index_bytes) refuse("the index is too short");
  starts_.resize(blocks + 1);
  if (width == 8) {
    delta.blocks.ReadTo(0, (blocks + 1) * 8, starts_.data());
  } else {
    std::vector<uint32_t> narrow(blocks + 1);
    delta.blocks.ReadTo(0, (blocks + 1) * 4, narrow.data());
    std::copy(narrow.begin(), narrow.end(), starts_.begin());
  }
  if (starts_[0] != 0 || starts_[blocks] != delta.kept)
    refuse("the block starts do not run from 0 to the kept entries");
  for (uint64_t b = 0; b < blocks; b++) {
    const uint64_t n = std::min(kBlockElements, elements - b * kBlockElements);
    if (starts_[b + 1] < starts_[b] || starts_[b + 1] - starts_[b] > n) {
      refuse("block " + std::to_string(b) + " starts at " + std::to_string(starts_[b]) + " and ends at " +
             std::to_string(starts_[b + 1]));
    }
  }
}

void DeltaDecoder::Refuse(uint64_t block, const std::string& why) const {
  throw Error("PACK_INVALID", name_ + ": block " + std::to_string(block) + ": " + why).Tensor(name_);
}

void DeltaDecoder::CheckBitmap(uint64_t block, size_t n, const uint64_t* bits) const {
  if (n % 64 != 0 && (bits[n / 64] >> (n % 64)) != 0) Refuse(block, "marks behind the last element");
  uint64_t marked = 0;
  for (size_t w = 0; w < (n + 63) / 64; w++) marked += static_cast<uint64_t>(__builtin_popcountll(bits[w]));
  const uint64_t kept = starts_[block + 1] - starts_[block];
  if (marked != kept) {
    Refuse(block, std::to_string(marked) + " marks for " + std::to_string(kept) + " kept entries");
  }
}

void DeltaDecoder::CheckPositions(uint64_t block, size_t n, const uint16_t* positions) const {
  const auto count = static_cast<size_t>(starts_[block + 1] - starts_[block]);
  bool ascending = count == 0 || positions[count - 1] < n;
  for (size_t i = 1; i < count; i++) ascending &= positions[i] > positions[i - 1];
  if (!ascending) Refuse(block, "positions are not ascending inside the block");
}

const uint64_t* DeltaDecoder::BitmapOf(uint64_t block, size_t n, Scratch& scratch, size_t slot) const {
  auto* bits = scratch.Array<uint64_t>(slot, kBlockWords);
  bits[(n + 63) / 64 - 1] = 0;
  delta_.index_bytes.ReadTo(block * (kBlockElements / 8), (n + 7) / 8, bits);
  CheckBitmap(block, n, bits);
  return bits;
}

const uint8_t* DeltaDecoder::CheckedIndex(uint64_t first_block, uint64_t blocks, Scratch& scratch,
                                          size_t slot) const {
  const bool bitmap = delta_.index == IndexCode::kBitmap;
  const uint64_t first = first_block * kBlockElements;
  const auto n = static_cast<size_t>(std::min(blocks * kBlockElements, elements_ - first));
  const uint64_t offset = bitmap ? first / 8 : starts_[first_block] * 2;
  const auto length = bitmap ? (n + 7) / 8 : static_cast<size_t>(starts_[first_block + blocks] * 2 - offset);
  uint8_t* bytes = scratch.Get(slot, length + 8);
  memset(bytes + length, 0, 8);  // the last word of a bitmap is checked as a whole
  delta_.index_bytes.ReadTo(offset, length, bytes);
  for (uint64_t b = first_block; b < first_block + blocks; b++) {
    const auto inside = static_cast<size_t>(std::min(kBlockElements, elements_ - b * kBlockElements));
    if (bitmap) {
      CheckBitmap(b, inside, reinterpret_cast<const uint64_t*>(bytes) + (b - first_block) * kBlockWords);
    } else {
      CheckPositions(b, inside,
                     reinterpret_cast<const uint16_t*>(bytes) + (starts_[b] - starts_[first_block]));
    }
  }
  return bytes;
}

void DeltaDecoder::Apply(uint64_t block, size_t n, void* dst, Scratch& scratch, size_t slot) const {
  const auto count = static_cast<size_t>(starts_[block + 1] - starts_[block]);
  if (n == 0) return;
  const TfBackend& backend = ActiveBackend();
  const uint64_t* bits = delta_.index == IndexCode::kBitmap ? BitmapOf(block, n, scratch, slot) : nullptr;
  if (count == 0) return;
  const uint8_t* values =
      ReadAligned(delta_.value, starts_[block] * item_, count * item_, scratch.Get(slot + 1, count * item_));
  if (bits) {
    backend.scatter_bitmap(item_, n, dst, bits, values);
    return;
  }
  const uint8_t* positions =
      ReadAligned(delta_.index_bytes, starts_[block] * 2, count * 2, scratch.Get(slot, count * 2));
  if (!backend.scatter_u16(item_, n, dst, reinterpret_cast<const uint16_t*>(positions), values, count)) {
    Refuse(block, "positions are not ascending inside the block");
  }
}

void DeltaDecoder::Marks(uint64_t block, size_t n, uint64_t* bits, Scratch& scratch, size_t slot) const {
  std::fill_n(bits, (n + 63) / 64, uint64_t{0});
  if (n == 0) return;
  if (delta_.index == IndexCode::kBitmap) {
    std::copy_n(BitmapOf(block, n, scratch, slot), (n + 63) / 64, bits);
    return;
  }
  const auto count = static_cast<size_t>(starts_[block + 1] - starts_[block]);
  const auto* positions = reinterpret_cast<const uint16_t*>(
      ReadAligned(delta_.index_bytes, starts_[block] * 2, count * 2, scratch.Get(slot, count * 2 + 8)));
  CheckPositions(block, n, positions);
  for (size_t i = 0; i < count; i++) {
    bits[positions[i] / 64] |= uint64_t{1} << (positions[i] % 64);
  }
}

std::unique_ptr<Remainder> OpenRemainder(const std::string& name, uint64_t elements, Dtype dtype,
                                         const std::optional<DeltaRegions>& delta,
                                         const std::optional<CodedRemainder>& coded) {
  if (coded) {
    const std::vector<CodedTensor>& tensors = coded->task->tensors();
    if (coded->tensor >= tensors.size()) {
      throw Error("INVALID_ARGUMENT",
                  name + ": the coded task has " + std::to_string(tensors.size()) + " tensors")
          .Tensor(name);
    }
    const CodedTensor& tensor = tensors[coded->tensor];
    if (tensor.elements() != elements || tensor.dtype != dtype) {
      throw Error("INVALID_ARGUMENT", name + ": coded with another size or dtype").Tensor(name);
    }
    return coded->task->Open(coded->tensor);
  }
  if (delta) return std::make_unique<DeltaDecoder>(name, elements, dtype, *delta);
  return nullptr;
}

namespace {

void ScatterOnCpu(const std::vector<ScatterTensor>& tensors,
                  const std::vector<std::unique_ptr<Remainder>>& remainders, RunControl& control) {
  WorkList list;
  for (const ScatterTensor& tensor : tensors) list.Add(BlockCount(tensor.elements));
  ScratchPerWorker scratches(control.threads());
  ParallelFor(list.items(), control.threads(), [&](size_t item, unsigned worker) {
    control.ThrowIfCancelled();
    Scratch& scratch = scratches[worker];
    const auto [which, block] = list.Find(item);
    const ScatterTensor& tensor = tensors[which];
    const size_t size = ItemSize(tensor.dtype);
    const uint64_t first = block * kBlockElements;
    const auto n = static_cast<size_t>(std::min(kBlockElements, tensor.elements - first));
    NamingTensor(tensor.name, [&, index = which, number = block] {
      uint8_t* dense = scratch.Get(0, n * size);
      tensor.merged.ReadTo(first * size, n * size, dense);
      if (remainders[index]) remainders[index]->Apply(number, n, dense, scratch, 1);
      tensor.out.Write(first * size, n * size, dense);
    });
    control.AddProgress(n * size);
  });
}

/// A GPU has kernels for plain deltas only.
bool FitsDevice(const std::vector<ScatterTensor>& tensors) {
  return std::none_of(tensors.begin(), tensors.end(),
                      [](const ScatterTensor& t) { return t.coded.has_value(); });
}

}  // namespace

void ScatterTensors(const std::vector<ScatterTensor>& tensors, RunControl& control) {
  control.ThrowIfCancelled();
  for (const ScatterTensor& tensor : tensors) {
    CheckOperandLength(tensor.name, "merged", tensor.merged, tensor.elements, tensor.dtype);
    CheckOperandLength(tensor.name, "out", tensor.out, tensor.elements, tensor.dtype);
    CheckWritable(tensor.name, "out", tensor.out.file().get());
  }
  DeviceSet* devices = control.devices();
  if (devices && FitsDevice(tensors)) {
    std::vector<std::optional<DeltaDecoder>> decoders(tensors.size());
    for (size_t i = 0; i < tensors.size(); i++) {
      NamingTensor(tensors[i].name, [&, at = i] {
        const ScatterTensor& tensor = tensors[at];
        if (tensor.delta) decoders[at].emplace(tensor.name, tensor.elements, tensor.dtype, *tensor.delta);
      });
    }
    return ScatterOnDevices(*devices, tensors, decoders, control);
  }
  std::vector<std::unique_ptr<Remainder>> remainders(tensors.size());
  for (size_t i = 0; i < tensors.size(); i++) {
    NamingTensor(tensors[i].name, [&, at = i] {
      const ScatterTensor& tensor = tensors[at];
      remainders[at] = OpenRemainder(tensor.name, tensor.elements, tensor.dtype, tensor.delta, tensor.coded);
    });
  }
  ScatterOnCpu(tensors, remainders, control);
}

}  // namespace taskfold
