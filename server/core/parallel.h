// Loops over many elements on the threads that the running command may use. OpenMP carries them,
// as it carries oneDNN, so that there is one pool of threads to size.
#ifndef GRADWIRE_CORE_PARALLEL_H_
#define GRADWIRE_CORE_PARALLEL_H_

#include <omp.h>

#include <algorithm>
#include <cstdint>

namespace gradwire {

// CPUs this process may use: the smallest of affinity, cgroup quota (rounded up) and the
// environment variable GRADWIRE_THREADS.
int AvailableCpus();

// Starts the program anew, once, with the environment that libraries read before main(): OpenMP
// waits a third of a millisecond between loops before it lets its threads sleep, jemalloc has one
// arena a CPU and gives memory back that was not wanted for five seconds. What is set already
// stays (OMP_WAIT_POLICY or GOMP_SPINCOUNT, MALLOC_CONF); returns where nothing is missing. For the
// first line of main().
void RequireEnvironment(char** argv);

// Threads that loops and oneDNN primitives started by the calling thread use.
inline void SetThreads(int threads) { omp_set_num_threads(threads); }
inline int Threads() { return omp_get_max_threads(); }

// Lets the calling thread's loops use so many threads for a while; in a thread of a loop, its own.
class ThreadsScope {
 public:
  explicit ThreadsScope(int threads) : before_(Threads()) { SetThreads(threads); }
  ~ThreadsScope() { SetThreads(before_); }
  ThreadsScope(const ThreadsScope&) = delete;
  ThreadsScope& operator=(const ThreadsScope&) = delete;

 private:
  const int before_;
};

// Around loops of the calling thread, its own or a library's: sees to it that their threads begin
// on CPUs of their own. Costs a few clock reads where the thread's last loop ended a moment ago.
class LoopScope {
 public:
  explicit LoopScope(int threads);
  ~LoopScope();
  LoopScope(const LoopScope&) = delete;
  LoopScope& operator=(const LoopScope&) = delete;

 private:
  const int threads_;
};

// Calls f(begin, end) on disjoint ranges that cover [0, n), of at least `grain` elements each but
// for the last; `grain` is about how many are worth a thread's wake-up. f must not throw.
template <class F>
void ParallelFor(int64_t n, int64_t grain, F&& f) {
  if (n <= 0) return;
  const int64_t wanted = std::min<int64_t>(Threads(), n / std::max<int64_t>(1, grain));
  if (wanted <= 1) {
    f(int64_t{0}, n);
    return;
  }
  const LoopScope scope(static_cast<int>(wanted));
  const int64_t chunk = (n + wanted - 1) / wanted;
#pragma omp parallel for num_threads(static_cast<int>(wanted)) schedule(static, 1)
  for (int64_t i = 0; i < wanted; ++i) {
    const int64_t begin = i * chunk;
    if (begin < n) f(begin, std::min(n, begin + chunk));
  }
}

}  // namespace gradwire

#endif  // GRADWIRE_CORE_PARALLEL_H_
