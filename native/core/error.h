#pragma once
#include <cstdint>
#include <exception>
#include <string>
#include <utility>

namespace taskfold {

/// Every failure of the engine. `code` is one of lib/errors/error-codes.ts; the addon copies the fields to
/// JavaScript.
class Error : public std::exception {
 public:
  Error(const char* code, std::string message) : code_(code), message_(std::move(message)) {}

  Error& Tensor(std::string name) { return tensor_ = std::move(name), *this; }
  Error& File(std::string path) { return file_ = std::move(path), *this; }
  /// "base", "merged", "out", "task 3", …: which operand of the tensor is at fault.
  Error& Operand(std::string which) { return operand_ = std::move(which), *this; }
  /// Flat row-major element index.
  Error& Index(int64_t index) { return index_ = index, *this; }
  Error& Hint(std::string what_to_do) { return hint_ = std::move(what_to_do), *this; }

  const char* what() const noexcept override { return message_.c_str(); }
  const std::string& code() const { return code_; }
  const std::string& tensor() const { return tensor_; }
  const std::string& file() const { return file_; }
  const std::string& operand() const { return operand_; }
  const std::string& hint() const { return hint_; }
  int64_t index() const { return index_; }

 private:
  std::string code_, message_, tensor_, file_, operand_, hint_;
  int64_t index_ = -1;
};

/// Runs f; an Error that does not know its tensor yet (a failed read, a full disk) gets this one.
template <class F>
void NamingTensor(const std::string& name, const F& f) {
  try {
    f();
  } catch (Error& error) {
    if (error.tensor().empty()) error.Tensor(name);
    throw;
  }
}

/// DISK_FULL for ENOSPC and EDQUOT, NOT_FOUND for ENOENT, else IO_ERROR; names the path and what was tried.
[[noreturn]] void ThrowErrno(int error, const char* doing, const std::string& path);

}  // namespace taskfold
