#include "core/thread_pool.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace taskfold {
namespace {

constexpr unsigned kMaxThreads = 256;

/// One ParallelFor: shared by the caller and the pool threads that help.
struct Batch {
  Batch(size_t item_count, unsigned helper_count, const std::function<void(size_t, unsigned)>& function)
      : items(item_count), helpers_wanted(helper_count), work(function) {}

  void Run(unsigned worker) {
    while (!failed.load(std::memory_order_relaxed)) {
      const size_t item = next.fetch_add(1, std::memory_order_relaxed);
      if (item >= items) return;
      try {
        work(item, worker);
      } catch (...) {
        // Items start in order, so every item below a failed one is finished too: the lowest failure is the
        // one reported, whatever the number of threads.
        std::lock_guard<std::mutex> lock(mutex);
        if (!error || item < failed_item) {
          error = std::current_exception();
          failed_item = item;
        }
        failed.store(true, std::memory_order_relaxed);
      }
    }
  }

  const size_t items;
  const unsigned helpers_wanted;
  const std::function<void(size_t, unsigned)>& work;
  std::atomic<size_t> next{0};
  std::atomic<bool> failed{false};
  std::mutex mutex;
  std::condition_variable all_left;
  std::exception_ptr error;
  size_t failed_item = 0;
  unsigned helpers_joined = 0;   // guarded by the pool's mutex
  unsigned helpers_running = 0;  // guarded by the pool's mutex
};

/// Lives as long as the process: its threads may still be parked when static destructors run.
class Pool {
 public:
  static Pool& Get() {
    static Pool* pool = new Pool;
    return *pool;
  }

  void Run(Batch& batch) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      while (threads_ < std::min(batch.helpers_wanted, kMaxThreads - 1)) {
        try {
          std::thread([this] { Serve(); }).detach();
        } catch (const std::system_error&) {
          break;  // a container's limit: go on with the threads there are
        }
        threads_++;
      }
      batches_.push_back(&batch);
    }
    wake_.notify_all();
    batch.Run(0);
    std::unique_lock<std::mutex> lock(mutex_);
    batches_.erase(std::find(batches_.begin(), batches_.end(), &batch));
    batch.all_left.wait(lock, [&] { return batch.helpers_running == 0; });
  }

 private:
  void Serve() {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      Batch* batch = nullptr;
      for (Batch* waiting : batches_) {
        if (waiting->helpers_joined < waiting->helpers_wanted &&
            waiting->next.load(std::memory_order_relaxed) < waiting->items) {
          batch = waiting;
          break;
        }
      }
      if (!batch) {
        wake_.wait(lock);
        continue;
      }
      const unsigned worker = ++batch->helpers_joined;
      batch->helpers_running++;
      lock.unlock();
      batch->Run(worker);
      lock.lock();
      if (--batch->helpers_running == 0) batch->all_left.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Batch*> batches_;
  unsigned threads_ = 0;
};

}  // namespace

unsigned MachineThreads() {
#ifdef __linux__
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) {
    return std::clamp(static_cast<unsigned>(CPU_COUNT(&set)), 1u, kMaxThreads);
  }
#endif
  return std::clamp(std::thread::hardware_concurrency(), 1u, kMaxThreads);
}

void ParallelFor(size_t items, unsigned threads, const std::function<void(size_t, unsigned)>& work) {
  if (items == 0) return;
  if (threads == 0) threads = MachineThreads();
  threads = static_cast<unsigned>(std::min<size_t>(std::min(threads, kMaxThreads), items));
  Batch batch(items, threads - 1, work);
  if (threads == 1) {
    batch.Run(0);
  } else {
    Pool::Get().Run(batch);
  }
  if (batch.error) std::rethrow_exception(batch.error);
}

}  // namespace taskfold
