#include <cmath>

#include "addon/bindings.h"
#include "addon/exclusive.h"
#include "addon/wrapped.h"
#include "ops/residual_histogram.h"

namespace taskfold {
namespace {

std::vector<float> ReadLambdas(Napi::Object shape) {
  const Napi::Env env = shape.Env();
  const Napi::Value value = shape.Get("lambdas");
  if (!value.IsArray()) throw ArgumentError(env, "expected lambdas to be an array");
  const auto array = value.As<Napi::Array>();
  std::vector<float> lambdas;
  for (uint32_t i = 0; i < array.Length(); i++) {
    const Napi::Value item = array.Get(i);
    const double number = item.IsNumber() ? item.As<Napi::Number>().DoubleValue() : NAN;
    const auto lambda = static_cast<float>(number);
    if (!std::isfinite(lambda) || static_cast<double>(lambda) != number) {
      throw ArgumentError(env, "expected lambdas to be finite f32 numbers (use Math.fround)");
    }
    lambdas.push_back(lambda);
  }
  return lambdas;
}

class HistogramObject : public Napi::ObjectWrap<HistogramObject> {
 public:
  static constexpr napi_type_tag kTag{0x7461736b666f6c64, 0x686973746f670001};
  using Use = ExclusiveUse<ResidualHistogram>;

  static Napi::Function Class(Napi::Env env) {
    const Napi::Function type = DefineClass(env, "Histogram", {});
    SetMethod(type, "bins", Bins);
    SetMethod(type, "sums", Sums);
    return type;
  }

  explicit HistogramObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<HistogramObject>(info) {
    const Napi::Env env = info.Env();
    const Napi::Object shape =
        ReadObject(env, info.Length() > 0 ? info[0] : static_cast<Napi::Value>(env.Undefined()), "shape");
    try {
      shared_ = std::make_shared<Exclusive<ResidualHistogram>>(ReadLambdas(shape), ReadCount(shape, "tasks"),
                                                               ReadCount(shape, "groups"));
    } catch (const Error& error) {
      throw ErrorValue(env, error);
    }
    info.This().As<Napi::Object>().TypeTag(&kTag);
  }

  static std::shared_ptr<Use> UseOf(Napi::Env env, Napi::Value value) {
    auto* object = CheckedUnwrap<HistogramObject>(env, value, "histogram", "a Histogram");
    return std::make_shared<Use>(env, object->shared_, "histogram");
  }

 private:
  /// Calls read(histogram, lambda, task, group).
  template <class Read>
  static Napi::Value ReadCell(const Napi::CallbackInfo& info, const Read& read) {
    const Napi::Env env = info.Env();
    const auto use = UseOf(env, info.This());
    const Napi::Object cell = Napi::Object::New(env);
    constexpr const char* kNames[] = {"lambda", "task", "group"};
    for (size_t i = 0; i < 3; i++) {
      cell.Set(kNames[i], info.Length() > i ? info[i] : static_cast<Napi::Value>(env.Undefined()));
    }
    try {
      return read(**use, ReadCount(cell, "lambda"), ReadCount(cell, "task"), ReadCount(cell, "group"));
    } catch (const Error& error) {
      throw ErrorValue(env, error);
    }
  }

  static Napi::Value Bins(const Napi::CallbackInfo& info) {
    return ReadCell(info, [&](const ResidualHistogram& histogram, size_t l, size_t t, size_t g) {
      const ResidualHistogram::Bins bins = histogram.BinsOf(l, t, g);
      auto counts = Napi::Float64Array::New(info.Env(), bins.counts.size());
      for (size_t i = 0; i < bins.counts.size(); i++) counts[i] = static_cast<double>(bins.counts[i]);
      const Napi::Object value = Napi::Object::New(info.Env());
      value.Set("first", static_cast<double>(bins.first));
      value.Set("counts", counts);
      return value;
    });
  }

  static Napi::Value Sums(const Napi::CallbackInfo& info) {
    return ReadCell(info, [&](const ResidualHistogram& histogram, size_t l, size_t t, size_t g) {
      const HistogramSums sums = histogram.SumsOf(l, t, g);
      const Napi::Object value = Napi::Object::New(info.Env());
      value.Set("squared", sums.squared);
      value.Set("absolute", sums.absolute);
      value.Set("original", sums.original);
      value.Set("elements", static_cast<double>(sums.elements));
      return value;
    });
  }

  std::shared_ptr<Exclusive<ResidualHistogram>> shared_;
};

}  // namespace

Napi::Function HistogramClass(Napi::Env env) { return HistogramObject::Class(env); }

Napi::Value BindCountHistogram(const Napi::CallbackInfo& info) {
  const Napi::Object job = ReadObject(info.Env(), info[0], "job");
  Pins pins;
  auto tensors = ReadTensors<HistogramTensor>(job, [&](Napi::Object object, HistogramTensor* tensor) {
    if (!IsNullish(object, "base")) tensor->base = ReadOperand(object, "base", &pins);
    tensor->merged = ReadOptionalRegion(object, "merged", &pins);
    tensor->tasks = ReadOperands(object, "tasks", &pins);
    tensor->group = ReadCount(object, "group");
  });
  return StartVoidJob(
      info.Env(), info[1], std::move(pins),
      [tensors = std::move(tensors),
       use = HistogramObject::UseOf(info.Env(), job.Get("histogram"))](RunControl& control) mutable {
        const auto done = std::move(use);
        (*done)->Count(tensors, control);
      });
}

}  // namespace taskfold
