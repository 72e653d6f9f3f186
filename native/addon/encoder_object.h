#pragma once
#include <napi.h>

#include "addon/argument.h"
#include "addon/async_job.h"
#include "addon/exclusive.h"
#include "addon/wrapped.h"
#include "ops/coded_encoder.h"

// What the encoders of stream codecs share in JavaScript.

namespace taskfold {

/// name, rows, columns, dtype, task and merged of a tensor to be coded.
CodecTensor ReadCodecTensor(Napi::Object object, Pins* pins);
/// An encoder's constructor options.
struct EncoderOptions {
  float step, dead_zone;
  std::vector<CodedTensor> tensors;
  std::shared_ptr<File> out;
  uint64_t offset;
};
EncoderOptions ReadEncoderOptions(const Napi::CallbackInfo& info);
Napi::Value CodedResultValue(Napi::Env env, const CodedResult& result);

/// An encoder that JavaScript holds: new Encoder(options), prepare(), finish().
template <class Encoder, uint64_t kTagLow>
class EncoderObject : public Napi::ObjectWrap<EncoderObject<Encoder, kTagLow>> {
 public:
  static constexpr napi_type_tag kTag{0x7461736b666f6c64, kTagLow};
  using Shared = std::shared_ptr<Exclusive<Encoder>>;
  using Use = ExclusiveUse<Encoder>;

  static Napi::Function Class(Napi::Env env, const char* name) {
    const Napi::Function type = EncoderObject::DefineClass(env, name, {});
    SetMethod(type, "prepare", Prepare);
    SetMethod(type, "finish", Finish);
    return type;
  }

  explicit EncoderObject(const Napi::CallbackInfo& info)
      : Napi::ObjectWrap<EncoderObject<Encoder, kTagLow>>(info) {
    try {
      EncoderOptions options = ReadEncoderOptions(info);
      shared_ =
          std::make_shared<Exclusive<Encoder>>(options.step, options.dead_zone, std::move(options.tensors),
                                               std::move(options.out), options.offset);
    } catch (const Error& error) {
      throw ErrorValue(info.Env(), error);
    }
    info.This().As<Napi::Object>().TypeTag(&kTag);
  }

  /// The encoder of a job, for as long as the result lives.
  static std::shared_ptr<Use> UseOf(Napi::Env env, Napi::Value value) {
    auto* object = CheckedUnwrap<EncoderObject>(env, value, "encoder", "an encoder of this codec");
    return std::make_shared<Use>(env, object->shared_, "encoder");
  }

 private:
  static Napi::Value Prepare(const Napi::CallbackInfo& info) {
    const auto use = UseOf(info.Env(), info.This());
    try {
      (*use)->Prepare();
    } catch (const Error& error) {
      throw ErrorValue(info.Env(), error);
    }
    return info.Env().Undefined();
  }

  static Napi::Value Finish(const Napi::CallbackInfo& info) {
    return StartJob(
        info.Env(), info.Env().Undefined(), {},
        [use = UseOf(info.Env(), info.This())](RunControl&) mutable {
          const auto done = std::move(use);
          return (*done)->Finish();
        },
        [](Napi::Env env, CodedResult& result) -> Napi::Value { return CodedResultValue(env, result); });
  }

  Shared shared_;
};

}  // namespace taskfold
