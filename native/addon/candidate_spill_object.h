#pragma once
#include <napi.h>

#include <atomic>
#include <memory>

#include "ops/candidate_spill.h"

namespace taskfold {

/// A CandidateSpill that JavaScript holds. A merge writes to it alone; deltas read it together.
struct SharedSpill {
  explicit SharedSpill(std::unique_ptr<CandidateSpill> owned) : spill(std::move(owned)) {}
  std::unique_ptr<CandidateSpill> spill;
  std::atomic<int> users{0};
  std::atomic<bool> written{false};
};

/// Marks a spill as used while a job runs.
class SpillUse {
 public:
  /// A TypeError when another job's use does not go together with this one. `shared` null: no spill.
  SpillUse(Napi::Env env, std::shared_ptr<SharedSpill> shared, bool writes);
  ~SpillUse();
  SpillUse(const SpillUse&) = delete;
  CandidateSpill* get() const { return shared_ ? shared_->spill.get() : nullptr; }

 private:
  std::shared_ptr<SharedSpill> shared_;
  bool writes_;
};

class CandidateSpillObject : public Napi::ObjectWrap<CandidateSpillObject> {
 public:
  static constexpr napi_type_tag kTag{0x7461736b666f6c64, 0x7370696c6c000001};
  static void Define(Napi::Env env);
  explicit CandidateSpillObject(const Napi::CallbackInfo& info);
  /// Null once closed.
  const std::shared_ptr<SharedSpill>& shared() const { return shared_; }

 private:
  static Napi::Value Close(const Napi::CallbackInfo& info);
  std::shared_ptr<SharedSpill> shared_;
};

/// The spill at object[key]; null when it is absent.
std::shared_ptr<SharedSpill> ReadSpill(Napi::Object object, const char* key);

}  // namespace taskfold
