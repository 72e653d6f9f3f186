// Codec step under the sanitizers: what is encoded is decoded again, marks are where values change, and
// arrays damaged in thousands of ways are refused or decode to something inside the block.
#include <cmath>
#include <filesystem>

#include "check.h"
#include "core/block_scatter.h"
#include "core/float_convert.h"
#include "ops/step_encoder.h"
#include "ops/step_task.h"

using namespace taskfold;

namespace {

constexpr float kStep = 0.0625f;

struct Model {
  std::vector<CodedTensor> shapes;
  std::vector<std::vector<float>> merged, task;
};

Model RandomModel(Random& random, const std::vector<uint64_t>& sizes) {
  Model model;
  for (size_t i = 0; i < sizes.size(); i++) {
    model.shapes.push_back({"w" + std::to_string(i), Dtype::kF32, 1, sizes[i]});
    model.merged.emplace_back(sizes[i]);
    model.task.emplace_back(sizes[i]);
    const unsigned spread = 1 + random.Below(400);
    for (size_t j = 0; j < sizes[i]; j++) {
      model.merged[i][j] = static_cast<float>(random.Below(1000)) / 100;
      const float u =
          static_cast<float>(random.Below(spread)) / 100 * (random.Below(8) == 0 ? 40 * kStep : kStep);
      model.task[i][j] = model.merged[i][j] + (random.Below(2) == 0 ? u : -u);
    }
  }
  return model;
}

struct Arrays {
  std::vector<uint8_t> tables, directory, codes;
  CodedArrays Regions() {
    const auto region = [](std::vector<uint8_t>& bytes) {
      return Region::OfMemory(bytes.data(), bytes.size());
    };
    return {region(tables), region(directory), region(codes)};
  }
};

std::vector<CodecTensor> Jobs(Model& model) {
  std::vector<CodecTensor> jobs;
  for (size_t i = 0; i < model.shapes.size(); i++) {
    const auto region = [](std::vector<float>& values) {
      return Region::OfMemory(reinterpret_cast<uint8_t*>(values.data()), values.size() * 4);
    };
    jobs.push_back({model.shapes[i], {region(model.task[i]), Dtype::kF32}, region(model.merged[i])});
  }
  return jobs;
}

Arrays Encode(Model& model, RunControl& control) {
  const std::string path = std::filesystem::temp_directory_path() / "taskfold-step-test";
  const std::shared_ptr<File> file = File::OpenTemporaryBeside(path);
  StepEncoder encoder(kStep, 0.65f, model.shapes, file, 0);
  encoder.Count(Jobs(model), control);
  encoder.Prepare();
  encoder.Encode(Jobs(model), control);
  CodedResult result = encoder.Finish();
  Arrays arrays{result.tables, result.directory, std::vector<uint8_t>(result.codes_bytes)};
  file->ReadAt(arrays.codes.data(), arrays.codes.size(), 0);
  return arrays;
}

/// Decodes everything; true when every item is within one step of the task's (dead zone below one).
bool Decode(Model& model, Arrays& arrays) {
  const auto task = OpenStepTask(kStep, model.shapes, arrays.Regions());
  Scratch scratch;
  bool close = true;
  for (size_t i = 0; i < model.shapes.size(); i++) {
    const std::unique_ptr<Remainder> remainder = task->Open(i);
    const uint64_t elements = model.shapes[i].elements();
    for (uint64_t block = 0; block < BlockCount(elements); block++) {
      const uint64_t first = block * kBlockElements;
      const auto n = static_cast<size_t>(std::min(kBlockElements, elements - first));
      // Memory of exactly this size: a write behind it is seen.
      std::vector<float> items(model.merged[i].begin() + static_cast<std::ptrdiff_t>(first),
                               model.merged[i].begin() + static_cast<std::ptrdiff_t>(first + n));
      std::vector<uint64_t> bits((n + 63) / 64);
      remainder->Marks(block, n, bits.data(), scratch, 1);
      remainder->Apply(block, n, items.data(), scratch, 1);
      for (size_t j = 0; j < n; j++) {
        const bool marked = (bits[j / 64] >> (j % 64) & 1) != 0;
        CHECK(marked || items[j] == model.merged[i][first + j], "changed and not marked");
        close &= std::fabs(items[j] - model.task[i][first + j]) <= 0.66f * kStep;
      }
    }
  }
  return close;
}

void Damage(Random& random, Model& model, const Arrays& arrays, int rounds) {
  int refused = 0;
  for (int round = 0; round < rounds; round++) {
    Arrays damaged = arrays;
    std::vector<uint8_t>* all[] = {&damaged.tables, &damaged.directory, &damaged.codes};
    for (unsigned times = 1 + random.Below(3); times > 0; times--) {
      std::vector<uint8_t>& bytes = *all[random.Below(3)];
      if (bytes.empty()) continue;
      const unsigned at = random.Below(static_cast<unsigned>(bytes.size()));
      switch (random.Below(4)) {
        case 0:
          bytes.resize(at);
          break;
        case 1:
          bytes.insert(bytes.begin() + at, static_cast<uint8_t>(random.Below(256)));
          break;
        default:
          bytes[at] ^= static_cast<uint8_t>(1 + random.Below(255));
      }
    }
    // Exact sizes, so that reads behind the end are seen.
    for (std::vector<uint8_t>* bytes : all) bytes->shrink_to_fit();
    try {
      Decode(model, damaged);
    } catch (const Error& error) {
      CHECK(error.code() == "PACK_INVALID", "%s: %s", error.code().c_str(), error.what());
      refused++;
    }
  }
  CHECK(refused > rounds / 2, "%d of %d refused", refused, rounds);
}

}  // namespace

int main() {
  Random random(1);
  RunControl control(nullptr, 2);
  for (const std::vector<uint64_t>& sizes :
       {std::vector<uint64_t>{1}, {32767, 32768, 2, 3}, {500, 600, 700, 100, 33000, 9}, {70000, 1, 65536}}) {
    Model model = RandomModel(random, sizes);
    Arrays arrays = Encode(model, control);
    CHECK(Decode(model, arrays), "not within a step");
    uint64_t elements = 0;
    for (const uint64_t size : sizes) elements += size;
    Damage(random, model, arrays, elements > 50000 ? 300 : elements > 1 ? 1000 : 3000);
  }
  // Nothing at all: arrays of a byte or none.
  Model none;
  Arrays empty{{0}, {}, {}};
  OpenStepTask(kStep, none.shapes, empty.Regions());
  return 0;
}
