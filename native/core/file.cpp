#include "core/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <vector>

#include "core/error.h"

namespace taskfold {
namespace {

// Linux transfers at most 0x7ffff000 bytes a call, macOS refuses more than INT_MAX.
constexpr size_t kMaxTransfer = size_t{1} << 30;

}  // namespace

std::shared_ptr<File> File::Open(const std::string& path, Mode mode) {
  // O_NONBLOCK: a pipe that nobody writes to must not hang the caller before it is refused.
  const int flags = (mode == Mode::kRead ? O_RDONLY : O_RDWR | O_CREAT) | O_NONBLOCK;
  int fd;
  do {
    fd = open(path.c_str(), flags | O_CLOEXEC, 0666);
  } while (fd < 0 && errno == EINTR);
  if (fd < 0) ThrowErrno(errno, "cannot open", path);
  struct stat status {};
  if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
    const int error = errno;
    const bool regular = S_ISREG(status.st_mode);
    close(fd);
    if (regular) ThrowErrno(error, "cannot stat", path);
    throw Error("IO_ERROR", "not a regular file: " + path).File(path);
  }
  return std::shared_ptr<File>(
      new File(fd, path, static_cast<uint64_t>(status.st_size), mode == Mode::kWrite));
}

std::shared_ptr<File> File::OpenTemporaryBeside(const std::string& path) {
  std::string name = path + ".XXXXXX";
  const int fd = mkostemp(name.data(), O_CLOEXEC);
  if (fd < 0) ThrowErrno(errno, "cannot create a temporary file", name);
  unlink(name.c_str());
  return std::shared_ptr<File>(new File(fd, name, 0, true));
}

File::~File() { close(fd_); }

void File::ReadAt(void* to, size_t length, uint64_t offset) const {
  auto* bytes = static_cast<uint8_t*>(to);
  while (length > 0) {
    const ssize_t got =
        pread(fd_, bytes, length < kMaxTransfer ? length : kMaxTransfer, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) ThrowErrno(errno, "cannot read", path_);
    if (got == 0) {
      throw Error("FILE_TRUNCATED", path_ + " ends at byte " + std::to_string(offset) + ", " +
                                        std::to_string(length) +
                                        " bytes before the data its header describes")
          .File(path_)
          .Hint("download or copy the file again");
    }
    bytes += got;
    offset += static_cast<uint64_t>(got);
    length -= static_cast<size_t>(got);
  }
}

void File::WriteAt(const void* from, size_t length, uint64_t offset) const {
  const auto* bytes = static_cast<const uint8_t*>(from);
  while (length > 0) {
    const ssize_t put =
        pwrite(fd_, bytes, length < kMaxTransfer ? length : kMaxTransfer, static_cast<off_t>(offset));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) ThrowErrno(errno, "cannot write", path_);
    bytes += put;
    offset += static_cast<uint64_t>(put);
    length -= static_cast<size_t>(put);
  }
}

void File::Allocate(uint64_t size) const {
  if (ftruncate(fd_, static_cast<off_t>(size)) != 0) ThrowErrno(errno, "cannot set the length of", path_);
#ifdef __linux__
  if (size > 0 && fallocate(fd_, 0, 0, static_cast<off_t>(size)) != 0) {
    // Not every file system can reserve; only a full disk matters here.
    if (errno == ENOSPC || errno == EDQUOT) ThrowErrno(errno, "cannot reserve space for", path_);
  }
#endif
}

void File::Sync() const {
  int result;
  do {
    result = fsync(fd_);
  } while (result != 0 && errno == EINTR);
  if (result != 0) ThrowErrno(errno, "cannot flush", path_);
}

}  // namespace taskfold
