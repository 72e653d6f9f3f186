#pragma once
#include <cstddef>
#include <vector>

#include "core/run_control.h"

namespace taskfold {

/// G = RᵀR of a Gram matrix G [k × k], row-major, of which the upper triangle is read and becomes R (the rest
/// zeros). Columns are scaled to unit norm meanwhile, so that large and small ones beside each other do no
/// harm. False, with G spoiled, when their reciprocal condition is not above `least`.
bool UpperFromGram(size_t k, double least, double* gram);

/// Is the reciprocal condition of an upper R [k × k], columns scaled to unit norm, above `least`? False for a
/// column that is zero or not finite.
bool IsWellConditioned(size_t k, std::vector<double> r, double least);

/// Reciprocal condition above which one Cholesky step leaves an error in orthogonality, of about 1e-16 /
/// this², that a second one removes.
constexpr double kLeastSketchCondition = 1e-6;

/// S [n × k], n ≥ k, columns contiguous (element (i, j) at s[j · n + i]), becomes an orthonormal basis Q of a
/// space that holds its columns; R [k × k], row-major, with S = Q·R is returned.
//
/// CholeskyQR2 (Yamamoto, Nakatsukasa, Yanagisawa, Fukaya 2015) in chunks of rows that depend on n only, so
/// that the bits do not depend on the number of threads; Householder's reflections where the columns are too
/// nearly dependent.
std::vector<double> Orthonormalize(size_t n, size_t k, double* s, RunControl& control);

}  // namespace taskfold
