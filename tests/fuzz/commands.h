// Whole Runs against a session without a server, with what must hold after each.
#ifndef GRADWIRE_TESTS_FUZZ_COMMANDS_H_
#define GRADWIRE_TESTS_FUZZ_COMMANDS_H_

#include "gradwire/v1/gradwire.pb.h"

namespace gradwire::fuzz {

// Runs the request a few times in a new session that holds the tensor "kept". Ends the process
// where the server would answer INTERNAL, where a request that fails changes the session, and where
// memory is left behind. What takes more than a second is stopped between operators.
void RunInSession(const v1::RunRequest& request);

}  // namespace gradwire::fuzz

#endif  // GRADWIRE_TESTS_FUZZ_COMMANDS_H_
