// A hash of many bytes.
#ifndef GRADWIRE_RPC_BYTES_HASH_H_
#define GRADWIRE_RPC_BYTES_HASH_H_

#include <cstdint>

#include "core/copy.h"

namespace gradwire::rpc {

// XXH3 of bytes that came in pieces, and of many bytes that of both halves' hashes: the same
// however they were cut, in every process.
uint64_t HashBytes(PiecesView pieces);

}  // namespace gradwire::rpc

#endif  // GRADWIRE_RPC_BYTES_HASH_H_
