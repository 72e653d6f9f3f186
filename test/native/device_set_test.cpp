// Opening GPUs, leasing lanes, staging, and what happens when a device fails, on emulated GPUs.
#include "device/device_set.h"

#include <chrono>
#include <thread>

#include "backend/cuda_library.h"
#include "device/self_check.h"
#include "device_test_kit.h"

using namespace taskfold;

namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;

void Opens() {
  const auto set = OpenGpus(2);
  CHECK(set->devices() == (std::vector<int32_t>{0, 1}), "devices");
  CHECK(set->memory_bytes() == 64 * kMiB, "budget");
  CHECK(set->lanes() == 4 && set->lane_bytes() == 32 * kMiB, "lanes");
  const auto most = DeviceSet::Open(EmulatedPlugin(), {0}, std::nullopt);
  CHECK(most->memory_bytes() > 180 * kMiB && most->memory_bytes() <= 256 * kMiB / 5 * 4,
        "default budget %llu", static_cast<unsigned long long>(most->memory_bytes()));
  const Emulated more("TASKFOLD_EMULATED_MEMORY", std::to_string(512 * kMiB));
  CHECK(DeviceSet::Open(EmulatedPlugin(), {0}, 256 * kMiB)->lanes() == 3, "three lanes with more memory");
}

void Refuses() {
  const std::string plugin = EmulatedPlugin();
  const auto code = [&](std::vector<int32_t> devices, std::optional<uint64_t> memory) {
    return ErrorOf([&] { DeviceSet::Open(plugin, devices, memory); }).code();
  };
  setenv("TASKFOLD_EMULATED_DEVICES", "1", 1);
  CHECK(code({}, {}) == "INVALID_ARGUMENT", "no device");
  CHECK(code({0, 0}, {}) == "INVALID_ARGUMENT", "twice");
  CHECK(code({1}, {}) == "DEVICE_UNAVAILABLE", "no such device");
  CHECK(code({-1}, {}) == "DEVICE_UNAVAILABLE", "negative");
  CHECK(code({0}, kMiB) == "OUT_OF_MEMORY", "budget too small");
  CHECK(code({0}, 1024 * kMiB) == "OUT_OF_MEMORY", "more than there is");
  {
    const Emulated little("TASKFOLD_EMULATED_MEMORY", std::to_string(32 * kMiB));
    CHECK(code({0}, {}) == "OUT_OF_MEMORY", "little memory");
  }
  const Error missing = ErrorOf([] { DeviceSet::Open("/no/such/taskfold_cuda.so", {0}, {}); });
  CHECK(missing.code() == "DEVICE_UNAVAILABLE" && !missing.hint().empty(), "%s", missing.what());
  const Error none = ErrorOf([&] { DeviceSet::Open(plugin, {3}, {}); });
  CHECK(std::string(none.what()).find("cuda:3") != std::string::npos, "%s", none.what());
}

/// Every call of the runtime that fails while a device is opened is a typed error.
void FaultsWhileOpening() {
  const std::string plugin = EmulatedPlugin();
  for (const auto& [fault, code] :
       std::vector<std::pair<const char*, const char*>>{{"cudaMalloc=2", "OUT_OF_MEMORY"},
                                                        {"cudaHostAlloc=2", "OUT_OF_MEMORY"},
                                                        {"cudaMemGetInfo=800", "DEVICE_UNAVAILABLE"},
                                                        {"cudaSetDevice=46", "DEVICE_UNAVAILABLE"},
                                                        {"cudaStreamCreateWithFlags=2", "OUT_OF_MEMORY"},
                                                        {"cudaStreamSynchronize=719", "DEVICE_UNAVAILABLE"},
                                                        {"cudaMemcpyAsync=700", "DEVICE_UNAVAILABLE"},
                                                        {"launch=700", "DEVICE_UNAVAILABLE"},
                                                        {"launch=98", "DEVICE_UNAVAILABLE"},
                                                        {"35", "DEVICE_UNAVAILABLE"},
                                                        {"100", "DEVICE_UNAVAILABLE"}}) {
    const Emulated failing("TASKFOLD_EMULATED_ERROR", fault);
    const Error error = ErrorOf([&] { DeviceSet::Open(plugin, {0}, 64 * kMiB); });
    CHECK(error.code() == code, "%s: %s: %s", fault, error.code().c_str(), error.what());
    CHECK(!error.hint().empty(), "%s has a hint", fault);
  }
  CHECK(DeviceSet::Open(plugin, {0}, 64 * kMiB) != nullptr, "and afterwards it opens");
}

void Leases() {
  const auto set = OpenGpus(2);
  RunControl two(nullptr, 2), all(nullptr, 0);
  {
    std::optional<LaneLease> leased(set->Lease(two));
    const LaneLease& first = *leased;
    CHECK(first.size() == 2 && first[0].device() == 0 && first[1].device() == 1, "devices in turn");
    const LaneLease rest = set->Lease(all);
    CHECK(rest.size() == 2, "what is left");
    const auto flag = std::make_shared<CancelFlag>();
    RunControl cancelled(flag, 1);
    flag->cancelled = true;
    CHECK(ErrorOf([&] { set->Lease(cancelled); }).code() == "CANCELLED", "cancelled while waiting");
    std::thread waiting([&] { CHECK(set->Lease(all, 1).size() == 1, "waited"); });
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    leased.reset();
    waiting.join();
  }
  CHECK(set->Lease(all).size() == 4, "all are back");
  set->Close();
  set->Close();
  CHECK(ErrorOf([&] { set->Lease(all); }).code() == "INVALID_ARGUMENT", "closed");
}

