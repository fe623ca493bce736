// What is to run, in which order.
#ifndef GRADWIRE_EXEC_SCHEDULE_H_
#define GRADWIRE_EXEC_SCHEDULE_H_

#include <span>
#include <vector>

#include "graph/node.h"

namespace gradwire {

// Nodes in the order of their making, in which each comes after those it reads.
using Schedule = std::vector<NodePtr>;

// The nodes that must run so that every target is ready. No recursion: graphs may be deep.
Schedule MakeSchedule(std::span<const Value> targets);

}  // namespace gradwire

#endif  // GRADWIRE_EXEC_SCHEDULE_H_
