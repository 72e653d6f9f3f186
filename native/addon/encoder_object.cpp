#include "addon/encoder_object.h"

#include "addon/coded_object.h"

namespace taskfold {

CodecTensor ReadCodecTensor(Napi::Object object, Pins* pins) {
  CodecTensor tensor;
  tensor.shape = ReadCodedTensor(object);
  tensor.task = ReadOperand(object, "task", pins);
  tensor.merged = ReadRegion(object, "merged", pins);
  return tensor;
}

EncoderOptions ReadEncoderOptions(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Napi::Object object =
      ReadObject(env, info.Length() > 0 ? info[0] : static_cast<Napi::Value>(env.Undefined()), "options");
  EncoderOptions options;
  options.step = ReadStep(object, "step");
  const double dead_zone = ReadNumber(object, "deadZone");
  if (!(dead_zone >= 0.5 && dead_zone <= 1)) {
    throw ArgumentError(env, "expected deadZone to be from 0.5 to 1");
  }
  options.dead_zone = static_cast<float>(dead_zone);
  options.tensors = ReadCodedTensors(object);
  options.out = ReadFile(env, object.Get("out"), "out");
  options.offset = ReadCount(object, "offset");
  return options;
}

Napi::Value CodedResultValue(Napi::Env env, const CodedResult& result) {
  const auto bytes = [&](const std::vector<uint8_t>& from) {
    return Napi::Buffer<uint8_t>::Copy(env, from.data(), from.size());
  };
  const Napi::Object value = Napi::Object::New(env);
  value.Set("tables", bytes(result.tables));
  value.Set("directory", bytes(result.directory));
  value.Set("codesBytes", static_cast<double>(result.codes_bytes));
  value.Set("errorSquared", result.error_squared);
  value.Set("residualSquared", result.residual_squared);
  value.Set("kept", static_cast<double>(result.kept));
  value.Set("entropyBits", result.entropy_bits);
  return value;
}

}  // namespace taskfold
