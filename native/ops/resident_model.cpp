#include "ops/resident_model.h"

#include <algorithm>

namespace taskfold {
namespace {

// cudaMalloc cuts small allocations from blocks of this size, and an IPC handle shares the whole block: what
// is shared must not have strangers beside it.
constexpr uint64_t kShareBytes = uint64_t{2} << 20;
// The counter of refused entries, and what keeps the lists behind it aligned.
constexpr uint64_t kCounterBytes = 256;

uint64_t RoundUp(uint64_t bytes, uint64_t to) { return std::max((bytes + to - 1) / to, uint64_t{1}) * to; }

std::string Quoted(const std::string& task) { return "task '" + task + "'"; }

}  // namespace

ResidentModel::ResidentModel(std::shared_ptr<DeviceSet> devices, uint64_t merged_bytes)
    : devices_(std::move(devices)) {
  if (devices_->devices().size() != 1) {
    throw Error("INVALID_ARGUMENT",
                "a model lives on one GPU, got " + std::to_string(devices_->devices().size()));
  }
  const uint64_t bytes = RoundUp(merged_bytes, kShareBytes);
  if (bytes > Available()) ThrowTooLarge("the merged model", bytes, 0);
  merged_ = Allocate(bytes);
}

void ResidentModel::LoadMerged(const std::vector<ResidentCopy>& copies, RunControl& control) {
  const std::lock_guard<std::mutex> work(work_);
  RequireUsable();
  std::vector<ResidentPiece> pieces;
  for (const ResidentCopy& copy : copies) {
    if (copy.at > merged_->bytes() || copy.from.length() > merged_->bytes() - copy.at) {
      throw Error("INVALID_ARGUMENT", copy.name + ": its place is outside the model's memory")
          .Tensor(copy.name);
    }
    pieces.push_back({copy.name, copy.from, merged_->As<uint8_t>() + copy.at});
  }
  const LaneLease lanes = devices_->Lease(control);
  // What lies between tensors is visible to other processes: nothing of what was there before.
  lanes[0].Fill(merged_->data(), 0, merged_->bytes());
  lanes[0].Wait();
  UploadPieces(pieces, lanes, control);
}

void ResidentModel::AddTask(ResidentTaskPlan plan, bool drop, RunControl& control) {
  const std::lock_guard<std::mutex> work(work_);
  RequireUsable();
  if (const auto known = tasks_.find(plan.name); known != tasks_.end()) {
    const std::lock_guard<std::mutex> state(state_);
    known->second.used_at = ++clock_;
    return;
  }
  auto task = std::make_unique<ResidentTask>(std::move(plan), merged_->bytes(), control);
  const uint64_t bytes = RoundUp(task->bytes(), kShareBytes);
  MakeRoom(Quoted(task->name()), bytes, drop, control);
  GrowLists(task->delta_count());
  std::shared_ptr<DeviceMemory> memory = Allocate(bytes);
  try {
    // Ends, and with it whatever uses the memory, before the memory goes.
    const LaneLease lanes = devices_->Lease(control);
    task->Upload(memory, lanes, control);
  } catch (...) {
    const std::lock_guard<std::mutex> state(state_);
    bytes_ -= bytes;
    throw;
  }
  const std::lock_guard<std::mutex> state(state_);
  const std::string& name = task->name();
  tasks_.emplace(name, Loaded{std::move(task), ++clock_});
}

void ResidentModel::DropTask(const std::string& name) {
  const std::lock_guard<std::mutex> work(work_);
  if (current_ == name) throw Error("INVALID_ARGUMENT", Quoted(name) + " is in use");
  if (const auto found = tasks_.find(name); found != tasks_.end()) Drop(found);
}

void ResidentModel::SwitchTo(const std::optional<std::string>& task, RunControl& control) {
  const std::lock_guard<std::mutex> work(work_);
  RequireUsable();
  SwitchLocked(task, control);
}

void ResidentModel::SwitchLocked(const std::optional<std::string>& task, RunControl& control) {
  const ResidentTask* leave = Find(current_);
  const ResidentTask* enter = Find(task);
  if (leave != enter) {
    const SwapLists lists(leave, enter, merged_->As<uint8_t>());
    const LaneLease lanes = devices_->Lease(control, 1);
    try {
      RunSwitch(leave, enter, lists, lanes[0]);
    } catch (const Error& error) {
      // Some entries may be exchanged and others not: nobody can tell any more what the memory holds.
      broken_.emplace(error.code().c_str(),
                      std::string("a switch failed, the model can't be used any more: ") + error.what());
      broken_->Hint(error.hint().empty() ? "close the model and load it again" : error.hint());
      throw Error(*broken_);
    }
  }
  const std::lock_guard<std::mutex> state(state_);
  if (task) tasks_.at(*task).used_at = ++clock_;
  current_ = task;
}

void ResidentModel::RunSwitch(const ResidentTask* leave, const ResidentTask* enter, const SwapLists& lists,
                              Lane& lane) {
  auto* merged = merged_->As<uint8_t>();
  lane.Fill(lists_.data(), 0, kCounterBytes);
  uint8_t* room = lists_.As<uint8_t>() + kCounterBytes;
  Swap(lists.before, room, lane);
  if (leave != nullptr) {
    for (const ResidentTail& tail : leave->tails()) {
      if (tail.overlap > 0) lane.Copy(merged + tail.at, leave->data() + tail.saved, tail.overlap);
    }
  }
  Swap(lists.main, room + lists.before.size() * sizeof(tf_cuda_swap_tensor), lane);
  if (enter != nullptr) {
    for (const ResidentTail& tail : enter->tails()) {
      if (tail.overlap > 0) lane.Copy(enter->data() + tail.saved, merged + tail.at, tail.overlap);
      if (tail.length > 0) lane.Copy(merged + tail.at, enter->data() + tail.from, tail.length);
    }
  }
  uint64_t refused = 0;
  lane.Download(&refused, lists_.data(), sizeof refused);
  // Their positions were checked on the host: what the device holds is not what was sent there.
  if (refused != 0) {
    const std::string name = Quoted(enter != nullptr ? enter->name() : leave->name());
    throw Error("PACK_INVALID", "cuda:" + std::to_string(device()) + ": " + std::to_string(refused) +
                                    " entries lie outside their tensors, at or before " + name);
  }
}

void ResidentModel::Swap(const std::vector<tf_cuda_swap_tensor>& list, uint8_t* room, Lane& lane) {
  if (list.empty()) return;
  lane.Upload(room, list.data(), list.size() * sizeof(tf_cuda_swap_tensor));
  tf_cuda_swap_job job{};
  job.tensors = reinterpret_cast<const tf_cuda_swap_tensor*>(room);
  job.tensor_count = static_cast<uint32_t>(list.size());
  job.blocks = SwapLists::Blocks(list);
  job.refused = lists_.As<uint64_t>();
  lane.Launch("switching tasks", lane.cuda().swap, job);
}

void ResidentModel::Read(const std::optional<std::string>& task, uint64_t at, const Region& out,
                         RunControl& control) {
  const std::lock_guard<std::mutex> work(work_);
  RequireUsable();
  const std::shared_ptr<DeviceMemory> memory = Share(task, at, out.length());
  DownloadBytes(memory->As<uint8_t>() + at, out, devices_->Lease(control), control);
}

std::vector<uint8_t> ResidentModel::ExportHandle(const std::optional<std::string>& task) {
  const std::lock_guard<std::mutex> work(work_);
  RequireUsable();
  const std::shared_ptr<DeviceMemory> memory = Share(task, 0, 0);
  std::vector<uint8_t> handle(TF_CUDA_IPC_BYTES);
  devices_->health().Call(device(), "sharing memory with other processes", devices_->cuda().ipc_export,
                          device(), memory->data(), handle.data());
  return handle;
}

ResidentState ResidentModel::state() const {
  const std::lock_guard<std::mutex> lock(state_);
  ResidentState state;
  state.current = current_;
  state.bytes = bytes_;
  state.merged_address = reinterpret_cast<uint64_t>(merged_->data());
  std::vector<std::pair<uint64_t, std::string>> order;
  for (const auto& [name, loaded] : tasks_) order.emplace_back(loaded.used_at, name);
  std::sort(order.begin(), order.end());
  for (auto& [used_at, name] : order) state.loaded.push_back(std::move(name));
  if (current_) {
    state.task_address = reinterpret_cast<uint64_t>(tasks_.at(*current_).task->memory()->data());
  }
  return state;
}

std::shared_ptr<DeviceMemory> ResidentModel::Share(const std::optional<std::string>& task, uint64_t at,
                                                   uint64_t bytes) const {
  const std::lock_guard<std::mutex> lock(state_);
  const std::shared_ptr<DeviceMemory>& memory = task ? Find(task)->memory() : merged_;
  if (at > memory->bytes() || bytes > memory->bytes() - at) {
    throw Error("INVALID_ARGUMENT", std::to_string(bytes) + " bytes from " + std::to_string(at) +
                                        " on are outside the model's memory");
  }
  return memory;
}

void ResidentModel::RequireUsable() const {
  if (broken_) throw Error(*broken_);
  devices_->health().ThrowIfLost();
}

const ResidentTask* ResidentModel::Find(const std::optional<std::string>& name) const {
  if (!name) return nullptr;
  const auto found = tasks_.find(*name);
  if (found == tasks_.end()) throw Error("INVALID_ARGUMENT", Quoted(*name) + " is not loaded");
  return found->second.task.get();
}

uint64_t ResidentModel::Available() const {
  uint64_t available = 0, total = 0;
  devices_->health().Call(device(), "asking for free memory", devices_->cuda().device_memory, device(),
                          &available, &total);
  const uint64_t budget = devices_->memory_bytes();
  return std::min(available, budget > bytes_ ? budget - bytes_ : 0);
}

std::shared_ptr<DeviceMemory> ResidentModel::Allocate(uint64_t bytes) {
  auto memory = std::make_shared<DeviceMemory>(devices_->cuda(), device(), bytes);
  const std::lock_guard<std::mutex> state(state_);
  bytes_ += bytes;
  return memory;
}

void ResidentModel::ThrowTooLarge(const std::string& what, uint64_t bytes, uint64_t dropped) const {
  const std::string left = dropped == 0 ? "" : " once other tasks are dropped";
  throw Error("OUT_OF_MEMORY", "cuda:" + std::to_string(device()) + ": " + what + " needs " +
                                   std::to_string(bytes) + " bytes of GPU memory, but " +
                                   std::to_string(Available() + dropped) + " are left" + left + " (" +
                                   std::to_string(bytes_) + " of " +
                                   std::to_string(devices_->memory_bytes()) + " in use)")
      .Hint("free memory of the GPU, allow more with gpuMemory, or keep fewer tasks loaded");
}

void ResidentModel::MakeRoom(const std::string& what, uint64_t bytes, bool drop, RunControl& control) {
  const uint64_t available = Available();
  if (bytes <= available) return;
  uint64_t droppable = 0;
  for (const auto& [name, loaded] : tasks_) {
    // Shared memory stays allocated when its task is dropped.
    if (drop && loaded.task->memory().use_count() == 1) droppable += loaded.task->memory()->bytes();
  }
  // Nothing is dropped when that does not help.
  if (bytes > available + droppable) ThrowTooLarge(what, bytes, droppable);
  while (bytes > Available()) {
    const auto least = LeastUsed();
    if (least == tasks_.end()) ThrowTooLarge(what, bytes, 0);
    if (least->first == current_) SwitchLocked(std::nullopt, control);
    Drop(least);
  }
}

ResidentModel::Tasks::iterator ResidentModel::LeastUsed() {
  auto least = tasks_.end();
  for (auto it = tasks_.begin(); it != tasks_.end(); ++it) {
    if (it->second.task->memory().use_count() > 1) continue;
    const auto rank = [&](Tasks::iterator at) {
      return std::pair(at->first == current_, at->second.used_at);  // the current one last
    };
    if (least == tasks_.end() || rank(it) < rank(least)) least = it;
  }
  return least;
}

void ResidentModel::Drop(Tasks::iterator task) {
  const std::lock_guard<std::mutex> state(state_);
  bytes_ -= task->second.task->memory()->bytes();
  tasks_.erase(task);
}

void ResidentModel::GrowLists(size_t deltas) {
  // A switch's lists have at most the deltas of two tasks.
  size_t most = deltas;
  for (const auto& [name, loaded] : tasks_) most = std::max(most, loaded.task->delta_count());
  const uint64_t bytes = kCounterBytes + 2 * most * sizeof(tf_cuda_swap_tensor);
  if (bytes <= lists_.bytes()) return;
  DeviceMemory lists(devices_->cuda(), device(), bytes);
  const std::lock_guard<std::mutex> state(state_);
  bytes_ += bytes - lists_.bytes();
  lists_ = std::move(lists);
}

}  // namespace taskfold
