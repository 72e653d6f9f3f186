#include "ops/device_sketches.h"

#include <algorithm>
#include <optional>

#include "device/device_set.h"
#include "ops/device_orthonormalize.h"

namespace taskfold {
namespace {

// Kernels take tiles of so many rows; a block of rows starts where every dtype is aligned.
constexpr size_t kRowStep = 64;
// What kernels may take beside the lane's slots.
constexpr uint64_t kWorkspace = uint64_t{16} << 20;
// Slots are rounded up.
constexpr uint64_t kSlack = 16384;

enum Slot : size_t { kX, kY, kNarrowY, kZ, kR, kNumbers, kMatrix, kMinus };

/// As it lies on the device.
struct Numbers {
  double squared_norm = 0;
  uint64_t not_finite = 0;
  uint32_t status = 0;
  uint32_t reserved = 0;
};

uint64_t RowBytes(const MatrixSource& source) {
  return source.columns *
         (ItemSize(source.matrix.dtype) + (source.minus ? ItemSize(source.minus->dtype) : 0));
}

uint64_t SketchBytes(const MatrixSource& source, size_t k) {
  return k * (source.columns + source.rows) * (sizeof(double) + sizeof(float)) + k * k * sizeof(double) +
         kSlack;
}

/// Rows of a block: `chunk` bytes of them, or what there is room for; 0: not even the least fits.
size_t PieceRows(const MatrixSource& source, uint64_t chunk, uint64_t available) {
  const uint64_t row_bytes = source.columns * ItemSize(source.matrix.dtype);
  size_t rows = std::max<size_t>(1, chunk / row_bytes / kRowStep) * kRowStep;
  while (rows > kRowStep && rows * RowBytes(source) > available) rows = rows / 2 / kRowStep * kRowStep;
  rows = std::min(std::max(rows, kRowStep), source.rows);
  return rows * RowBytes(source) <= available ? rows : 0;
}

class DeviceSketches final : public Sketches {
 public:
  DeviceSketches(const MatrixSource& source, size_t k, uint64_t available, RunControl& control)
      : source_(source),
        k_(k),
        control_(control),
        lease_(control.devices()->Lease(control, 1)),
        lane_(lease_[0]),
        resident_(source.rows * RowBytes(source) <= available),
        piece_rows_(PieceRows(source, control.devices()->chunk_bytes(), available)) {
    const size_t held = resident_ ? source.rows : piece_rows_;
    x_ = lane_.Array<float>(kX, k * source.columns);
    y_ = lane_.Array<double>(kY, k * source.rows);
    narrow_y_ = lane_.Array<float>(kNarrowY, k * source.rows);
    z_ = lane_.Array<double>(kZ, k * source.columns);
    r_ = lane_.Array<double>(kR, k * k);
    numbers_ = lane_.Array<Numbers>(kNumbers, 1);
    matrix_ = lane_.Array<uint8_t>(kMatrix, held * source.columns * ItemSize(source.matrix.dtype));
    if (source.minus) {
      minus_ = lane_.Array<uint8_t>(kMinus, held * source.columns * ItemSize(source.minus->dtype));
    }
    const Numbers zero;
    lane_.Upload(numbers_, &zero, sizeof zero);
  }

  void Start(const std::vector<float>& omega) override {
    lane_.Upload(x_, omega.data(), omega.size() * sizeof(float));
  }
  // Orthonormalizing left Z at X, rounded.
  void Continue() override {}

  void Fused() override {
    ClearZ();
    ForPieces([&](const Piece& piece) {
      auto forward = Job<tf_cuda_sketch_job>(piece);
      forward.y = narrow_y_ + piece.first;
      Multiply(forward);
      Transposed(piece, narrow_y_, nullptr);
    });
  }
  void Forward() override {
    ForPieces([&](const Piece& piece) {
      auto forward = Job<tf_cuda_sketch_job>(piece);
      forward.wide_y = y_ + piece.first;
      Multiply(forward);
    });
  }
  void Backward(bool wide) override {
    ClearZ();
    ForPieces(
        [&](const Piece& piece) { Transposed(piece, wide ? nullptr : narrow_y_, wide ? y_ : nullptr); });
  }
  std::vector<double> OrthonormalizeY() override {
    return Orthonormalize(lane_, {y_, narrow_y_, source_.rows, k_}, r_, &numbers_->status, control_);
  }
  std::vector<double> OrthonormalizeZ() override {
    return Orthonormalize(lane_, {z_, x_, source_.columns, k_}, r_, &numbers_->status, control_);
  }
  std::vector<double> TakeY() override { return Download(y_, k_ * source_.rows); }
  std::vector<double> TakeZ() override { return Download(z_, k_ * source_.columns); }
  double squared_norm() const override { return squared_norm_; }

 private:
  struct Piece {
    size_t first, rows;
    const uint8_t* matrix;
    const uint8_t* minus;
  };

