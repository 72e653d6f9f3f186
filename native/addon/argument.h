#pragma once
#include <napi.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "addon/async_job.h"
#include "core/region.h"
#include "core/run_control.h"
#include "ops/delta_scatter.h"
#include "ops/emit_delta.h"
#include "ops/selection.h"

// JavaScript values → plain structs, on the environment's thread, before a job starts. Everything throws a
// TypeError with code INVALID_ARGUMENT that names the property at fault.

namespace taskfold {

/// A Selection that JavaScript holds; `users` counts running jobs.
struct SharedSelection {
  explicit SharedSelection(std::unique_ptr<Selection> owned) : selection(std::move(owned)) {}
  std::unique_ptr<Selection> selection;
  std::atomic<int> users{0};
  /// A sampling job replaces the windows: nothing else may use them.
  std::atomic<bool> exclusive{false};
};

/// Marks a selection as used while a job runs; exclusive: a job that replaces its windows.
class SelectionUse {
 public:
  /// A TypeError when another job's use does not go together with this one.
  SelectionUse(Napi::Env env, std::shared_ptr<SharedSelection> shared, bool exclusive);
  ~SelectionUse();
  SelectionUse(const SelectionUse&) = delete;
  Selection* get() const { return shared_ ? shared_->selection.get() : nullptr; }

 private:
  std::shared_ptr<SharedSelection> shared_;
  bool exclusive_;
};

struct ControlArgument {
  std::shared_ptr<CancelFlag> cancel;
  unsigned threads = 0;
  /// Null: the CPU.
  std::shared_ptr<DeviceSet> devices;
  Napi::Value on_progress;
};
ControlArgument ReadControl(Napi::Env env, Napi::Value value);

/// An argument that must be an object.
Napi::Object ReadObject(Napi::Env env, Napi::Value value, const char* what);
/// A property that must be an array of objects; calls each(object).
void ForEachObject(Napi::Object parent, const char* key, const std::function<void(Napi::Object)>& each);

std::string ReadString(Napi::Object object, const char* key);
/// A whole number in [0, 2^53).
uint64_t ReadCount(Napi::Object object, const char* key);
/// A whole number in [least, most].
uint64_t ReadCountWithin(Napi::Object object, const char* key, uint64_t least, uint64_t most);
double ReadNumber(Napi::Object object, const char* key);
/// An array of device numbers.
std::vector<int32_t> ReadDeviceNumbers(Napi::Object object, const char* key);
bool ReadFlag(Napi::Object object, const char* key);
bool IsNullish(Napi::Object object, const char* key);
Dtype ReadDtype(Napi::Object object, const char* key);
/// 'error' (default) or 'keep'.
bool ReadKeepNonFinite(Napi::Object object);
IndexCode ReadIndexCode(Napi::Object object, const char* key, bool allow_auto);
/// Of an emit job: its codec, and for exact what `values` says.
ValueCode ReadEmitValues(Napi::Object job);
Threshold ReadThreshold(Napi::Object object, const char* key);

/// The `tensors` of a job: name, elements and dtype of each, the rest by read(object, &tensor).
template <class Tensor, class Read>
std::vector<Tensor> ReadTensors(Napi::Object job, const Read& read) {
  std::vector<Tensor> tensors;
  ForEachObject(job, "tensors", [&](Napi::Object object) {
    Tensor tensor;
    tensor.name = ReadString(object, "name");
    tensor.elements = ReadCount(object, "elements");
    tensor.dtype = ReadDtype(object, "dtype");
    read(object, &tensor);
    tensors.push_back(std::move(tensor));
  });
  return tensors;
}

Region ReadRegion(Napi::Env env, Napi::Value value, const char* what, Pins* pins);
Region ReadRegion(Napi::Object object, const char* key, Pins* pins);
std::optional<Region> ReadOptionalRegion(Napi::Object object, const char* key, Pins* pins);
Operand ReadOperand(Napi::Object object, const char* key, Pins* pins);
std::vector<Operand> ReadOperands(Napi::Object object, const char* key, Pins* pins);
std::optional<DeltaRegions> ReadDelta(Napi::Object object, const char* key, Pins* pins);

/// The same property when it names a tensor of an open stream.
std::optional<CodedRemainder> ReadCoded(Napi::Object object, const char* key);

std::shared_ptr<File> ReadFile(Napi::Env env, Napi::Value value, const char* what);
/// Null when absent and `optional`.
std::shared_ptr<SharedSelection> ReadSelection(Napi::Object object, const char* key, bool optional);

}  // namespace taskfold
