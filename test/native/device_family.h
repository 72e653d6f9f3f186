#pragma once
// A small family of tensors, and what a fold of it makes, for tests that compare GPUs with the CPU.
#include <cstring>
#include <numeric>
#include <string>
#include <vector>

#include "backend/registry.h"
#include "check.h"
#include "ops/delta_scatter.h"
#include "ops/emit_delta.h"
#include "ops/task_vector.h"

using namespace taskfold;

using Bytes = std::vector<uint8_t>;

inline Region Memory(Bytes& bytes) { return Region::OfMemory(bytes.data(), bytes.size()); }

/// Numbers from a small set, so that ties abound; `wild`: among them NaN, infinities and any bits.
inline Bytes Numbers(Dtype dtype, size_t n, uint64_t seed, bool wild) {
  Random random(seed);
  const size_t item = ItemSize(dtype);
  std::vector<float> values(n);
  for (float& value : values) value = (static_cast<float>(random.Below(60)) - 30) / 16;
  Bytes bytes(n * item);
  ActiveBackend().narrow(static_cast<int32_t>(dtype), n, values.data(), bytes.data());
  for (size_t i = 0; wild && i < n; i++) {
    const unsigned long long bits = random.Next();
    if (random.Below(3) == 0) memcpy(bytes.data() + i * item, &bits, item);
  }
  return bytes;
}

/// A small family: one tensor of some chunks, and small ones around it.
struct Family {
  Dtype dtype;
  std::vector<size_t> sizes;
  std::vector<Bytes> base, merged;
  std::vector<std::vector<Bytes>> tasks;  // [tensor][task]
  std::vector<Dtype> task_dtypes;
  Dtype base_dtype;

  Family(Dtype storage, Dtype base_storage, std::vector<Dtype> of_tasks, bool wild)
      : dtype(storage), task_dtypes(std::move(of_tasks)), base_dtype(base_storage) {
    const size_t leaf = 262144 / ItemSize(dtype);
    sizes = {1000, leaf + leaf / 2 + 4321, 0, 1, 70000};
    for (size_t i = 0; i < sizes.size(); i++) {
      base.push_back(Numbers(base_dtype, sizes[i], 10 * i, wild));
      merged.emplace_back(sizes[i] * ItemSize(dtype));
      tasks.emplace_back();
      for (size_t t = 0; t < task_dtypes.size(); t++) {
        tasks[i].push_back(Numbers(task_dtypes[t], sizes[i], 10 * i + t + 1, wild));
      }
    }
  }
  uint64_t elements() const { return std::accumulate(sizes.begin(), sizes.end(), uint64_t{0}); }
  std::string Name(size_t i) const { return "tensor." + std::to_string(i); }
  std::vector<Operand> Tasks(size_t i) {
    std::vector<Operand> operands;
    for (size_t t = 0; t < tasks[i].size(); t++) operands.push_back({Memory(tasks[i][t]), task_dtypes[t]});
    return operands;
  }
  std::vector<MergeTensor> MergeTensorsOf() {
    std::vector<MergeTensor> all;
    for (size_t i = 0; i < sizes.size(); i++) {
      all.push_back({Name(i), sizes[i], dtype, {Memory(base[i]), base_dtype}, Tasks(i), Memory(merged[i])});
    }
    return all;
  }
  std::vector<ResidualTensor> Residuals() {
    std::vector<ResidualTensor> all;
    for (size_t i = 0; i < sizes.size(); i++) {
      all.push_back({Name(i), sizes[i], dtype, Memory(merged[i]), Tasks(i)});
    }
    return all;
  }
};

/// Everything that a fold makes.
struct Folded {
  MergeFingerprints fingerprints;
  std::vector<Bytes> merged;
  std::vector<Threshold> thresholds;
  int passes = 0;
  std::vector<Bytes> deltas;
  std::vector<EmitResult> emitted;
  std::vector<std::vector<Bytes>> restored;
};