void Staging() {
  const auto set = OpenGpus(1);
  RunControl control(nullptr, 1);
  const LaneLease lanes = set->Lease(control);
  Lane& lane = lanes[0];
  // More than the staging buffer holds, at an odd length.
  std::vector<uint8_t> bytes(31 * kMiB + 4321), back(bytes.size());
  Random random(1);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random.Next());
  void* memory = lane.Get(0, bytes.size());
  CHECK(reinterpret_cast<uintptr_t>(memory) % 256 == 0, "aligned");
  for (int again = 0; again < 3; again++) {
    lane.Upload(memory, bytes.data(), bytes.size());
    lane.Download(back.data(), memory, bytes.size());
    CHECK(back == bytes, "through the device and back");
    lane.Fill(memory, 0xAB, 7);
    lane.Download(back.data(), memory, 8);
    CHECK(back[0] == 0xAB && back[6] == 0xAB && back[7] == bytes[7], "filled");
  }
  const std::shared_ptr<File> file = File::OpenTemporaryBeside("/tmp/taskfold-device-test");
  lane.Upload(memory, bytes.data(), bytes.size());
  lane.Download(Region::OfFile(file, 10, bytes.size()), 0, memory, bytes.size());
  lane.Fill(memory, 0, bytes.size());
  lane.Upload(memory, Region::OfFile(file, 10, bytes.size()), 0, bytes.size());
  lane.Download(back.data(), memory, bytes.size());
  CHECK(back == bytes, "through a file");
  // A short file is an error of the reader, and the lane goes on.
  CHECK(ErrorOf([&] {
          lane.Upload(memory, Region::OfFile(file, 100, bytes.size()), 0, bytes.size());
        }).code() == "FILE_TRUNCATED",
        "short file");
  CHECK(ErrorOf([&] { lane.Get(1, 8 * kMiB); }).code() == "OUT_OF_MEMORY", "over the lane's budget");
  lane.Upload(memory, bytes.data(), bytes.size());
  lane.Download(back.data(), memory, bytes.size());
  CHECK(back == bytes, "still usable");
}

/// Another job's slots make room.
void OldSlotsGo() {
  const auto set = OpenGpus(1);
  RunControl control(nullptr, 1);
  for (size_t slot = 0; slot < 4; slot++) {
    const LaneLease lanes = set->Lease(control, 2);
    CHECK(lanes.size() == 2, "both");
    for (size_t l = 0; l < 2; l++) CHECK(lanes[l].Get(slot, 20 * kMiB) != nullptr, "slot %zu", slot);
  }
}

void LostDevice() {
  const auto set = OpenGpus(2);
  RunControl control(nullptr, 0);
  const auto work = [&] {
    const LaneLease lanes = set->Lease(control);
    void* memory = lanes[0].Get(0, 1000);
    lanes[0].Fill(memory, 1, 1000);
    lanes[0].Wait();
  };
  {
    const Emulated full("TASKFOLD_EMULATED_ERROR", "cudaMalloc=2");
    CHECK(ErrorOf(work).code() == "OUT_OF_MEMORY", "full");
  }
  work();
  {
    const Emulated lost("TASKFOLD_EMULATED_ERROR", "cudaStreamSynchronize=719");
    CHECK(ErrorOf(work).code() == "DEVICE_UNAVAILABLE", "lost");
  }
  const Error again = ErrorOf(work);
  CHECK(again.code() == "DEVICE_UNAVAILABLE" && std::string(again.what()).find("719") != std::string::npos,
        "remembered: %s", again.what());
  OpenGpus(1);
}

/// A GPU on which a kernel does nothing is refused, whichever it is; the same library untouched is not.
void WrongBits() {
  const CudaLibrary* real = OpenCudaLibrary(EmulatedPlugin(), nullptr);
  CHECK(real != nullptr, "the emulated plug-in");
  RunControl control(nullptr, 1);
  const auto check = [&](const CudaLibrary& cuda) {
    DeviceSet set(cuda, {0}, 64 * kMiB);
    const LaneLease lanes = set.Lease(control, 1);
    SelfCheck(lanes[0]);
  };
  check(*real);
#define TF_REFUSES(name)                                                                               \
  {                                                                                                    \
    CudaLibrary lazy = *real;                                                                          \
    lazy.name = [](tf_cuda_queue*, const tf_cuda_##name##_job*, char*, size_t) -> int {                \
      return TF_CUDA_OK;                                                                               \
    };                                                                                                 \
    const Error error = ErrorOf([&] { check(lazy); });                                                 \
    CHECK(error.code() == "DEVICE_UNAVAILABLE" &&                                                      \
              std::string(error.what()).find("computes other bits than the CPU") != std::string::npos, \
          #name ": %s", error.what());                                                                 \
  }
  TF_REFUSES(merge)
  TF_REFUSES(count)
  TF_REFUSES(rank)
  TF_REFUSES(place)
  TF_REFUSES(emit)
  TF_REFUSES(scatter)
  TF_REFUSES(swap)
  TF_REFUSES(convert)
  TF_REFUSES(digest)
#undef TF_REFUSES
}

}  // namespace

int main() {
  const auto start = std::chrono::steady_clock::now();
  Opens();
  std::printf("open: %.2f s\n",
              std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  Refuses();
  WrongBits();
  FaultsWhileOpening();
  Leases();
  Staging();
  OldSlotsGo();
  LostDevice();
  std::printf("device_set: passed\n");
  return 0;
}
