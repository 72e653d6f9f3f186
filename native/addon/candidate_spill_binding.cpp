#include "addon/addon_data.h"
#include "addon/argument.h"
#include "addon/candidate_spill_object.h"
#include "addon/error_value.h"
#include "addon/wrapped.h"

namespace taskfold {

SpillUse::SpillUse(Napi::Env env, std::shared_ptr<SharedSpill> shared, bool writes)
    : shared_(std::move(shared)), writes_(writes) {
  if (!shared_) return;
  if (shared_->written || (writes && shared_->users > 0)) {
    shared_.reset();
    throw ArgumentError(env, "the spill is in use by a running job");
  }
  shared_->users++;
  if (writes) shared_->written = true;
}

SpillUse::~SpillUse() {
  if (!shared_) return;
  if (writes_) shared_->written = false;
  shared_->users--;
}

void CandidateSpillObject::Define(Napi::Env env) {
  const Napi::Function type = DefineClass(env, "CandidateSpill", {});
  type.Get("prototype").As<Napi::Object>().Set("close", Napi::Function::New(env, Close, "close"));
  AddonData::Of(env).spill_class = Napi::Persistent(type);
}

CandidateSpillObject::CandidateSpillObject(const Napi::CallbackInfo& info)
    : Napi::ObjectWrap<CandidateSpillObject>(info) {
  const Napi::Env env = info.Env();
  if (info.Length() < 2 || !info[0].IsString()) {
    throw ArgumentError(env, "expected a path and one limit for each task");
  }
  std::string beside = info[0].As<Napi::String>().Utf8Value();
  if (beside.find('\0') != std::string::npos) throw ArgumentError(env, "the path holds a NUL character");
  const Napi::Object wrapper = Napi::Object::New(env);
  wrapper.Set("tasks", info[1]);
  std::vector<uint64_t> limits;
  ForEachObject(wrapper, "tasks", [&](Napi::Object task) { limits.push_back(ReadCount(task, "bytes")); });
  info.This().As<Napi::Object>().TypeTag(&kTag);
  shared_ =
      std::make_shared<SharedSpill>(std::make_unique<CandidateSpill>(std::move(beside), std::move(limits)));
}

Napi::Value CandidateSpillObject::Close(const Napi::CallbackInfo& info) {
  // Jobs that run hold it too: the last one closes the files.
  CheckedUnwrap<CandidateSpillObject>(info.Env(), info.This(), "this", "a CandidateSpill")->shared_.reset();
  return info.Env().Undefined();
}

std::shared_ptr<SharedSpill> ReadSpill(Napi::Object object, const char* key) {
  const Napi::Value value = object.Get(key);
  if (value.IsUndefined() || value.IsNull()) return nullptr;
  auto* spill = CheckedUnwrap<CandidateSpillObject>(object.Env(), value, key, "a CandidateSpill");
  if (!spill->shared()) {
    throw ArgumentError(object.Env(), std::string("expected ") + key + " to be open (it is closed)");
  }
  return spill->shared();
}

}  // namespace taskfold
