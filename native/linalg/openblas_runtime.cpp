// What OpenBLAS's static library needs to live inside the addon: one thread, no Fortran run-time library, no
// text on the user's terminal. Only compiled in where it is used (CMakeLists.txt).
#ifdef TASKFOLD_OPENBLAS_STATIC
#include <cstddef>
#include <cstring>

extern "C" {

// OpenBLAS's own variables. Its load-time constructor asks them how many threads to start: one is none. All
// parallelism is ours, and a process that only folds should not keep idle threads for LoRA.
extern int blas_cpu_number;
extern int blas_num_threads;

// The same priority as OpenBLAS's: objects that stand before the archive on the link line run first.
__attribute__((constructor(101))) static void StartNoThreads() { blas_cpu_number = blas_num_threads = 1; }

// LAPACK's answer to a wrong argument: the reference one prints and ends the process. Ours returns; the
// routine then returns a negative info, which lapack.cpp turns into an error.
void xerbla_(const char*, const int*, size_t) {}

// The one function of libgfortran that the used part of LAPACK calls (to build a key of ilaenv's table):
// to = first // second, cut or padded with blanks to its length.
void _gfortran_concat_string(size_t to_length, char* to, size_t first_length, const char* first,
                             size_t second_length, const char* second) {
  const size_t from_first = first_length < to_length ? first_length : to_length;
  std::memcpy(to, first, from_first);
  const size_t left = to_length - from_first;
  const size_t from_second = second_length < left ? second_length : left;
  std::memcpy(to + from_first, second, from_second);
  std::memset(to + from_first + from_second, ' ', left - from_second);
}
}
#endif

#ifdef TASKFOLD_OPENBLAS_SHARED
extern "C" void openblas_set_num_threads(int threads);

// The shared library may serve others in this process too; its threads started when it was loaded.
__attribute__((constructor)) static void UseOneThread() { openblas_set_num_threads(1); }
#endif
