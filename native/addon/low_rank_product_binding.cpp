#include "addon/async_job.h"
#include "addon/bindings.h"
#include "addon/error_value.h"
#include "addon/low_rank_argument.h"
#include "ops/add_products.h"
#include "ops/low_rank_product.h"

namespace taskfold {
namespace {

std::optional<Operand> ReadOptionalOperand(Napi::Object object, const char* key, Pins* pins) {
  if (IsNullish(object, key)) return std::nullopt;
  return ReadOperand(object, key, pins);
}

ProductLayer ReadLayer(Napi::Object object, Pins* pins) {
  ProductLayer layer;
  layer.name = ReadString(object, "name");
  layer.rows = ReadCount(object, "rows");
  layer.columns = ReadCount(object, "columns");
  ForEachObject(object, "products",
                [&](Napi::Object product) { layer.products.push_back(ReadProduct(product, pins)); });
  if (layer.products.empty()) throw ArgumentError(object.Env(), "expected products to hold at least one");
  if (!IsNullish(object, "keep")) {
    layer.keep = static_cast<size_t>(ReadCountWithin(object, "keep", 0, kMaxRank));
  }
  layer.out_b = ReadOptionalOperand(object, "outB", pins);
  layer.out_a = ReadOptionalOperand(object, "outA", pins);
  if (layer.keep.has_value() != layer.out_b.has_value() ||
      layer.keep.has_value() != layer.out_a.has_value()) {
    throw ArgumentError(object.Env(), "expected keep, outB and outA to be given together or all null");
  }
  return layer;
}

}  // namespace

Napi::Value BindTruncateProducts(const Napi::CallbackInfo& info) {
  const Napi::Object job = ReadObject(info.Env(), info[0], "job");
  Pins pins;
  std::vector<ProductLayer> layers;
  ForEachObject(job, "layers", [&](Napi::Object object) { layers.push_back(ReadLayer(object, &pins)); });
  const SvdSplit split = ReadSplit(job);
  return StartJob(
      info.Env(), info[1], std::move(pins),
      [layers = std::move(layers), split](RunControl& control) {
        return TruncateProducts(layers, split, control);
      },
      [](Napi::Env env, std::vector<std::vector<double>>& values) -> Napi::Value {
        const Napi::Array result = Napi::Array::New(env, values.size());
        for (size_t i = 0; i < values.size(); i++) {
          result.Set(static_cast<uint32_t>(i), DoubleArray(env, values[i]));
        }
        return result;
      });
}

Napi::Value BindAddProducts(const Napi::CallbackInfo& info) {
  const Napi::Object job = ReadObject(info.Env(), info[0], "job");
  Pins pins;
  std::vector<AddProductsTensor> tensors;
  ForEachObject(job, "tensors", [&](Napi::Object object) {
    AddProductsTensor tensor;
    tensor.name = ReadString(object, "name");
    tensor.rows = ReadCount(object, "rows");
    tensor.columns = ReadCount(object, "columns");
    tensor.base = ReadOperand(object, "base", &pins);
    ForEachObject(object, "products", [&](Napi::Object product) {
      tensor.products.push_back({ReadProduct(product, &pins), ReadFlag(product, "transposed")});
    });
    tensor.out = ReadOperand(object, "out", &pins);
    tensors.push_back(std::move(tensor));
  });
  return StartVoidJob(info.Env(), info[1], std::move(pins),
                      [tensors = std::move(tensors)](RunControl& control) { AddProducts(tensors, control); });
}

}  // namespace taskfold
