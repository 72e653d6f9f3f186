#pragma once
#include <cstddef>
#include <functional>

namespace taskfold {

/// Threads the machine offers to this process (its CPU affinity considered), at least 1.
unsigned MachineThreads();

/// Calls work(item, worker) once for every item in [0, items), on up to `threads` threads (0:
/// MachineThreads()), the caller's included. Items start in ascending order; worker is in [0, threads) and
/// unique among those running, so that each may own scratch memory. An exception stops the others; that of
/// the lowest item is rethrown here. Threads belong to one pool of the process and are kept.
void ParallelFor(size_t items, unsigned threads,
                 const std::function<void(size_t item, unsigned worker)>& work);

}  // namespace taskfold
