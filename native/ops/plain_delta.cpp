#include "ops/plain_delta.h"

#include "core/thread_pool.h"
#include "ops/block_marks.h"

namespace taskfold {

IndexCode PlainIndex(const DeltaRegions& delta) {
  if (delta.index == IndexCode::kRice) return IndexCode::kU16;
  return delta.index == IndexCode::kAll ? IndexCode::kBitmap : delta.index;
}

PlainDelta DecodePlain(const std::string& name, uint64_t elements, Dtype dtype, const DeltaRegions& delta,
                       RunControl& control) {
  const DeltaDecoder decoder(name, elements, dtype, delta);
  const size_t item = ItemSize(dtype);
  const std::vector<uint64_t>& starts = decoder.starts();
  const size_t blocks = starts.size() - 1;
  const bool bitmap = PlainIndex(delta) == IndexCode::kBitmap;
  PlainDelta plain;
  plain.value.resize(delta.kept * item);
  plain.index_bytes.resize(bitmap ? blocks * kBlockWords * 8 : delta.kept * 2);
  const size_t width = delta.kept < (uint64_t{1} << 32) ? 4 : 8;
  plain.blocks.resize(starts.size() * width);
  for (size_t i = 0; i < starts.size(); i++) memcpy(&plain.blocks[i * width], &starts[i], width);
  ScratchPerWorker scratches(control.threads());
  ParallelFor(blocks, control.threads(), [&](size_t block, unsigned worker) {
    control.ThrowIfCancelled();
    Scratch& scratch = scratches[worker];
    const auto n = static_cast<size_t>(std::min(kBlockElements, elements - block * kBlockElements));
    const auto count = static_cast<size_t>(starts[block + 1] - starts[block]);
    if (bitmap) {
      uint64_t words[kBlockWords];
      decoder.Marks(block, n, words, scratch, 0);
      memcpy(&plain.index_bytes[block * kBlockWords * 8], words, (n + 63) / 64 * 8);
    } else if (count > 0) {
      memcpy(&plain.index_bytes[starts[block] * 2], decoder.Positions(block, n, scratch, 0), count * 2);
    }
    const uint8_t* items = decoder.Items(block, scratch, 0);
    if (count > 0) memcpy(&plain.value[starts[block] * item], items, count * item);
  });
  return plain;
}

}  // namespace taskfold
