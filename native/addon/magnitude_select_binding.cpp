#include <cmath>

#include "addon/argument.h"
#include "addon/async_job.h"
#include "addon/bindings.h"
#include "addon/error_value.h"
#include "ops/operand_reader.h"
#include "ops/select_entries.h"

namespace taskfold {
namespace {

/// Gives a vector's memory to JavaScript without copying it, where the runtime allows that.
template <class T>
Napi::Buffer<uint8_t> HandOver(Napi::Env env, std::vector<T>&& values) {
  if (values.empty()) return Napi::Buffer<uint8_t>::New(env, 0);
  auto* owned = new std::vector<T>(std::move(values));
  return Napi::Buffer<uint8_t>::NewOrCopy(
      env, reinterpret_cast<uint8_t*>(owned->data()), owned->size() * sizeof(T),
      [](Napi::Env, uint8_t*, std::vector<T>* memory) { delete memory; }, owned);
}

Napi::Value PositionArray(Napi::Env env, SelectedEntries& selected) {
  if (selected.wide_positions.empty()) {
    const size_t count = selected.positions.size();
    if (count == 0) return Napi::Uint32Array::New(env, 0);
    const auto bytes = HandOver(env, std::move(selected.positions));
    return Napi::Uint32Array::New(env, count, bytes.ArrayBuffer(), bytes.ByteOffset());
  }
  const size_t count = selected.wide_positions.size();
  const auto bytes = HandOver(env, std::move(selected.wide_positions));
  return Napi::Float64Array::New(env, count, bytes.ArrayBuffer(), bytes.ByteOffset());
}

/// Positions as JavaScript has them; copied and checked by the job, because the caller may change them
/// meanwhile.
struct PositionSource {
  const uint32_t* narrow = nullptr;
  const double* wide = nullptr;
  size_t count = 0;

  std::vector<uint64_t> Copy() const {
    std::vector<uint64_t> positions(count);
    for (size_t i = 0; i < count; i++) {
      if (narrow) {
        positions[i] = narrow[i];
        continue;
      }
      const double position = wide[i];
      if (!(position >= 0 && position < 9007199254740992.0 && position == std::floor(position))) {
        throw Error("INVALID_ARGUMENT", "positions[" + std::to_string(i) + "] is not a whole number")
            .Index(static_cast<int64_t>(i));
      }
      positions[i] = static_cast<uint64_t>(position);
    }
    return positions;
  }
};

PositionSource ReadPositions(Napi::Object job, Pins* pins) {
  const Napi::Value value = job.Get("positions");
  PositionSource source;
  if (value.IsTypedArray()) {
    auto array = value.As<Napi::TypedArray>();
    source.count = array.ElementLength();
    pins->push_back(Napi::Persistent(value.As<Napi::Object>()));
    if (array.TypedArrayType() == napi_uint32_array) {
      source.narrow = value.As<Napi::Uint32Array>().Data();
      return source;
    }
    if (array.TypedArrayType() == napi_float64_array) {
      source.wide = value.As<Napi::Float64Array>().Data();
      return source;
    }
  }
  throw ArgumentError(job.Env(), "expected positions to be a Uint32Array or a Float64Array");
}

}  // namespace

Napi::Value BindSelectEntries(const Napi::CallbackInfo& info) {
  const Napi::Object job = ReadObject(info.Env(), info[0], "job");
  Pins pins;
  const uint64_t elements = ReadCount(job, "elements");
  const Dtype dtype = ReadDtype(job, "dtype");
  const Operand task = ReadOperand(job, "task", &pins);
  const std::optional<Region> merged = ReadOptionalRegion(job, "merged", &pins);
  const uint64_t k = ReadCount(job, "k");
  const bool keep = ReadKeepNonFinite(job);
  return StartJob(
      info.Env(), info[1], std::move(pins),
      [=](RunControl& control) { return SelectEntries(elements, dtype, task, merged, k, keep, control); },
      [](Napi::Env env, SelectedEntries& selected) -> Napi::Value {
        const Napi::Object threshold = Napi::Object::New(env);
        threshold.Set("key", static_cast<double>(selected.threshold.key));
        threshold.Set("ties", static_cast<double>(selected.threshold.ties));
        const Napi::Object result = Napi::Object::New(env);
        result.Set("positions", PositionArray(env, selected));
        result.Set("values", HandOver(env, std::move(selected.values)));
        result.Set("threshold", threshold);
        return result;
      });
}

Napi::Value BindScatterEntries(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Napi::Object job = ReadObject(env, info[0], "job");
  Pins pins;
  const Region target = ReadRegion(job, "target", &pins);
  const Region values = ReadRegion(job, "values", &pins);
  const uint64_t item_size = ReadCount(job, "itemSize");
  if (!target.memory() && target.length() > 0) throw ArgumentError(env, "expected target to be a Uint8Array");
  if (!values.memory() && values.length() > 0) throw ArgumentError(env, "expected values to be a Uint8Array");
  if (item_size != 1 && item_size != 2 && item_size != 4 && item_size != 8) {
    throw ArgumentError(env, "expected itemSize to be 1, 2, 4 or 8");
  }
  const PositionSource positions = ReadPositions(job, &pins);
  if (values.length() != positions.count * item_size) {
    throw ArgumentError(env,
                        "expected one value for each of " + std::to_string(positions.count) + " positions");
  }
  if (target.length() % item_size != 0) throw ArgumentError(env, "expected target to hold whole items");
  return StartVoidJob(env, info[1], std::move(pins), [=](RunControl& control) {
    control.ThrowIfCancelled();
    ScatterEntries(target.memory(), target.length() / item_size, item_size, positions.Copy(),
                   values.memory());
  });
}

}  // namespace taskfold
