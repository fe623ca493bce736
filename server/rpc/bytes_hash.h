// A hash of many bytes.
#ifndef GRADWIRE_RPC_BYTES_HASH_H_
#define GRADWIRE_RPC_BYTES_HASH_H_

#include <cstddef>
#include <cstdint>
#include <span>

namespace gradwire::rpc {

// XXH3 of bytes that came in pieces: the same however they were cut, in every process.
uint64_t HashBytes(std::span<const std::span<const std::byte>> pieces);

}  // namespace gradwire::rpc

#endif  // GRADWIRE_RPC_BYTES_HASH_H_
