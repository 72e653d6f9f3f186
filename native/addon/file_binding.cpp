#include "addon/addon_data.h"
#include "addon/argument.h"
#include "addon/async_job.h"
#include "addon/bindings.h"
#include "addon/error_value.h"

namespace taskfold {

Napi::Value OpenFile(const Napi::CallbackInfo& info) {
  return AddonData::Of(info.Env()).file_class.New({info[0], info[1]});
}

Napi::Value AllocateFile(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const std::shared_ptr<File> file = ReadFile(env, info[0], "file");
  const Napi::Object arguments = Napi::Object::New(env);
  arguments.Set("size", info[1]);
  const uint64_t size = ReadCount(arguments, "size");
  return StartVoidJob(env, env.Undefined(), {}, [file, size](RunControl&) { file->Allocate(size); });
}

Napi::Value SyncFile(const Napi::CallbackInfo& info) {
  const std::shared_ptr<File> file = ReadFile(info.Env(), info[0], "file");
  return StartVoidJob(info.Env(), info.Env().Undefined(), {}, [file](RunControl&) { file->Sync(); });
}

}  // namespace taskfold
