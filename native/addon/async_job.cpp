#include "addon/async_job.h"

#include <mutex>
#include <new>
#include <system_error>
#include <thread>

#include "addon/argument.h"
#include "addon/error_value.h"

namespace taskfold {

/// One job from start to settled promise. Lives and dies on the environment's thread; the job's thread only
/// borrows it.
class JobState {
 public:
  JobState(Napi::Env env, const ControlArgument& control, Pins pins, std::function<void(RunControl&)> run,
           std::function<Napi::Value(Napi::Env)> result)
      : control_(control.cancel, control.threads, control.devices),
        deferred_(Napi::Promise::Deferred::New(env)),
        pins_(std::move(pins)),
        run_(std::move(run)),
        result_(std::move(result)) {}

  Napi::Promise Start(Napi::Env env, Napi::Value on_progress) {
    const Napi::Promise promise = deferred_.Promise();
    const Napi::String name = Napi::String::New(env, "taskfold job");
    if (napi_create_threadsafe_function(env, nullptr, nullptr, name, 0, 1, nullptr, nullptr, this,
                                        &JobState::Deliver, &channel_) != napi_ok) {
      throw Napi::Error::New(env, "cannot create a thread-safe function");
    }
    if (on_progress.IsFunction()) {
      on_progress_ = Napi::Persistent(on_progress.As<Napi::Function>());
      control_.OnProgress([this](uint64_t bytes) { Send(new Message{false, bytes}); });
    }
    // Hooks run last in, first out: this one joins the thread before Node takes the channel away.
    napi_add_env_cleanup_hook(env, &JobState::EnvironmentEnds, this);
    try {
      thread_ = std::thread([this] { Run(); });
    } catch (const std::system_error& error) {
      failure_.emplace("OUT_OF_MEMORY", std::string("cannot start a thread: ") + error.what());
      Send(new Message{true, 0});
    }
    return promise;
  }

  ~JobState() {
    if (!environment_ended_) return;
    // References die with their environment; deleting them now could reach freed memory.
    for (Napi::ObjectReference& pin : pins_) pin.SuppressDestruct();
    on_progress_.SuppressDestruct();
  }

 private:
  /// The environment ends (a Worker is terminated, the process exits) while the job runs.
  static void EnvironmentEnds(void* data) {
    const std::unique_ptr<JobState> job(static_cast<JobState*>(data));
    job->control_.Stop();
    if (job->thread_.joinable()) job->thread_.join();
    napi_release_threadsafe_function(job->channel_, napi_tsfn_abort);
    job->environment_ended_ = true;
  }

  struct Message {
    bool finished;
    uint64_t bytes;
  };

  void Run() {
    try {
      run_(control_);
    } catch (const Error& error) {
      failure_.emplace(error);
    } catch (const std::bad_alloc&) {
      failure_.emplace("OUT_OF_MEMORY", "out of memory");
    } catch (const std::exception& error) {
      failure_.emplace("INTERNAL", error.what());
    }
    Send(new Message{true, 0});
  }

  /// The channel reports only once that it is closing and may be gone afterwards, whichever thread was told.
  void Send(Message* message) {
    std::lock_guard<std::mutex> lock(channel_mutex_);
    if (channel_closed_ ||
        napi_call_threadsafe_function(channel_, message, napi_tsfn_nonblocking) != napi_ok) {
      channel_closed_ = true;
      delete message;
    }
  }

  static void Deliver(napi_env raw_env, napi_value, void* context, void* data) {
    const std::unique_ptr<Message> message(static_cast<Message*>(data));
    if (!raw_env) return;  // the environment ended, and the job with it
    const Napi::Env env(raw_env);
    const Napi::HandleScope scope(env);
    auto* job = static_cast<JobState*>(context);
    if (message->finished) {
      job->Finish(env);
    } else {
      job->ReportProgress(env, message->bytes);
    }
  }

  void ReportProgress(Napi::Env env, uint64_t bytes) {
    try {
      on_progress_.Call({Napi::Number::New(env, static_cast<double>(bytes))});
    } catch (const Napi::Error&) {
      // A listener that throws must not end the job; TypeScript's wrapper reports it.
    }
  }

  void Finish(Napi::Env env) {
    if (thread_.joinable()) thread_.join();
    const std::unique_ptr<JobState> self(this);
    napi_remove_env_cleanup_hook(env, &JobState::EnvironmentEnds, this);
    napi_release_threadsafe_function(channel_, napi_tsfn_release);
    try {
      if (failure_) {
        deferred_.Reject(ErrorValue(env, *failure_).Value());
      } else {
        deferred_.Resolve(result_(env));
      }
    } catch (const Napi::Error& error) {
      // Building the result failed (a buffer too large for this runtime, or a terminating worker).
      try {
        deferred_.Reject(error.Value());
      } catch (const Napi::Error&) {
      }
    }
  }

  RunControl control_;
  Napi::Promise::Deferred deferred_;
  Pins pins_;
  std::function<void(RunControl&)> run_;
  std::function<Napi::Value(Napi::Env)> result_;
  Napi::FunctionReference on_progress_;
  napi_threadsafe_function channel_ = nullptr;
  std::mutex channel_mutex_;
  bool channel_closed_ = false;
  bool environment_ended_ = false;
  std::thread thread_;
  std::optional<Error> failure_;
};

Napi::Value StartErasedJob(Napi::Env env, Napi::Value control, Pins pins,
                           std::function<void(RunControl&)> run,
                           std::function<Napi::Value(Napi::Env)> result) {
  const ControlArgument options = ReadControl(env, control);
  auto job = std::make_unique<JobState>(env, options, std::move(pins), std::move(run), std::move(result));
  const Napi::Promise promise = job->Start(env, options.on_progress);
  job.release();  // its thread runs: Finish or EnvironmentEnds deletes it
  return promise;
}

}  // namespace taskfold
