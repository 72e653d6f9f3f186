#include "ops/step_quantizer.h"

#include <cmath>

#include "backend/registry.h"
#include "core/float_convert.h"
#include "core/magnitude_key.h"
#include "ops/block_marks.h"
#include "ops/finite_residual.h"
#include "ops/operand_reader.h"

namespace taskfold {

StepQuantizer::StepQuantizer(float step, float dead_zone)
    : step_(step), inverse_(1.0f / step), offset_(1.0f - dead_zone), threshold_(0) {
  // |u| → q never falls, so the bits of the least |u| with q ≠ 0 can be found by bisection.
  uint32_t zero = 0, nonzero = kInfinityKey;
  while (nonzero - zero > 1) {
    const uint32_t middle = zero + (nonzero - zero) / 2;
    ((*this)(BitsFloat(middle)) == 0 ? zero : nonzero) = middle;
  }
  threshold_ = nonzero;
}

int32_t StepQuantizer::operator()(float u) const {
  const float level = std::fabs(u) * inverse_ + offset_;
  const auto magnitude = level >= static_cast<float>(kMaxStepCode) ? static_cast<int32_t>(kMaxStepCode)
                                                                   : static_cast<int32_t>(level);
  return u < 0 ? -magnitude : magnitude;
}

namespace {

template <Dtype kDtype>
float Decoded(float star, float step, int32_t q) {
  const float size = static_cast<float>(q < 0 ? -q : q) * step;
  return Storage<kDtype>::Widen(Storage<kDtype>::Round(star + (q < 0 ? -size : size)));
}

/// The code nearest to q whose item is a number: a large θt rounded up must not become an infinity.
template <Dtype kDtype>
int32_t FiniteCode(float star, float step, int32_t q) {
  int32_t finite = 0, infinite = q < 0 ? -q : q;
  while (infinite - finite > 1) {
    const int32_t middle = finite + (infinite - finite) / 2;
    (std::isfinite(Decoded<kDtype>(star, step, q < 0 ? -middle : middle)) ? finite : infinite) = middle;
  }
  return q < 0 ? -finite : finite;
}

/// Codes of the marked positions; there u becomes θt − θ̂t, for the squared error.
template <Dtype kDtype>
void Quantize(const StepQuantizer& quantizer, const void* task_bytes, const void* merged_bytes, float* u,
              StepEntries* entries) {
  using Raw = typename Storage<kDtype>::Raw;
  const auto* task = static_cast<const Raw*>(task_bytes);
  const auto* merged = static_cast<const Raw*>(merged_bytes);
  size_t kept = 0;
  for (const uint16_t at : entries->positions) {
    const float star = Storage<kDtype>::Widen(merged[at]);
    int32_t q = quantizer(u[at]);
    float decoded = Decoded<kDtype>(star, quantizer.step(), q);
    if (!std::isfinite(decoded)) {
      q = FiniteCode<kDtype>(star, quantizer.step(), q);
      if (q == 0) continue;
      decoded = Decoded<kDtype>(star, quantizer.step(), q);
    }
    u[at] = Storage<kDtype>::Widen(task[at]) - decoded;
    entries->positions[kept] = at;
    entries->codes[kept++] = q;
  }
  entries->positions.resize(kept);
  entries->codes.resize(kept);
}

}  // namespace

void QuantizeSegment(const StepQuantizer& quantizer, const CodecTensor& tensor, uint64_t first, size_t n,
                     StepSum sum, Scratch& scratch, size_t slot, QuantizedSegment* out) {
  const TfBackend& backend = ActiveBackend();
  const Dtype dtype = tensor.shape.dtype;
  const void* merged = ReadElements(backend, {tensor.merged, dtype}, dtype, first, n, scratch, slot);
  const void* task = ReadElements(backend, tensor.task, dtype, first, n, scratch, slot + 3);
  auto* u = scratch.Array<float>(slot + 6, n);
  FiniteResidual({&tensor.shape.name, dtype, first}, n, task, merged, u);
  auto* bits = scratch.Array<uint64_t>(slot + 7, kBlockWords);
  TfMarks marks;
  backend.mark(static_cast<int32_t>(Dtype::kF32), n, nullptr, u, quantizer.threshold(), bits, &marks);
  StepEntries& entries = out->entries;
  entries.positions.resize(marks.at_least);
  entries.codes.resize(marks.at_least);
  backend.positions(n, bits, entries.positions.data());
  if (sum == StepSum::kResidual) out->squared = SumOfSquares(u, n);
  VisitDtype(dtype, [&]<Dtype kDtype>() { Quantize<kDtype>(quantizer, task, merged, u, &entries); });
  if (sum == StepSum::kError) out->squared = SumOfSquares(u, n);
}

}  // namespace taskfold
