// Messages whose large arrays travel beside them: what would be `raw_data` refers to the network's
// slices on the way in, and to tensor memory on the way out, so that it is copied once or not at
// all. The bytes are those of the .proto.
#ifndef GRADWIRE_RPC_PAYLOADS_H_
#define GRADWIRE_RPC_PAYLOADS_H_

#include <google/protobuf/message.h>
#include <grpcpp/support/byte_buffer.h>

#include <cstddef>
#include <cstdint>

#include "absl/container/flat_hash_map.h"
#include "core/copy.h"
#include "core/tensor.h"
#include "gradwire/v1/onnx.pb.h"

namespace gradwire::rpc {

// Those of one request and its answer. Not thread-safe.
class Payloads {
 public:
  // Below it, a copy costs less than to keep what it was made of.
  static constexpr size_t kLarge = size_t{16} << 10;

  // Arrays of `large` bytes and more go beside the message.
  explicit Payloads(size_t large = kLarge) : large_(large) {}
  // Parses a request of the API. Throws INVALID_ARGUMENT.
  void Parse(const grpc::ByteBuffer& bytes, google::protobuf::Message& request);
  // The `raw_data` of an array of the request, valid while this is; null where it is in the
  // message, or there is none.
  const Pieces* Beside(const v1::TensorProto& array) const;
  // A hash of all that is beside a request, or a part of it.
  uint64_t HashBeside(const google::protobuf::Message& part) const;

  // From now on all of the answer goes into the message.
  void AttachNone() { may_attach_ = false; }
  // Takes a tensor as the `raw_data` of an array of the answer; false where it is to go into the
  // message. REQUIRES: `tensor` is in host memory, and no strings.
  bool Attach(const v1::TensorProto& array, const Tensor& tensor);
  // The answer, which is used up. Lets go of what came with the request.
  grpc::ByteBuffer Serialize(google::protobuf::Message& answer);

 private:
  class Reader;
  class Writer;

  size_t large_;
  grpc::ByteBuffer request_;  // what the pieces refer to
  absl::flat_hash_map<const v1::TensorProto*, Pieces> received_;
  bool may_attach_ = true;
  absl::flat_hash_map<const v1::TensorProto*, Tensor> attached_;
};

}  // namespace gradwire::rpc

#endif  // GRADWIRE_RPC_PAYLOADS_H_
