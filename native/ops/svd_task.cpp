#include "core/error.h"
#include "ops/coded_task.h"

namespace taskfold {

std::shared_ptr<const CodedTask> OpenSvdTask(float, std::vector<CodedTensor>, const CodedArrays&) {
  throw Error("PACK_VERSION", "codec svd is not built yet");
}

}  // namespace taskfold
