#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace taskfold {

/// An open file. Positional reads and writes only, so any number of threads may share it. Not mapped: a file
/// that shrinks or a disk that fills up is an error here, where a mapping would kill the process with SIGBUS.
class File {
 public:
  enum class Mode { kRead, kWrite };
  /// kRead: must exist. kWrite: created when missing, never truncated.
  static std::shared_ptr<File> Open(const std::string& path, Mode mode);
  /// An anonymous file beside `path` that vanishes with the last reference.
  static std::shared_ptr<File> OpenTemporaryBeside(const std::string& path);
  ~File();
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  /// Reads exactly `length` bytes; FILE_TRUNCATED when the file ends earlier.
  void ReadAt(void* to, size_t length, uint64_t offset) const;
  /// Writes all; DISK_FULL or IO_ERROR.
  void WriteAt(const void* from, size_t length, uint64_t offset) const;
  /// Sets the length and reserves its blocks where the file system can, so that a full disk shows at once.
  void Allocate(uint64_t size) const;
  void Sync() const;

  const std::string& path() const { return path_; }
  uint64_t size_at_open() const { return size_; }
  bool writable() const { return writable_; }
  int descriptor() const { return fd_; }

 private:
  File(int fd, std::string path, uint64_t size, bool writable)
      : fd_(fd), path_(std::move(path)), size_(size), writable_(writable) {}
  int fd_;
  std::string path_;
  uint64_t size_;
  bool writable_;
};

}  // namespace taskfold
