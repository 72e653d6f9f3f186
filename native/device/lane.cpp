#include "device/lane.h"

#include <algorithm>
#include <cstring>

#include "device/device_layout.h"

namespace taskfold {
namespace {

// Enough for copies that run at full speed while the thread reads the next piece; lanes × 32 MiB of host
// memory is what a device costs.
constexpr uint64_t kStagingBytes = uint64_t{32} << 20;
// Copied as soon as read: the first copy starts early, and the buffer is a few pieces long.
constexpr uint64_t kPieceBytes = uint64_t{4} << 20;

}  // namespace

uint64_t Lane::Held() const {
  uint64_t held = 0;
  for (const Slot& slot : slots_) held += slot.memory.bytes();
  return held;
}

void Lane::DropOldSlots() {
  for (Slot& slot : slots_) {
    if (slot.lease != lease_) slot.memory = DeviceMemory();
  }
}

void* Lane::Get(size_t slot, uint64_t bytes) {
  if (slot >= slots_.size()) slots_.resize(slot + 1);
  Slot& wanted = slots_[slot];
  wanted.lease = lease_;
  const uint64_t size = AlignForDevice(std::max<uint64_t>(bytes, 1));
  if (wanted.memory.bytes() >= size) return wanted.memory.data();
  Wait();
  wanted.memory = DeviceMemory();
  if (Held() + size > memory_bytes_) DropOldSlots();
  if (Held() + size > memory_bytes_) {
    throw Error("OUT_OF_MEMORY", "cuda:" + std::to_string(device_) + ": a step needs " +
                                     std::to_string(Held() + size) + " bytes of GPU memory, it may use " +
                                     std::to_string(memory_bytes_))
        .Hint("give --gpu-memory more, or use --device cpu");
  }
  wanted.memory = DeviceMemory(cuda_, device_, size);
  return wanted.memory.data();
}

void Lane::Copy(void* to, const void* from, uint64_t bytes) {
  health_.Call(device_, "copying", cuda_.copy, queue_.get(), to, from, bytes);
}

void Lane::Fill(void* to, uint8_t byte, uint64_t bytes) {
  health_.Call(device_, "clearing memory", cuda_.fill, queue_.get(), to, byte, bytes);
}

void Lane::Wait() {
  health_.Call(device_, "waiting for the GPU", cuda_.queue_wait, queue_.get());
  staged_ = 0;
}

uint8_t* Lane::Stage(uint64_t most, size_t* length) {
  if (staging_.bytes() == 0) staging_ = PinnedMemory(cuda_, device_, kStagingBytes);
  if (staged_ == staging_.bytes()) Wait();
  *length = static_cast<size_t>(std::min(most, staging_.bytes() - staged_));
  uint8_t* part = staging_.data() + staged_;
  // The next part starts on a border that copies like.
  staged_ = std::min(AlignForDevice(staged_ + *length), staging_.bytes());
  return part;
}

void Lane::Upload(void* to, const Region& from, uint64_t offset, uint64_t bytes) {
  for (uint64_t done = 0; done < bytes;) {
    size_t length = 0;
    uint8_t* part = Stage(std::min(bytes - done, kPieceBytes), &length);
    from.ReadTo(offset + done, length, part);
    Copy(static_cast<uint8_t*>(to) + done, part, length);
    done += length;
  }
}

void Lane::Upload(void* to, const void* from, uint64_t bytes) {
  auto* memory = static_cast<uint8_t*>(const_cast<void*>(from));  // only read
  Upload(to, Region::OfMemory(memory, bytes), 0, bytes);
}

void Lane::Download(const void* from, uint64_t bytes,
                    const std::function<void(const uint8_t*, uint64_t, size_t)>& consume) {
  // What is staged is in use until the wait anyway; from there the whole buffer is free.
  if (staged_ + std::min(bytes, kPieceBytes) > kStagingBytes) Wait();
  for (uint64_t done = 0; done < bytes;) {
    size_t length = 0;
    uint8_t* part = Stage(bytes - done, &length);
    Copy(part, static_cast<const uint8_t*>(from) + done, length);
    Wait();
    consume(part, done, length);
    done += length;
  }
}

void Lane::Download(const Region& to, uint64_t offset, const void* from, uint64_t bytes) {
  Download(from, bytes,
           [&](const uint8_t* part, uint64_t at, size_t length) { to.Write(offset + at, length, part); });
}

void Lane::Download(void* to, const void* from, uint64_t bytes) {
  Download(from, bytes, [&](const uint8_t* part, uint64_t at, size_t length) {
    memcpy(static_cast<uint8_t*>(to) + at, part, length);
  });
}

void Lane::Begin() {
  if (!queue_.get()) queue_ = Queue(cuda_, device_);
  lease_++;
}

void Lane::End() noexcept {
  char error[64];
  if (queue_.get() && cuda_.queue_wait(queue_.get(), error, sizeof error) != TF_CUDA_OK) queue_ = Queue();
  staged_ = 0;
}

void Lane::Clear() noexcept {
  queue_ = Queue();
  slots_.clear();
  staging_ = PinnedMemory();
}

}  // namespace taskfold