  /// Calls work(piece) for every block of rows, in order, when it is on its way to the device.
  template <class Work>
  void ForPieces(const Work& work) {
    for (size_t first = 0; first < source_.rows; first += piece_rows_) {
      control_.ThrowIfCancelled();
      const size_t rows = std::min(piece_rows_, source_.rows - first);
      const Piece piece{first, rows, Place(source_.matrix, matrix_, first, rows),
                        source_.minus ? Place(*source_.minus, minus_, first, rows) : nullptr};
      work(piece);
      control_.AddProgress(rows * RowBytes(source_));
    }
    uploaded_ = resident_;
    if (!norm_known_) ReadNumbers();
  }

  /// Where rows of an operand are on the device; uploads them unless they have been there since another pass.
  const uint8_t* Place(const Operand& operand, uint8_t* memory, size_t first, size_t rows) {
    const uint64_t row_bytes = source_.columns * ItemSize(operand.dtype);
    uint8_t* at = resident_ ? memory + first * row_bytes : memory;
    if (!uploaded_) lane_.Upload(at, operand.region, first * row_bytes, rows * row_bytes);
    return at;
  }

  template <class T>
  T Job(const Piece& piece) const {
    T job{};
    job.dtype = static_cast<int32_t>(source_.matrix.dtype);
    job.minus_dtype = source_.minus ? static_cast<int32_t>(source_.minus->dtype) : 0;
    job.rows = piece.rows;
    job.columns = source_.columns;
    job.k = static_cast<uint32_t>(k_);
    job.scale = source_.scale;
    job.matrix = piece.matrix;
    job.minus = piece.minus;
    job.y_stride = source_.rows;
    return job;
  }
  void Multiply(tf_cuda_sketch_job job) {
    job.x = x_;
    if (!norm_known_) {
      job.squared_norm = &numbers_->squared_norm;
      job.not_finite = &numbers_->not_finite;
    }
    lane_.Launch("multiplying by a sketch", lane_.cuda().sketch_forward, job);
  }
  void Transposed(const Piece& piece, const float* narrow, const double* wide) {
    auto job = Job<tf_cuda_backward_job>(piece);
    job.y = narrow == nullptr ? nullptr : narrow + piece.first;
    job.wide_y = wide == nullptr ? nullptr : wide + piece.first;
    job.z = z_;
    lane_.Launch("multiplying a transposed matrix", lane_.cuda().sketch_backward, job);
  }
  void ClearZ() { lane_.Fill(z_, 0, k_ * source_.columns * sizeof(double)); }

  std::vector<double> Download(const double* from, size_t n) {
    std::vector<double> values(n);
    lane_.Download(values.data(), from, n * sizeof(double));
    return values;
  }

  void ReadNumbers() {
    Numbers numbers;
    lane_.Download(&numbers, numbers_, sizeof numbers);
    if (numbers.not_finite != 0) ThrowNotFinite();
    squared_norm_ = numbers.squared_norm;
    norm_known_ = true;
  }

  /// Reads the matrix again on the CPU, which says which operand is to blame and where.
  [[noreturn]] void ThrowNotFinite() {
    const RowPartition partition(source_.rows, source_.columns, k_);
    Scratch scratch;
    for (size_t first = 0; first < source_.rows; first += partition.block_rows) {
      const size_t rows = std::min(partition.block_rows, source_.rows - first);
      ReadRows(source_, first, rows, nullptr, scratch, 0, control_);
    }
    throw Error("DEVICE_UNAVAILABLE",
                source_.name + ": the GPU found a value that is not finite, the CPU none")
        .Tensor(source_.name)
        .Hint("use --device cpu");
  }

  const MatrixSource& source_;
  const size_t k_;
  RunControl& control_;
  const LaneLease lease_;
  Lane& lane_;
  const bool resident_;
  const size_t piece_rows_;
  float* x_ = nullptr;
  double* y_ = nullptr;
  float* narrow_y_ = nullptr;
  double* z_ = nullptr;
  double* r_ = nullptr;
  Numbers* numbers_ = nullptr;
  uint8_t* matrix_ = nullptr;
  uint8_t* minus_ = nullptr;
  bool uploaded_ = false;
  bool norm_known_ = false;
  double squared_norm_ = 0;
};

}  // namespace

std::unique_ptr<Sketches> MakeDeviceSketches(const MatrixSource& source, size_t k, RunControl& control) {
  if (!control.devices() || k > TF_CUDA_MAX_SKETCH) return nullptr;
  const DeviceSet& devices = *control.devices();
  const uint64_t taken = SketchBytes(source, k) + kWorkspace;
  if (taken > devices.lane_bytes()) return nullptr;
  const uint64_t available = devices.lane_bytes() - taken;
  if (PieceRows(source, devices.chunk_bytes(), available) == 0) return nullptr;
  return std::make_unique<DeviceSketches>(source, k, available, control);
}

}  // namespace taskfold
