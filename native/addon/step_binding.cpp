#include "addon/bindings.h"
#include "addon/encoder_object.h"
#include "ops/step_encoder.h"

namespace taskfold {
namespace {

using StepEncoderObject = EncoderObject<StepEncoder, 0x7374657000000001>;
using Pass = void (StepEncoder::*)(const std::vector<CodecTensor>&, RunControl&);

Napi::Value StartPass(const Napi::CallbackInfo& info, Pass pass) {
  const Napi::Object job = ReadObject(info.Env(), info[0], "job");
  Pins pins;
  std::vector<CodecTensor> tensors;
  ForEachObject(job, "tensors",
                [&](Napi::Object object) { tensors.push_back(ReadCodecTensor(object, &pins)); });
  return StartVoidJob(
      info.Env(), info[1], std::move(pins),
      [tensors = std::move(tensors), pass,
       use = StepEncoderObject::UseOf(info.Env(), job.Get("encoder"))](RunControl& control) mutable {
        const auto done = std::move(use);
        (**done.get().*pass)(tensors, control);
      });
}

}  // namespace

Napi::Function StepEncoderClass(Napi::Env env) { return StepEncoderObject::Class(env, "StepEncoder"); }

Napi::Value BindCountStep(const Napi::CallbackInfo& info) { return StartPass(info, &StepEncoder::Count); }

Napi::Value BindEncodeStep(const Napi::CallbackInfo& info) { return StartPass(info, &StepEncoder::Encode); }

}  // namespace taskfold
