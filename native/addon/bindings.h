#pragma once
#include <napi.h>

// One function per entry of NativeBinding (lib/binding/binding-types.ts).

namespace taskfold {

Napi::Value OpenFile(const Napi::CallbackInfo& info);
Napi::Value AllocateFile(const Napi::CallbackInfo& info);
Napi::Value SyncFile(const Napi::CallbackInfo& info);

Napi::Value BindSampleResiduals(const Napi::CallbackInfo& info);
Napi::Value BindMergeTensors(const Napi::CallbackInfo& info);
Napi::Value BindCountResiduals(const Napi::CallbackInfo& info);

Napi::Value BindEmitDelta(const Napi::CallbackInfo& info);
Napi::Value BindScatterTensors(const Napi::CallbackInfo& info);
Napi::Value BindCompareTensors(const Napi::CallbackInfo& info);

Napi::Value BindCopyRegions(const Napi::CallbackInfo& info);
Napi::Value BindFingerprintRegions(const Napi::CallbackInfo& info);
Napi::Value BindConvertRegion(const Napi::CallbackInfo& info);

Napi::Value BindSelectEntries(const Napi::CallbackInfo& info);
Napi::Value BindScatterEntries(const Napi::CallbackInfo& info);

Napi::Value BindTruncateProducts(const Napi::CallbackInfo& info);
Napi::Value BindAddProducts(const Napi::CallbackInfo& info);
Napi::Value BindRandomizedSvd(const Napi::CallbackInfo& info);

Napi::Value BindOpenCodedTask(const Napi::CallbackInfo& info);
Napi::Function StepEncoderClass(Napi::Env env);
Napi::Value BindCountStep(const Napi::CallbackInfo& info);
Napi::Value BindEncodeStep(const Napi::CallbackInfo& info);
Napi::Function HistogramClass(Napi::Env env);
Napi::Value BindCountHistogram(const Napi::CallbackInfo& info);

Napi::Value BindCountEntries(const Napi::CallbackInfo& info);
Napi::Value BindCollectEntries(const Napi::CallbackInfo& info);
Napi::Value BindExchangeEntries(const Napi::CallbackInfo& info);
Napi::Value BindUnsharedBuffer(const Napi::CallbackInfo& info);
Napi::Value BindAdviseHugePages(const Napi::CallbackInfo& info);

Napi::Value BindLoadResidentModel(const Napi::CallbackInfo& info);

Napi::Value Devices(const Napi::CallbackInfo& info);
Napi::Value BindProbeCuda(const Napi::CallbackInfo& info);
Napi::Value BindCudaDriverPresent(const Napi::CallbackInfo& info);
Napi::Value BindOpenDevices(const Napi::CallbackInfo& info);
Napi::Value BindSetSimdTarget(const Napi::CallbackInfo& info);
Napi::Value SetCudaLibrary(const Napi::CallbackInfo& info);

}  // namespace taskfold
