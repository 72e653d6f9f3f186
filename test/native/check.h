#pragma once
#include <cstdio>
#include <cstdlib>
#include <string>

// The smallest test kit: a failed check prints where and what, and ends the program with 1.
#define CHECK(condition, ...)                                                     \
  do {                                                                            \
    if (!(condition)) {                                                           \
      std::fprintf(stderr, "%s:%d: %s failed: ", __FILE__, __LINE__, #condition); \
      std::fprintf(stderr, __VA_ARGS__);                                          \
      std::fprintf(stderr, "\n");                                                 \
      std::exit(1);                                                               \
    }                                                                             \
  } while (0)

/// xorshift: the same numbers everywhere.
struct Random {
  unsigned long long state;
  explicit Random(unsigned long long seed) : state(seed * 2654435769u + 88172645463325252ull) {}
  unsigned long long Next() {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
  }
  unsigned Below(unsigned n) { return static_cast<unsigned>(Next() >> 33) % n; }
};
