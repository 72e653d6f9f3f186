#pragma once
#include <cmath>
#include <cstring>
#include <random>

#include "check.h"
#include "core/block_scatter.h"
#include "core/float_convert.h"
#include "ops/remainder.h"
#include "ops/step_encoder.h"

// Random tensors for codec step, its encoder from end to end, and its decoder as unfolding uses it.

namespace taskfold {

using Bytes = std::vector<uint8_t>;
using Engine = std::mt19937_64;

/// One tensor's θ* and θt, of one dtype.
struct Pair {
  CodedTensor shape;
  Bytes merged, task;
};

/// A stream as stored, without padding.
struct Stream {
  Bytes tables, directory, codes;
};

inline uint8_t* Item(Bytes* bytes, Dtype dtype, uint64_t at) { return bytes->data() + at * ItemSize(dtype); }

inline float Widened(const Bytes& bytes, Dtype dtype, uint64_t at) {
  float value = 0;
  VisitDtype(dtype, [&]<Dtype kDtype>() {
    typename Storage<kDtype>::Raw raw;
    memcpy(&raw, bytes.data() + at * sizeof raw, sizeof raw);
    value = Storage<kDtype>::Widen(raw);
  });
  return value;
}

inline void Put(Bytes* bytes, Dtype dtype, uint64_t at, float value) {
  VisitDtype(dtype, [&]<Dtype kDtype>() {
    const typename Storage<kDtype>::Raw raw = Storage<kDtype>::Round(value);
    memcpy(Item(bytes, dtype, at), &raw, sizeof raw);
  });
}

/// Residuals of `scale` for about every `sparsity`-th element, now and then a large one; 0: none differs.
inline Pair MakePair(std::string name, Dtype dtype, uint64_t rows, uint64_t columns, float scale,
                     unsigned sparsity, Engine& random) {
  Pair pair;
  pair.shape = {std::move(name), dtype, rows, columns};
  const uint64_t n = pair.shape.elements();
  pair.merged.resize(n * ItemSize(dtype));
  pair.task.resize(n * ItemSize(dtype));
  std::normal_distribution<float> normal(0, 1);
  for (uint64_t i = 0; i < n; i++) {
    const float star = normal(random);
    float u = sparsity != 0 && random() % sparsity == 0 ? normal(random) * scale : 0;
    if (u != 0 && random() % 200 == 0) u *= 300;
    Put(&pair.merged, dtype, i, star);
    Put(&pair.task, dtype, i, Widened(pair.merged, dtype, i) + u);
    if (!std::isfinite(Widened(pair.task, dtype, i))) Put(&pair.task, dtype, i, star);
  }
  return pair;
}

inline Region Memory(const Bytes& bytes) {
  return Region::OfMemory(const_cast<uint8_t*>(bytes.data()), bytes.size());
}

inline std::vector<CodedTensor> Shapes(const std::vector<Pair>& pairs) {
  std::vector<CodedTensor> shapes;
  for (const Pair& pair : pairs) shapes.push_back(pair.shape);
  return shapes;
}

inline std::vector<CodecTensor> Batch(const std::vector<Pair>& pairs, size_t begin, size_t end) {
  std::vector<CodecTensor> batch;
  for (size_t i = begin; i < end; i++) {
    const Pair& pair = pairs[i];
    batch.push_back({pair.shape, {Memory(pair.task), pair.shape.dtype}, Memory(pair.merged)});
  }
  return batch;
}

inline std::shared_ptr<File> CodesFile() {
  static const std::shared_ptr<File> file = File::OpenTemporaryBeside("step_test.codes");
  return file;
}

/// Both passes, in batches of random sizes.
inline CodedResult EncodeAll(const std::vector<Pair>& pairs, float step, Engine& random, Stream* stream) {
  constexpr uint64_t kOffset = 24;
  StepEncoder encoder(step, 0.65f, Shapes(pairs), CodesFile(), kOffset);
  RunControl control(nullptr, 1 + random() % 2);
  const auto pass = [&](auto method) {
    for (size_t at = 0; at < pairs.size();) {
      const size_t end = std::min(pairs.size(), at + 1 + random() % 4);
      (encoder.*method)(Batch(pairs, at, end), control);
      at = end;
    }
  };
  pass(&StepEncoder::Count);
  encoder.Prepare();
  pass(&StepEncoder::Encode);
  CodedResult result = encoder.Finish();
  *stream = {result.tables, result.directory, Bytes(result.codes_bytes)};
  CodesFile()->ReadAt(stream->codes.data(), stream->codes.size(), kOffset);
  return result;
}

inline Bytes Padded(Bytes bytes) {
  bytes.resize((bytes.size() + 7) / 8 * 8);
  return bytes;
}

/// Every tensor of the stream added to θ*, as unfolding does it; false: PACK_INVALID. `out` may be null.
inline bool Decode(const std::vector<Pair>& pairs, float step, const Stream& stream, std::vector<Bytes>* out,
                   std::string* why = nullptr) {
  try {
    const auto task = OpenStepTask(step, Shapes(pairs),
                                   {Memory(stream.tables), Memory(stream.directory), Memory(stream.codes)});
    Scratch scratch;
    for (size_t t = 0; t < pairs.size(); t++) {
      const Dtype dtype = pairs[t].shape.dtype;
      Bytes bytes = pairs[t].merged;
      const auto remainder = task->Open(t);
      const uint64_t elements = pairs[t].shape.elements();
      for (uint64_t b = 0; b < BlockCount(elements); b++) {
        const auto n = static_cast<size_t>(ElementsOfBlock(elements, b));
        // A copy of exactly the block, so that ASan sees a write behind it.
        uint8_t* at = Item(&bytes, dtype, b * kBlockElements);
        Bytes block(at, at + n * ItemSize(dtype));
        std::vector<uint64_t> marks((n + 63) / 64);
        remainder->Marks(b, n, marks.data(), scratch, 0);
        remainder->Apply(b, n, block.data(), scratch, 0);
        for (size_t i = 0; i < n; i++) {
          const bool same =
              memcmp(&block[i * ItemSize(dtype)], at + i * ItemSize(dtype), ItemSize(dtype)) == 0;
          CHECK(same || (marks[i / 64] >> (i % 64) & 1) != 0, "element %zu changed without a mark", i);
        }
        memcpy(at, block.data(), block.size());
      }
      if (out) out->push_back(std::move(bytes));
    }
    return true;
  } catch (const Error& error) {
    CHECK(error.code() == "PACK_INVALID", "%s: %s", error.code().c_str(), error.what());
    if (why) *why = error.what();
    return false;
  }
}

}  // namespace taskfold
