// The checks that the operators of one run put off.
#ifndef GRADWIRE_EXEC_CHECKS_OF_RUN_H_
#define GRADWIRE_EXEC_CHECKS_OF_RUN_H_

#include "backend/backend.h"

namespace gradwire {

// They are finished with the run, or forgotten with it: no later run meets them.
class ChecksOfRun {
 public:
  explicit ChecksOfRun(Stream& stream) : stream_(stream) {}
  ~ChecksOfRun() { stream_.ForgetChecks(); }
  ChecksOfRun(const ChecksOfRun&) = delete;
  ChecksOfRun& operator=(const ChecksOfRun&) = delete;
  // Throws what the first that fails says.
  void Finish() { stream_.FinishChecks(); }

 private:
  Stream& stream_;
};

}  // namespace gradwire

#endif  // GRADWIRE_EXEC_CHECKS_OF_RUN_H_
