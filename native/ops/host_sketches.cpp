#include "ops/orthonormalize.h"
#include "ops/sketch_passes.h"
#include "ops/sketches.h"

namespace taskfold {
namespace {

std::vector<float> Narrowed(const std::vector<double>& values) {
  std::vector<float> narrow(values.size());
  for (size_t i = 0; i < values.size(); i++) narrow[i] = static_cast<float>(values[i]);
  return narrow;
}

class HostSketches final : public Sketches {
 public:
  HostSketches(const MatrixSource& source, size_t k, RunControl& control)
      : source_(source), k_(k), control_(control), passes_(source, k, control) {}

  void Start(const std::vector<float>& omega) override { x_ = omega; }
  void Continue() override { x_ = Narrowed(z_); }
  void Fused() override { z_ = passes_.Fused(x_); }
  void Forward() override { y_ = passes_.Forward(x_); }
  void Backward(bool wide) override { z_ = wide ? passes_.Backward(y_) : passes_.Backward(Narrowed(y_)); }
  std::vector<double> OrthonormalizeY() override {
    return Orthonormalize(source_.rows, k_, y_.data(), control_);
  }
  std::vector<double> OrthonormalizeZ() override {
    return Orthonormalize(source_.columns, k_, z_.data(), control_);
  }
  std::vector<double> TakeY() override { return std::move(y_); }
  std::vector<double> TakeZ() override { return std::move(z_); }
  double squared_norm() const override { return passes_.squared_norm(); }

 private:
  const MatrixSource& source_;
  const size_t k_;
  RunControl& control_;
  SketchPasses passes_;
  std::vector<float> x_;
  std::vector<double> y_, z_;
};

}  // namespace

std::unique_ptr<Sketches> MakeHostSketches(const MatrixSource& source, size_t k, RunControl& control) {
  return std::make_unique<HostSketches>(source, k, control);
}

}  // namespace taskfold
