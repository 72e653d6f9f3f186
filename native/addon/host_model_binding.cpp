#include <sys/mman.h>
#include <unistd.h>

#include "addon/argument.h"
#include "addon/async_job.h"
#include "addon/bindings.h"
#include "addon/error_value.h"
#include "ops/host_model.h"

namespace taskfold {
namespace {

EntryArrays ReadEntries(Napi::Object object, bool counted, Pins* pins) {
  EntryArrays entries;
  entries.starts = ReadRegion(object, "starts", pins);
  if (!counted) return entries;
  entries.positions = ReadRegion(object, "positions", pins);
  entries.values = ReadRegion(object, "values", pins);
  return entries;
}

std::vector<CollectTensor> ReadCollectJob(Napi::Object job, bool counted, Pins* pins) {
  return ReadTensors<CollectTensor>(job, [&](Napi::Object object, CollectTensor* tensor) {
    tensor->merged = ReadRegion(object, "merged", pins);
    tensor->delta = ReadDelta(object, "delta", pins);
    tensor->coded = ReadCoded(object, "delta");
    tensor->entries = ReadEntries(object, counted, pins);
  });
}

Napi::Value StartCollecting(const Napi::CallbackInfo& info, bool counted) {
  const Napi::Object job = ReadObject(info.Env(), info[0], "job");
  Pins pins;
  std::vector<CollectTensor> tensors = ReadCollectJob(job, counted, &pins);
  return StartVoidJob(info.Env(), info[1], std::move(pins),
                      [tensors = std::move(tensors), counted](RunControl& control) {
                        if (counted) return CollectEntries(tensors, control);
                        CountEntries(tensors, control);
                      });
}

ExchangeLayer ReadLayer(Napi::Object object, Pins* pins) {
  ExchangeLayer layer;
  layer.elements = ReadCount(object, "elements");
  if (layer.elements > 0) layer.entries = ReadEntries(object, true, pins);
  layer.at = ReadCount(object, "at");
  if (const auto bytes = ReadOptionalRegion(object, "bytes", pins)) layer.bytes = *bytes;
  return layer;
}

}  // namespace

Napi::Value BindCountEntries(const Napi::CallbackInfo& info) { return StartCollecting(info, false); }

Napi::Value BindCollectEntries(const Napi::CallbackInfo& info) { return StartCollecting(info, true); }

Napi::Value BindExchangeEntries(const Napi::CallbackInfo& info) {
  const Napi::Object job = ReadObject(info.Env(), info[0], "job");
  Pins pins;
  std::vector<ExchangeTensor> tensors;
  ForEachObject(job, "tensors", [&](Napi::Object object) {
    ExchangeTensor tensor;
    tensor.name = ReadString(object, "name");
    tensor.target = ReadRegion(object, "target", &pins);
    tensor.item_size = static_cast<size_t>(ReadCountWithin(object, "itemSize", 1, 8));
    ForEachObject(object, "layers",
                  [&](Napi::Object layer) { tensor.layers.push_back(ReadLayer(layer, &pins)); });
    tensors.push_back(std::move(tensor));
  });
  return StartVoidJob(
      info.Env(), info[1], std::move(pins),
      [tensors = std::move(tensors)](RunControl& control) { ExchangeEntries(tensors, control); });
}

Napi::Value BindUnsharedBuffer(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Pins pins;
  const Region region = ReadRegion(env, info[0], "memory", &pins);
  if (region.file()) throw ArgumentError(env, "expected memory to be a Uint8Array");
  if (region.length() == 0) return Napi::ArrayBuffer::New(env, 0);
  // Keeps the memory's owner alive as long as the new buffer.
  auto* owner = new Napi::ObjectReference(std::move(pins.front()));
  try {
    return Napi::ArrayBuffer::New(
        env, region.memory(), static_cast<size_t>(region.length()),
        [](Napi::Env, void*, Napi::ObjectReference* kept) { delete kept; }, owner);
  } catch (...) {
    delete owner;
    throw;
  }
}

Napi::Value BindAdviseHugePages(const Napi::CallbackInfo& info) {
  Pins pins;
  const Region region = ReadRegion(info.Env(), info[0], "memory", &pins);
  if (region.file()) throw ArgumentError(info.Env(), "expected memory to be a Uint8Array");
#ifdef MADV_HUGEPAGE
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto first = (reinterpret_cast<uintptr_t>(region.memory()) + page - 1) / page * page;
  const auto end = (reinterpret_cast<uintptr_t>(region.memory()) + region.length()) / page * page;
  // Advice: a system that does not take it works as well, more slowly.
  if (region.length() > 0 && end > first) madvise(reinterpret_cast<void*>(first), end - first, MADV_HUGEPAGE);
#endif
  return info.Env().Undefined();
}

}  // namespace taskfold
