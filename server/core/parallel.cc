#include "core/parallel.h"

#include <sched.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>

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

}  // namespace

// OpenMP reads its environment before main(). Threads that sleep between two loops are woken on the
// CPU of who wakes them, and then take turns there; threads that wait for milliseconds keep the CPU
// from who sends the answer.
void RequireShortWaits(char** argv) {
  if (std::getenv("OMP_WAIT_POLICY") != nullptr || std::getenv("GOMP_SPINCOUNT") != nullptr) return;
  setenv("OMP_WAIT_POLICY", "active", 0);
  setenv("GOMP_SPINCOUNT", "3000", 0);
  // By its own path, so that it keeps its name in lists of processes; comes back where it fails.
  std::error_code error;
  execv(std::filesystem::read_symlink("/proc/self/exe", error).c_str(), argv);
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

}  // namespace gradwire
