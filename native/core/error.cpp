#include "core/error.h"

#include <cerrno>
#include <cstring>

namespace taskfold {

void ThrowErrno(int error, const char* doing, const std::string& path) {
  const char* code = "IO_ERROR";
  const char* hint = "";
  if (error == ENOSPC || error == EDQUOT) {
    code = "DISK_FULL";
    hint = "free disk space or write to another disk";
  } else if (error == ENOENT) {
    code = "NOT_FOUND";
  }
  throw Error(code, std::string(doing) + " " + path + ": " + strerror(error)).File(path).Hint(hint);
}

}  // namespace taskfold
