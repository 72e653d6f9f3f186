#include "addon/argument.h"

#include <cmath>

#include "addon/coded_object.h"
#include "addon/error_value.h"
#include "addon/wrapped.h"

namespace taskfold {
namespace {

constexpr double kMaxCount = 9007199254740992.0;  // 2^53: whole numbers above are not exact in JavaScript
// More threads than any machine this runs on; a typo would otherwise try to start millions.
constexpr double kMaxThreads = 1024;

Napi::Error Wrong(Napi::Env env, const std::string& what, const std::string& expected) {
  return ArgumentError(env, "expected " + what + " to be " + expected);
}

uint64_t CountOf(Napi::Env env, Napi::Value value, const std::string& what) {
  const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : -1;
  if (!(number >= 0 && number < kMaxCount && number == std::floor(number))) {
    throw Wrong(env, what, "a whole number from 0 to 2^53");
  }
  return static_cast<uint64_t>(number);
}

}  // namespace

SelectionUse::SelectionUse(Napi::Env env, std::shared_ptr<SharedSelection> shared, bool exclusive)
    : shared_(std::move(shared)), exclusive_(exclusive) {
  if (!shared_) return;
  if (shared_->exclusive || (exclusive && shared_->users > 0)) {
    shared_.reset();
    throw ArgumentError(env, "the selection is in use by a running job");
  }
  shared_->users++;
  if (exclusive) shared_->exclusive = true;
}

SelectionUse::~SelectionUse() {
  if (!shared_) return;
  if (exclusive_) shared_->exclusive = false;
  shared_->users--;
}

ControlArgument ReadControl(Napi::Env env, Napi::Value value) {
  ControlArgument control;
  control.on_progress = env.Undefined();
  if (value.IsEmpty() || value.IsUndefined() || value.IsNull()) return control;
  const Napi::Object object = ReadObject(env, value, "control");
  const Napi::Value cancel = object.Get("cancel");
  if (!cancel.IsUndefined() && !cancel.IsNull()) {
    control.cancel = CheckedUnwrap<CancelObject>(env, cancel, "control.cancel", "a CancelToken")->flag();
  }
  const Napi::Value threads = object.Get("threads");
  if (!threads.IsUndefined()) {
    const uint64_t count = CountOf(env, threads, "control.threads");
    if (count < 1 || static_cast<double>(count) > kMaxThreads)
      throw Wrong(env, "control.threads", "from 1 to 1024");
    control.threads = static_cast<unsigned>(count);
  }
  const Napi::Value device = object.Get("device");
  if (!device.IsUndefined() && !device.IsNull()) {
    const char* const expected = "GPUs opened with openDevices";
    control.devices = CheckedUnwrap<DeviceSetObject>(env, device, "control.device", expected)->set();
    if (!control.devices) throw Wrong(env, "control.device", "open GPUs (these are closed)");
  }
  control.on_progress = object.Get("onProgress");
  if (!control.on_progress.IsUndefined() && !control.on_progress.IsFunction()) {
    throw Wrong(env, "control.onProgress", "a function");
  }
  return control;
}

Napi::Object ReadObject(Napi::Env env, Napi::Value value, const char* what) {
  if (value.IsEmpty() || !value.IsObject()) throw Wrong(env, what, "an object");
  return value.As<Napi::Object>();
}

void ForEachObject(Napi::Object parent, const char* key, const std::function<void(Napi::Object)>& each) {
  const Napi::Value value = parent.Get(key);
  if (!value.IsArray()) throw Wrong(parent.Env(), key, "an array");
  const Napi::Array array = value.As<Napi::Array>();
  for (uint32_t i = 0; i < array.Length(); i++) {
    const Napi::HandleScope scope(parent.Env());
    each(ReadObject(parent.Env(), array.Get(i), key));
  }
}

std::string ReadString(Napi::Object object, const char* key) {
  const Napi::Value value = object.Get(key);
  if (!value.IsString()) throw Wrong(object.Env(), key, "a string");
  return value.As<Napi::String>().Utf8Value();
}

uint64_t ReadCount(Napi::Object object, const char* key) {
  return CountOf(object.Env(), object.Get(key), key);
}

uint64_t ReadCountWithin(Napi::Object object, const char* key, uint64_t least, uint64_t most) {
  const uint64_t count = ReadCount(object, key);
  if (count < least || count > most) {
    throw Wrong(object.Env(), key,
                "a whole number from " + std::to_string(least) + " to " + std::to_string(most));
  }
  return count;
}

double ReadNumber(Napi::Object object, const char* key) {
  const Napi::Value value = object.Get(key);
  if (!value.IsNumber()) throw Wrong(object.Env(), key, "a number");
  return value.As<Napi::Number>().DoubleValue();
}

std::vector<int32_t> ReadDeviceNumbers(Napi::Object object, const char* key) {
  constexpr uint64_t kMostDevices = 1024;
  const Napi::Value value = object.Get(key);
  if (!value.IsArray()) throw Wrong(object.Env(), key, "an array");
  const Napi::Array array = value.As<Napi::Array>();
  std::vector<int32_t> devices;
  for (uint32_t i = 0; i < array.Length(); i++) {
    const uint64_t number = CountOf(object.Env(), array.Get(i), key);
    if (number >= kMostDevices) throw Wrong(object.Env(), key, "device numbers below 1024");
    devices.push_back(static_cast<int32_t>(number));
  }
  return devices;
}

bool ReadFlag(Napi::Object object, const char* key) {
  const Napi::Value value = object.Get(key);
  if (!value.IsBoolean()) throw Wrong(object.Env(), key, "true or false");
  return value.As<Napi::Boolean>().Value();
}

bool IsNullish(Napi::Object object, const char* key) {
  const Napi::Value value = object.Get(key);
  return value.IsUndefined() || value.IsNull();
}

Dtype ReadDtype(Napi::Object object, const char* key) {
  Dtype dtype;
  if (!ParseDtype(ReadString(object, key), &dtype)) {
    throw Wrong(object.Env(), key, "one of F32, F16, BF16, F8_E4M3, F8_E5M2");
  }
  return dtype;
}

bool ReadKeepNonFinite(Napi::Object object) {
  if (IsNullish(object, "nonFinite")) return false;
  const std::string choice = ReadString(object, "nonFinite");
  if (choice != "keep" && choice != "error") throw Wrong(object.Env(), "nonFinite", "'error' or 'keep'");
  return choice == "keep";
}

IndexCode ReadIndexCode(Napi::Object object, const char* key, bool allow_auto) {
  const std::string code = ReadString(object, key);
  if (code == "u16") return IndexCode::kU16;
  if (code == "bitmap") return IndexCode::kBitmap;
  if (code == "rice") return IndexCode::kRice;
  if (code == "all") return IndexCode::kAll;
  if (code == "auto" && allow_auto) return IndexCode::kAuto;
  throw Wrong(object.Env(), key,
              allow_auto ? "'u16', 'bitmap', 'rice', 'all' or 'auto'" : "'u16', 'bitmap', 'rice' or 'all'");
}

ValueCode ReadEmitValues(Napi::Object job) {
  const std::string codec = IsNullish(job, "codec") ? "exact" : ReadString(job, "codec");
  if (codec == "sign") return ValueCode::kSign;
  if (codec == "int4") return ValueCode::kInt4;
  if (codec != "exact") throw Wrong(job.Env(), "codec", "'exact', 'sign' or 'int4'");
  const std::string values = IsNullish(job, "values") ? "plain" : ReadString(job, "values");
  if (values == "plain") return ValueCode::kPlain;
  if (values == "coded") return ValueCode::kCoded;
  if (values == "auto") return ValueCode::kAuto;
  throw Wrong(job.Env(), "values", "'auto', 'plain' or 'coded'");
}

namespace {

ValueCode ReadStoredValues(Napi::Object delta) {
  const std::string values = IsNullish(delta, "values") ? "plain" : ReadString(delta, "values");
  if (values == "plain") return ValueCode::kPlain;
  if (values == "coded") return ValueCode::kCoded;
  if (values == "sign") return ValueCode::kSign;
  if (values == "int4") return ValueCode::kInt4;
  throw Wrong(delta.Env(), "values", "'plain', 'coded', 'sign' or 'int4'");
}

}  // namespace

Threshold ReadThreshold(Napi::Object object, const char* key) {
  const Napi::Object value = ReadObject(object.Env(), object.Get(key), key);
  const uint64_t bits = ReadCount(value, "key");
  if (bits > kKeepNothing || (bits >= kKeyEnd && bits != kKeepNothing)) {
    throw Wrong(object.Env(), "threshold.key", "the bits of a magnitude or 0xFFFFFFFF");
  }
  return {static_cast<uint32_t>(bits), ReadCount(value, "ties")};
}

Region ReadRegion(Napi::Env env, Napi::Value value, const char* what, Pins* pins) {
  if (value.IsTypedArray()) {
    const auto array = value.As<Napi::TypedArray>();
    if (array.TypedArrayType() != napi_uint8_array)
      throw Wrong(env, what, "a Uint8Array or a file's byte range");
    auto bytes = value.As<Napi::Uint8Array>();
    if (bytes.ArrayBuffer().Get("resizable").ToBoolean()) {
      throw Wrong(env, what, "memory of a fixed size (this ArrayBuffer is resizable)");
    }
    pins->push_back(Napi::Persistent(value.As<Napi::Object>()));
    return Region::OfMemory(bytes.Data(), bytes.ByteLength());
  }
  const Napi::Object range = ReadObject(env, value, what);
  const uint64_t offset = ReadCount(range, "offset");
  const uint64_t length = ReadCount(range, "length");
  if (static_cast<double>(offset) + static_cast<double>(length) >= kMaxCount) {
    throw Wrong(env, what, "a byte range below 2^53");
  }
  return Region::OfFile(ReadFile(env, range.Get("file"), what), offset, length);
}

Region ReadRegion(Napi::Object object, const char* key, Pins* pins) {
  return ReadRegion(object.Env(), object.Get(key), key, pins);
}

std::optional<Region> ReadOptionalRegion(Napi::Object object, const char* key, Pins* pins) {
  if (IsNullish(object, key)) return std::nullopt;
  return ReadRegion(object, key, pins);
}

Operand ReadOperand(Napi::Object object, const char* key, Pins* pins) {
  const Napi::Object operand = ReadObject(object.Env(), object.Get(key), key);
  return {ReadRegion(operand, "region", pins), ReadDtype(operand, "dtype")};
}

std::vector<Operand> ReadOperands(Napi::Object object, const char* key, Pins* pins) {
  std::vector<Operand> operands;
  ForEachObject(object, key, [&](Napi::Object operand) {
    operands.push_back({ReadRegion(operand, "region", pins), ReadDtype(operand, "dtype")});
  });
  return operands;
}

std::optional<DeltaRegions> ReadDelta(Napi::Object object, const char* key, Pins* pins) {
  if (IsNullish(object, key)) return std::nullopt;
  const Napi::Object value = ReadObject(object.Env(), object.Get(key), key);
  if (value.Has("coded")) return std::nullopt;
  DeltaRegions delta;
  delta.kept = ReadCount(value, "kept");
  delta.index = ReadIndexCode(value, "index", false);
  if (delta.index != IndexCode::kAll) {
    delta.blocks = ReadRegion(value, "blocks", pins);
    delta.index_bytes = ReadRegion(value, "indexBytes", pins);
  }
  delta.value = ReadRegion(value, "value", pins);
  delta.values = ReadStoredValues(value);
  if (delta.values == ValueCode::kSign) delta.scale = static_cast<float>(ReadNumber(value, "scale"));
  if (delta.values == ValueCode::kInt4) delta.scales = ReadRegion(value, "scales", pins);
  return delta;
}

std::optional<CodedRemainder> ReadCoded(Napi::Object object, const char* key) {
  if (IsNullish(object, key)) return std::nullopt;
  const Napi::Object value = ReadObject(object.Env(), object.Get(key), key);
  if (!value.Has("coded")) return std::nullopt;
  CodedRemainder coded;
  coded.task = CheckedUnwrap<CodedTaskObject>(object.Env(), value.Get("coded"), "coded",
                                              "a task opened with openCodedTask")
                   ->task();
  if (!coded.task) throw Wrong(object.Env(), "coded", "an open task (this one is closed)");
  coded.tensor = ReadCount(value, "tensor");
  return coded;
}

std::shared_ptr<File> ReadFile(Napi::Env env, Napi::Value value, const char* what) {
  auto* object = CheckedUnwrap<FileObject>(env, value, what, "a file opened with openFile");
  if (!object->file()) throw Wrong(env, what, "an open file (this one is closed)");
  return object->file();
}

std::shared_ptr<SharedSelection> ReadSelection(Napi::Object object, const char* key, bool optional) {
  if (optional && IsNullish(object, key)) return nullptr;
  return CheckedUnwrap<SelectionObject>(object.Env(), object.Get(key), key, "a Selection")->shared();
}

}  // namespace taskfold
