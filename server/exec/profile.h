// What ran: a record of each operator, for those who asked for a profile.
#ifndef GRADWIRE_EXEC_PROFILE_H_
#define GRADWIRE_EXEC_PROFILE_H_

#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

#include "graph/node.h"

namespace gradwire {

struct ProfiledOp {
  using Time = std::chrono::steady_clock::time_point;

  const OpDef* op = nullptr;
  Origin origin;
  std::vector<std::optional<TensorSpec>> inputs;  // none where an optional one was left out
  std::vector<TensorSpec> outputs;
  std::optional<int64_t> flops;  // where the operator counts them
  int64_t thread = 0;            // the system's id of the thread that ran it
  Time began;
  Time ended;
};

// Belongs to one command; not thread-safe.
class Profile {
 public:
  const std::vector<ProfiledOp>& runs() const { return runs_; }
  // Operators that ran after the record was full.
  int64_t left_out() const { return left_out_; }

  // Records an operator, which runs while this lives. Without a profile it does nothing.
  class Scope {
   public:
    Scope(Profile* profile, const Node& node) : profile_(profile) {
      if (profile_ != nullptr) profile_->Begin(node);
    }
    ~Scope() {
      if (profile_ != nullptr) profile_->End();
    }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Profile* const profile_;
  };

 private:
  void Begin(const Node& node);
  void End();

  std::vector<ProfiledOp> runs_;
  size_t specs_ = 0;
  int64_t left_out_ = 0;
  bool is_full_ = false;
};

}  // namespace gradwire

#endif  // GRADWIRE_EXEC_PROFILE_H_
