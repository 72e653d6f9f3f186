#include "addon/argument.h"
#include "addon/async_job.h"
#include "addon/bindings.h"
#include "addon/string_array.h"
#include "ops/convert_region.h"
#include "ops/copy_regions.h"
#include "ops/fingerprint.h"

namespace taskfold {

Napi::Value BindCopyRegions(const Napi::CallbackInfo& info) {
  const Napi::Object job = ReadObject(info.Env(), info[0], "job");
  Pins pins;
  std::vector<RegionCopy> copies;
  ForEachObject(job, "copies", [&](Napi::Object object) {
    copies.push_back(
        {ReadString(object, "name"), ReadRegion(object, "from", &pins), ReadRegion(object, "to", &pins)});
  });
  return StartVoidJob(info.Env(), info[1], std::move(pins),
                      [copies = std::move(copies)](RunControl& control) { CopyRegions(copies, control); });
}

Napi::Value BindFingerprintRegions(const Napi::CallbackInfo& info) {
  const Napi::Object job = ReadObject(info.Env(), info[0], "job");
  Pins pins;
  std::vector<Region> regions;
  ForEachObject(job, "regions", [&](Napi::Object region) {
    regions.push_back(ReadRegion(info.Env(), region, "regions", &pins));
  });
  return StartJob(
      info.Env(), info[1], std::move(pins),
      [regions = std::move(regions)](RunControl& control) { return FingerprintRegions(regions, control); },
      [](Napi::Env env, std::vector<std::string>& fingerprints) -> Napi::Value {
        return StringArray(env, fingerprints);
      });
}

Napi::Value BindConvertRegion(const Napi::CallbackInfo& info) {
  const Napi::Object job = ReadObject(info.Env(), info[0], "job");
  Pins pins;
  const uint64_t elements = ReadCount(job, "elements");
  const Operand from = ReadOperand(job, "from", &pins);
  const Operand to = ReadOperand(job, "to", &pins);
  return StartJob(
      info.Env(), info[1], std::move(pins),
      [elements, from, to](RunControl& control) { return ConvertRegion(elements, from, to, control); },
      [](Napi::Env env, uint64_t& inexact) -> Napi::Value {
        const Napi::Object result = Napi::Object::New(env);
        result.Set("inexact", static_cast<double>(inexact));
        return result;
      });
}

}  // namespace taskfold
