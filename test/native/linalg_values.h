#pragma once
// What tests of linear algebra share.
#include <cmath>
#include <vector>

#include "check.h"

using Wide = std::vector<double>;

inline double Symmetric(Random& random) {
  return (static_cast<double>(random.Below(2000001)) - 1000000) / 1000000;
}

inline Wide RandomWide(size_t n, Random& random) {
  Wide values(n);
  for (double& x : values) x = Symmetric(random);
  return values;
}

inline std::vector<float> RandomNarrow(size_t n, Random& random) {
  std::vector<float> values(n);
  for (float& x : values) x = static_cast<float>(Symmetric(random));
  return values;
}

inline void CheckNear(double found, double expected, double most, const char* what, size_t i, size_t j) {
  CHECK(std::fabs(found - expected) <= most, "%s (%zu, %zu): %.17g, expected %.17g ± %g", what, i, j, found,
        expected, most);
}

/// ‖c − b·a‖ (Frobenius) with b [rows × rank] and a [rank × columns].
inline double Residual(const std::vector<double>& c, const std::vector<float>& b, const std::vector<float>& a,
                       size_t rows, size_t rank, size_t columns) {
  double sum = 0;
  for (size_t i = 0; i < rows; i++) {
    for (size_t j = 0; j < columns; j++) {
      double x = c[i * columns + j];
      for (size_t k = 0; k < rank; k++)
        x -= static_cast<double>(b[i * rank + k]) * static_cast<double>(a[k * columns + j]);
      sum += x * x;
    }
  }
  return std::sqrt(sum);
}