inline Bytes ReadAll(const File& file, uint64_t length) {
  Bytes bytes(length);
  file.ReadAt(bytes.data(), length, 0);
  return bytes;
}

inline Region Range(const std::shared_ptr<File>& file, const StoredArray& array) {
  return Region::OfFile(file, array.offset, array.length);
}

inline Folded Fold(Family& family, double density, IndexCode index, bool keep, bool sample,
                   RunControl& control) {
  Folded folded;
  const uint64_t elements = family.elements();
  const auto k = static_cast<uint64_t>(density * static_cast<double>(elements));
  std::vector<Selection::Goal> goals(family.task_dtypes.size(), {k, elements});
  Selection selection(goals);
  const std::vector<MergeTensor> tensors = family.MergeTensorsOf();
  if (sample) SampleResiduals(tensors, 0.3f, selection, control);
  folded.fingerprints = MergeTensors(tensors, {0.3f, &selection, keep}, control);
  folded.merged = family.merged;
  for (folded.passes = 1; !selection.Advance(); folded.passes++) {
    CountResiduals(family.Residuals(), selection, keep, control);
  }
  folded.thresholds = selection.Thresholds();
  for (size_t t = 0; t < goals.size(); t++) {
    const std::shared_ptr<File> file = File::OpenTemporaryBeside("/tmp/taskfold-device-ops");
    std::vector<EmitTensor> emit;
    for (size_t i = 0; i < family.sizes.size(); i++) {
      emit.push_back(
          {family.Name(i), family.sizes[i], family.dtype, family.Tasks(i)[t], Memory(family.merged[i])});
    }
    const EmitResult emitted = EmitDelta(emit, {folded.thresholds[t], index, keep}, file, 0, control);
    folded.deltas.push_back(ReadAll(*file, emitted.offset));
    std::vector<Bytes> restored;
    std::vector<ScatterTensor> scatter;
    for (size_t i = 0; i < family.sizes.size(); i++) restored.emplace_back(family.merged[i].size(), 7);
    for (size_t i = 0; i < family.sizes.size(); i++) {
      const EmittedTensor& stored = emitted.tensors[i];
      std::optional<DeltaRegions> delta;
      if (stored.kept > 0) {
        delta = DeltaRegions{stored.kept, stored.index, Range(file, stored.blocks),
                             Range(file, stored.index_bytes), Range(file, stored.value)};
      }
      scatter.push_back({family.Name(i),
                         family.sizes[i],
                         family.dtype,
                         Memory(family.merged[i]),
                         delta,
                         {},
                         Memory(restored[i])});
    }
    ScatterTensors(scatter, control);
    folded.emitted.push_back(emitted);
    folded.restored.push_back(std::move(restored));
  }
  return folded;
}

inline void ExpectEqual(const Folded& cpu, const Folded& gpu, const char* what) {
  CHECK(cpu.fingerprints.merged == gpu.fingerprints.merged, "%s: fingerprints of θ*", what);
  CHECK(cpu.fingerprints.base == gpu.fingerprints.base, "%s: fingerprints of the base", what);
  CHECK(cpu.merged == gpu.merged, "%s: θ*", what);
  CHECK(cpu.passes == gpu.passes, "%s: passes", what);
  for (size_t t = 0; t < cpu.thresholds.size(); t++) {
    CHECK(cpu.thresholds[t].key == gpu.thresholds[t].key && cpu.thresholds[t].ties == gpu.thresholds[t].ties,
          "%s: threshold of task %zu", what, t);
    CHECK(cpu.emitted[t].ties == gpu.emitted[t].ties, "%s: ties left", what);
    CHECK(cpu.deltas[t] == gpu.deltas[t], "%s: delta of task %zu", what, t);
    CHECK(cpu.restored[t] == gpu.restored[t], "%s: restored task %zu", what, t);
  }
}
