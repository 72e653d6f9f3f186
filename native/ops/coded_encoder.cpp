#include "ops/coded_encoder.h"

#include "core/error.h"
#include "ops/operand_reader.h"

namespace taskfold {

void EncoderState::Expect(Stage stage) const {
  if (stage_ == stage) return;
  const char* why = stage_ == Stage::kBroken     ? "an earlier job failed or was cancelled"
                    : stage_ == Stage::kFinished ? "it has finished"
                    : stage_ == Stage::kCount    ? "it still counts: prepare() comes first"
                                                 : "its tables are chosen: it only encodes from here on";
  throw Error("INVALID_ARGUMENT", std::string("the encoder cannot be used for this: ") + why);
}

void EncoderState::ExpectAllSeen() const {
  if (seen_ == tensors_.size()) return;
  throw Error("INVALID_ARGUMENT", "the encoder has seen " + std::to_string(seen_) + " of " +
                                      std::to_string(tensors_.size()) + " tensors in this pass");
}

void EncoderState::CheckNext(size_t place, const CodecTensor& tensor) const {
  const CodedTensor& shape = tensor.shape;
  if (place >= tensors_.size()) {
    throw Error("INVALID_ARGUMENT", shape.name + ": the encoder expects no more tensors").Tensor(shape.name);
  }
  const CodedTensor& expected = tensors_[place];
  if (shape.name != expected.name || shape.dtype != expected.dtype || shape.rows != expected.rows ||
      shape.columns != expected.columns) {
    throw Error("INVALID_ARGUMENT",
                shape.name + ": the encoder expects " + expected.name + " [" + std::to_string(expected.rows) +
                    ", " + std::to_string(expected.columns) + "] of " + DtypeName(expected.dtype) + " next")
        .Tensor(shape.name);
  }
  CheckOperandLength(shape.name, "task", tensor.task.region, shape.elements(), tensor.task.dtype);
  CheckOperandLength(shape.name, "merged", tensor.merged, shape.elements(), shape.dtype);
}

}  // namespace taskfold
