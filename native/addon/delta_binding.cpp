#include "addon/argument.h"
#include "addon/async_job.h"
#include "addon/bindings.h"
#include "addon/candidate_spill_object.h"
#include "ops/compare_tensors.h"
#include "ops/delta_scatter.h"
#include "ops/emit_delta.h"

namespace taskfold {
namespace {

Napi::Object ArrayRange(Napi::Env env, const StoredArray& range) {
  const Napi::Object object = Napi::Object::New(env);
  object.Set("offset", static_cast<double>(range.offset));
  object.Set("length", static_cast<double>(range.length));
  return object;
}

const char* NameOf(IndexCode code) {
  switch (code) {
    case IndexCode::kBitmap:
      return "bitmap";
    case IndexCode::kRice:
      return "rice";
    case IndexCode::kAll:
      return "all";
    default:
      return "u16";
  }
}

const char* NameOf(ValueCode code) {
  switch (code) {
    case ValueCode::kCoded:
      return "coded";
    case ValueCode::kSign:
      return "sign";
    case ValueCode::kInt4:
      return "int4";
    default:
      return "plain";
  }
}

Napi::Value EmitResultValue(Napi::Env env, const EmitResult& result) {
  const Napi::Array tensors = Napi::Array::New(env, result.tensors.size());
  for (size_t i = 0; i < result.tensors.size(); i++) {
    const EmittedTensor& tensor = result.tensors[i];
    const Napi::Object object = Napi::Object::New(env);
    object.Set("kept", static_cast<double>(tensor.kept));
    object.Set("index", NameOf(tensor.index));
    object.Set("values", NameOf(tensor.values));
    object.Set("scale", tensor.values == ValueCode::kSign && tensor.kept > 0
                            ? Napi::Number::New(env, static_cast<double>(tensor.scale))
                            : env.Null());
    object.Set("blockCount", static_cast<double>(tensor.block_count));
    object.Set("value", ArrayRange(env, tensor.value));
    object.Set("indexBytes", ArrayRange(env, tensor.index_bytes));
    object.Set("blocks", ArrayRange(env, tensor.blocks));
    object.Set("scales", ArrayRange(env, tensor.scales));
    tensors.Set(static_cast<uint32_t>(i), object);
  }
  const Napi::Object value = Napi::Object::New(env);
  value.Set("tensors", tensors);
  value.Set("offset", static_cast<double>(result.offset));
  value.Set("ties", static_cast<double>(result.ties));
  return value;
}

}  // namespace

Napi::Value BindEmitDelta(const Napi::CallbackInfo& info) {
  const Napi::Object job = ReadObject(info.Env(), info[0], "job");
  Pins pins;
  auto tensors = ReadTensors<EmitTensor>(job, [&](Napi::Object object, EmitTensor* tensor) {
    tensor->task = ReadOperand(object, "task", &pins);
    tensor->merged = ReadRegion(object, "merged", &pins);
  });
  EmitOptions options;
  options.threshold = ReadThreshold(job, "threshold");
  options.index = ReadIndexCode(job, "index", true);
  options.keep_non_finite = ReadKeepNonFinite(job);
  options.values = ReadEmitValues(job);
  const std::shared_ptr<File> out = ReadFile(info.Env(), job.Get("out"), "out");
  const uint64_t offset = ReadCount(job, "offset");
  auto spill = std::make_shared<SpillUse>(info.Env(), ReadSpill(job, "spill"), false);
  if (spill->get()) options.spill_task = ReadCount(job, "place");
  return StartJob(
      info.Env(), info[1], std::move(pins),
      [tensors = std::move(tensors), options, out, offset,
       spill = std::move(spill)](RunControl& control) mutable {
        const auto spilled = std::move(spill);
        options.spill = spilled->get();
        return EmitDelta(tensors, options, out, offset, control);
      },
      [](Napi::Env env, EmitResult& result) -> Napi::Value { return EmitResultValue(env, result); });
}

Napi::Value BindScatterTensors(const Napi::CallbackInfo& info) {
  const Napi::Object job = ReadObject(info.Env(), info[0], "job");
  Pins pins;
  auto tensors = ReadTensors<ScatterTensor>(job, [&](Napi::Object object, ScatterTensor* tensor) {
    tensor->merged = ReadRegion(object, "merged", &pins);
    tensor->delta = ReadDelta(object, "delta", &pins);
    tensor->coded = ReadCoded(object, "delta");
    tensor->discard = IsNullish(object, "out");
    if (!tensor->discard) tensor->out = ReadRegion(object, "out", &pins);
  });
  return StartVoidJob(
      info.Env(), info[1], std::move(pins),
      [tensors = std::move(tensors)](RunControl& control) { ScatterTensors(tensors, control); });
}

Napi::Value BindCompareTensors(const Napi::CallbackInfo& info) {
  const Napi::Object job = ReadObject(info.Env(), info[0], "job");
  Pins pins;
  auto tensors = ReadTensors<CompareTensor>(job, [&](Napi::Object object, CompareTensor* tensor) {
    tensor->merged = ReadRegion(object, "merged", &pins);
    tensor->delta = ReadDelta(object, "delta", &pins);
    tensor->coded = ReadCoded(object, "delta");
    tensor->against = ReadOperand(object, "against", &pins);
  });
  return StartJob(
      info.Env(), info[1], std::move(pins),
      [tensors = std::move(tensors)](RunControl& control) { return CompareTensors(tensors, control); },
      [](Napi::Env env, std::vector<TensorDifference>& differences) -> Napi::Value {
        const Napi::Array array = Napi::Array::New(env, differences.size());
        for (size_t i = 0; i < differences.size(); i++) {
          const TensorDifference& difference = differences[i];
          const Napi::Object object = Napi::Object::New(env);
          object.Set("differing", static_cast<double>(difference.differing));
          object.Set("firstDifferent", static_cast<double>(difference.first_different));
          object.Set("maxAbs", difference.max_abs);
          object.Set("errorSquared", difference.error_squared);
          object.Set("residualSquared", difference.residual_squared);
          object.Set("originalSquared", difference.original_squared);
          object.Set("keptDiffering", static_cast<double>(difference.kept_differing));
          array.Set(static_cast<uint32_t>(i), object);
        }
        return array;
      });
}

}  // namespace taskfold
