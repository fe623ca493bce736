// Sparse arrays of a model.
#ifndef GRADWIRE_RPC_SPARSE_H_
#define GRADWIRE_RPC_SPARSE_H_

#include "backend/backend.h"
#include "gradwire/v1/gradwire.pb.h"

namespace gradwire::rpc {

// The array with all its elements, on the session's device. Throws INVALID_MODEL naming it where it
// is not what onnx.proto says, OP_UNSUPPORTED for strings and elements of less than a byte, and as
// Stream::Allocate where it is too large.
Tensor DecodeSparse(const v1::SparseTensorProto& proto, Stream& stream);

}  // namespace gradwire::rpc

#endif  // GRADWIRE_RPC_SPARSE_H_
