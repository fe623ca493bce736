#include "core/parallel.h"

#include <fmt/format.h>
#include <sched.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <system_error>
#include <vector>

#include "absl/strings/numbers.h"

namespace gradwire {
namespace {

// cgroup v2's "QUOTA PERIOD" or "max PERIOD", or v1's pair of files; 0 when there is no limit.
int CgroupCpus() {
  std::ifstream v2("/sys/fs/cgroup/cpu.max");
  std::string quota;
  int64_t period = 0;
  if (v2 >> quota >> period) {
    if (quota == "max" || period <= 0) return 0;
    return static_cast<int>((std::stoll(quota) + period - 1) / period);
  }
  std::ifstream v1_quota("/sys/fs/cgroup/cpu/cpu.cfs_quota_us");
  std::ifstream v1_period("/sys/fs/cgroup/cpu/cpu.cfs_period_us");
  int64_t microseconds = 0;
  if (v1_quota >> microseconds && v1_period >> period && microseconds > 0 && period > 0) {
    return static_cast<int>((microseconds + period - 1) / period);
  }
  return 0;
}

using Clock = std::chrono::steady_clock;

// After which OpenMP's threads may have gone to sleep.
constexpr std::chrono::microseconds kRest(50);
thread_local Clock::time_point last_loop;

// Whether a thread of a team is on the CPU of one before it.
bool SharesCpu(std::span<const int> cpus, size_t thread) {
  const auto before = cpus.first(thread);
  return std::find(before.begin(), before.end(), cpus[thread]) != before.end();
}

// The CPU for thread `self` of a team: the one that it is on, or where that is another's, one that
// none of the team is on.
int CpuFor(std::span<const int> cpus, size_t self, const cpu_set_t& allowed) {
  if (!SharesCpu(cpus, self)) return cpus[self];
  size_t others = 0;  // who have to move too, before this one
  for (size_t i = 0; i < self; ++i) others += SharesCpu(cpus, i) ? 1 : 0;
  for (int i = 1; i < CPU_SETSIZE; ++i) {
    const int cpu = (cpus[self] + i) % CPU_SETSIZE;
    const bool is_free =
        CPU_ISSET(cpu, &allowed) && std::find(cpus.begin(), cpus.end(), cpu) == cpus.end();
    if (is_free && others-- == 0) return cpu;
  }
  return cpus[self];
}

}  // namespace

// A thread that is woken while others run on its CPU is put beside the one that wakes it, and it
// may take the system many milliseconds to part the two: as long they take turns on one CPU. All
// are bound for a moment, or those that wait for one that moves would be moved to where it goes.
LoopScope::LoopScope(int threads) : threads_(threads) {
  cpu_set_t allowed;
  if (threads <= 1 || Clock::now() - last_loop < kRest ||
      sched_getaffinity(0, sizeof(allowed), &allowed) != 0) {
    return;
  }
  std::vector<int> cpus(static_cast<size_t>(threads));
#pragma omp parallel num_threads(threads)
  {
    const auto self = static_cast<size_t>(omp_get_thread_num());
    cpus[self] = sched_getcpu();
#pragma omp barrier
    cpu_set_t only;
    CPU_ZERO(&only);
    CPU_SET(CpuFor(cpus, self, allowed), &only);
    sched_setaffinity(0, sizeof(only), &only);
#pragma omp barrier
    sched_setaffinity(0, sizeof(allowed), &allowed);
  }
}

LoopScope::~LoopScope() {
  if (threads_ > 1) last_loop = Clock::now();
}

int AvailableCpus() {
  cpu_set_t set;
  int cpus = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
  if (const int quota = CgroupCpus(); quota > 0) cpus = std::min(cpus, quota);
  if (const char* threads = std::getenv("GRADWIRE_THREADS"); threads != nullptr) {
    int wanted = 0;
    if (absl::SimpleAtoi(threads, &wanted) && wanted > 0) cpus = std::min(cpus, wanted);
  }
  return std::max(1, cpus);
}

// OpenMP's threads that sleep between two loops are woken on the CPU of who wakes them, and then
// take turns there, and where the host of a virtual machine is busy, a CPU that slept comes back
// late; threads that wait for long keep the CPU from who sends the answer. 10,000 rounds take a
// third of a millisecond on a Zen 4.
//
// jemalloc has four arenas a CPU if it is left alone, each of which keeps memory that the others
// could use. Its own thread gives back what nobody wants. (The C library's allocator keeps what its
// arenas had at their highest, so that a busy server grows for minutes.) Left alone it also takes
// no small block from a large free one, so that an array of a gigabyte leaves a trail of them, and
// keeps none of the 64 KiB that gRPC reads into at hand. What it gives back after half a second, a
// message of 16 MiB a moment later has to fault in again, which takes as long as it takes to come.
void RequireEnvironment(char** argv) {
  const auto is_set = [](const char* name) { return std::getenv(name) != nullptr; };
  const bool waits = is_set("OMP_WAIT_POLICY") || is_set("GOMP_SPINCOUNT");
  if (waits && is_set("MALLOC_CONF")) return;
  if (!waits) {
    setenv("OMP_WAIT_POLICY", "active", 0);
    setenv("GOMP_SPINCOUNT", "10000", 0);
  }
  const std::string memory = fmt::format(
      "background_thread:true,dirty_decay_ms:5000,lg_extent_max_active_fit:16,tcache_max:131072,"
      "narenas:{}",
      AvailableCpus());
  setenv("MALLOC_CONF", memory.c_str(), 0);
  // By its own path, so that it keeps its name in lists of processes; comes back where it fails.
  std::error_code error;
  execv(std::filesystem::read_symlink("/proc/self/exe", error).c_str(), argv);
}

}  // namespace gradwire
