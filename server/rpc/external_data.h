// Initializers whose bytes are kept in files beside their model.
#ifndef GRADWIRE_RPC_EXTERNAL_DATA_H_
#define GRADWIRE_RPC_EXTERNAL_DATA_H_

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "core/tensor.h"
#include "gradwire/v1/gradwire.pb.h"

namespace gradwire::rpc {

// Fills tensors from the files as they come, part by part; no file is kept. A location is a name to
// compare with: nothing is opened here.
class ExternalData {
 public:
  // From now on `tensor`, in memory that the host can write, gets the bytes that `proto` says it
  // has. Throws INVALID_MODEL for a location that is absent, absolute or has "..", and for an
  // offset or length that does not fit the tensor.
  void Expect(const v1::TensorProto& proto, const Tensor& tensor);

  // Takes the next part of a file; one with a path begins that file. Throws INVALID_ARGUMENT for a
  // part of no file, a file that came before, and one in which no initializer is kept.
  void Receive(const v1::FileChunk& chunk);

  // The last part has come. Throws INVALID_MODEL that names an initializer whose bytes have not all
  // come.
  void Complete();

 private:
  struct Piece {
    std::string name;
    int64_t offset = 0;  // in the file
    Tensor tensor;
    int64_t received = 0;
  };

  std::map<std::string, std::vector<Piece>> files_;
  std::set<std::string> begun_;
  std::string path_;  // of the file that is being received
  int64_t at_ = 0;    // bytes of it that have come
};

}  // namespace gradwire::rpc

#endif  // GRADWIRE_RPC_EXTERNAL_DATA_H_
