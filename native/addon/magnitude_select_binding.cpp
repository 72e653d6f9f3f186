#include "addon/argument.h"
#include "addon/async_job.h"
#include "addon/bindings.h"
#include "addon/error_value.h"
#include "ops/operand_reader.h"
#include "ops/select_entries.h"

namespace taskfold {
namespace {

Napi::Value PositionArray(Napi::Env env, const SelectedEntries& selected) {
  if (selected.wide_positions.empty()) {
    Napi::Uint32Array array = Napi::Uint32Array::New(env, selected.positions.size());
    std::copy(selected.positions.begin(), selected.positions.end(), array.Data());
    return array;
  }
  Napi::Float64Array array = Napi::Float64Array::New(env, selected.wide_positions.size());
  std::copy(selected.wide_positions.begin(), selected.wide_positions.end(), array.Data());
  return array;
}

std::vector<uint64_t> ReadPositions(Napi::Object job) {
  const Napi::Value value = job.Get("positions");
  std::vector<uint64_t> positions;
  if (value.IsTypedArray()) {
    const auto type = value.As<Napi::TypedArray>().TypedArrayType();
    if (type == napi_uint32_array) {
      const auto array = value.As<Napi::Uint32Array>();
      positions.assign(array.Data(), array.Data() + array.ElementLength());
      return positions;
    }
    if (type == napi_float64_array) {
      const auto array = value.As<Napi::Float64Array>();
      for (size_t i = 0; i < array.ElementLength(); i++) {
        const double position = array.Data()[i];
        if (!(position >= 0 && position < 9007199254740992.0 &&
              position == static_cast<double>(static_cast<uint64_t>(position)))) {
          throw ArgumentError(job.Env(), "positions[" + std::to_string(i) + "] is not a whole number");
        }
        positions.push_back(static_cast<uint64_t>(position));
      }
      return positions;
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
        result.Set("values",
                   Napi::Buffer<uint8_t>::Copy(env, selected.values.data(), selected.values.size()));
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
  std::vector<uint64_t> positions = ReadPositions(job);
  if (values.length() != positions.size() * item_size) {
    throw ArgumentError(env,
                        "expected one value for each of " + std::to_string(positions.size()) + " positions");
  }
  if (target.length() % item_size != 0) throw ArgumentError(env, "expected target to hold whole items");
  return StartVoidJob(env, info[1], std::move(pins),
                      [target, values, item_size, positions = std::move(positions)](RunControl&) {
                        ScatterEntries(target.memory(), target.length() / item_size, item_size, positions,
                                       values.memory());
                      });
}

}  // namespace taskfold
