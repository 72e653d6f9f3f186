// Export list only: what each function does is in bindings.h and lib/binding/binding-types.ts.
#include <dlfcn.h>
#include <napi.h>

#include "addon/addon_data.h"
#include "addon/bindings.h"
#include "addon/candidate_spill_object.h"
#include "addon/wrapped.h"

namespace taskfold {
namespace {

/// The engine's threads outlive the environment that started them, so its code must never be unmapped, even
/// when the only environment that loaded it was a Worker that ended.
void KeepLoaded() {
  Dl_info self;
  if (dladdr(reinterpret_cast<void*>(&KeepLoaded), &self)) dlopen(self.dli_fname, RTLD_NOW | RTLD_NODELETE);
}

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  KeepLoaded();
  env.SetInstanceData(new AddonData);
  FileObject::Define(env);
  CancelObject::Define(env);
  SelectionObject::Define(env);
  DeviceSetObject::Define(env);
  CandidateSpillObject::Define(env);
  exports.Set("CancelToken", AddonData::Of(env).cancel_class.Value());
  exports.Set("Selection", AddonData::Of(env).selection_class.Value());
  exports.Set("StepEncoder", StepEncoderClass(env));
  exports.Set("Histogram", HistogramClass(env));
  exports.Set("CandidateSpill", AddonData::Of(env).spill_class.Value());
  const auto function = [&](const char* name, Napi::Value (*callback)(const Napi::CallbackInfo&)) {
    exports.Set(name, Napi::Function::New(env, callback, name));
  };
  function("openFile", OpenFile);
  function("allocateFile", AllocateFile);
  function("syncFile", SyncFile);
  function("sampleResiduals", BindSampleResiduals);
  function("mergeTensors", BindMergeTensors);
  function("countResiduals", BindCountResiduals);
  function("emitDelta", BindEmitDelta);
  function("scatterTensors", BindScatterTensors);
  function("compareTensors", BindCompareTensors);
  function("copyRegions", BindCopyRegions);
  function("fingerprintRegions", BindFingerprintRegions);
  function("convertRegion", BindConvertRegion);
  function("selectEntries", BindSelectEntries);
  function("scatterEntries", BindScatterEntries);
  function("truncateProducts", BindTruncateProducts);
  function("addProducts", BindAddProducts);
  function("randomizedSvd", BindRandomizedSvd);
  function("openCodedTask", BindOpenCodedTask);
  function("countStep", BindCountStep);
  function("encodeStep", BindEncodeStep);
  function("countHistogram", BindCountHistogram);
  function("countEntries", BindCountEntries);
  function("collectEntries", BindCollectEntries);
  function("exchangeEntries", BindExchangeEntries);
  function("unsharedBuffer", BindUnsharedBuffer);
  function("adviseHugePages", BindAdviseHugePages);
  function("loadResidentModel", BindLoadResidentModel);
  function("devices", Devices);
  function("probeCuda", BindProbeCuda);
  function("cudaDriverPresent", BindCudaDriverPresent);
  function("openDevices", BindOpenDevices);
  function("setSimdTarget", BindSetSimdTarget);
  function("setCudaLibrary", SetCudaLibrary);
  return exports;
}

NODE_API_MODULE(taskfold, Init)

}  // namespace
}  // namespace taskfold
