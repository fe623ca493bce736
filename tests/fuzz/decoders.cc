// A target for each function that decodes what came over the network or from a file.

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <algorithm>
#include <memory>
#include <span>
#include <sstream>
#include <string>
#include <vector>

#include "backend/cpu/cpu_backend.h"
#include "backend/quota.h"
#include "core/copy.h"
#include "rpc/array_fields.h"
#include "rpc/call_ids.h"
#include "rpc/chunk.h"
#include "rpc/model.h"
#include "rpc/payloads.h"
#include "rpc/tokens.h"
#include "rpc/wire.h"
#include "session/safetensors.h"
#include "tests/fuzz/target.h"

namespace gradwire::fuzz {
namespace {

constexpr int64_t kMaxBytes = 64 << 20;

// A session's memory, of which nothing may be left when a decoder is done.
class Memory {
 public:
  ~Memory() { Expect(quota_->used() == 0, "memory is left behind"); }
  Stream& stream() { return *stream_; }

 private:
  static CpuBackend& Device() {
    static CpuBackend backend;
    return backend;
  }

  const std::shared_ptr<Quota> quota_ = std::make_shared<Quota>(kMaxBytes);
  const std::unique_ptr<Stream> stream_ = Device().NewStream(quota_);
};

// In slices of a size that the first byte says, as the network may deliver it.
grpc::ByteBuffer Sliced(std::string_view bytes) {
  const size_t size = bytes.empty() ? 1 : 1 + static_cast<unsigned char>(bytes[0]);
  std::vector<grpc::Slice> slices;
  for (size_t at = 1; at < bytes.size(); at += size) {
    slices.emplace_back(std::string(bytes.substr(at, size)));
  }
  return {slices.data(), slices.size()};
}

void Chunk(std::string_view bytes) {
  if (bytes.empty()) return;
  grpc::ByteBuffer message = Sliced(bytes);
  std::vector<std::byte> payload;
  v1::PutChunk header;
  const grpc::Status status = Handle([&] {
    const Pieces data = rpc::ReadPutChunk(message, header);
    payload.resize(BytesIn(data));
    CopyPieces(payload.data(), data);
  });
  if (!status.ok()) return;
  v1::PutChunk whole;
  Expect(whole.ParseFromArray(bytes.data() + 1, static_cast<int>(bytes.size() - 1)),
         "what is read as a chunk is none");
  const std::string_view read(reinterpret_cast<const char*>(payload.data()), payload.size());
  Expect(whole.data() == read, "another payload than Protocol Buffers reads");
  whole.clear_data();
  Expect(whole.SerializeAsString() == header.SerializeAsString(), "another header");
}

// With maps in order.
std::string Canonical(const google::protobuf::Message& message) {
  std::string bytes;
  google::protobuf::io::StringOutputStream stream(&bytes);
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);
  message.SerializeToCodedStream(&coded);
  coded.Trim();
  return bytes;
}

// The first byte says how the message is sliced; arrays of a few bytes go beside it.
void Request(std::string_view bytes) {
  if (bytes.empty()) return;
  rpc::Payloads payloads(/*large=*/4);
  v1::RunRequest request;
  const grpc::Status status = Handle([&] { payloads.Parse(Sliced(bytes), request); });
  v1::RunRequest whole;
  const bool is_one = whole.ParseFromArray(bytes.data() + 1, static_cast<int>(bytes.size() - 1));
  Expect(status.ok() == is_one, "Protocol Buffers read it otherwise");
  if (!is_one) return;
  const std::vector<v1::TensorProto*> arrays = rpc::ArraysIn(request);
  for (v1::TensorProto* array : arrays) {
    const Pieces* pieces = payloads.Beside(*array);
    if (pieces == nullptr) continue;
    std::string data(BytesIn(*pieces), 0);
    CopyPieces(reinterpret_cast<std::byte*>(data.data()), *pieces);
    array->set_raw_data(std::move(data));
  }
  Expect(Canonical(request) == Canonical(whole), "another request");
}

void TensorMessage(std::string_view bytes) {
  v1::TensorProto proto;
  if (!proto.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return;
  Memory memory;
  Handle([&] {
    const Tensor tensor = rpc::Decode(proto, memory.stream());
    v1::TensorProto again;
    rpc::EncodeHost(tensor, &again);
    const Tensor same = rpc::Decode(again, memory.stream());
    Expect(same.spec() == tensor.spec(), "another spec after a round trip");
    const auto alike = [&]<class T>() {
      const auto elements = [&](const Tensor& one) {
        return std::span(one.data<T>(), one.bytes() / sizeof(T));
      };
      return std::ranges::equal(elements(same), elements(tensor));
    };
    const bool is_text = tensor.dtype() == DType::kString;
    Expect(is_text ? alike.operator()<std::string_view>() : alike.operator()<char>(),
           "other elements after a round trip");
  });
}

void Model(std::string_view bytes) {
  v1::ModelProto model;
  if (!model.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return;
  Memory memory;
  Handle([&] {
    rpc::SavedPrefix(model);
    rpc::LoadedProgram loaded = rpc::DecodeModel(model, "m", "m/", memory.stream());
    v1::ProgramInfo info;
    rpc::EncodeProgram(loaded.program, &info);
    loaded.external.Complete();
  });
}

// A model, whose length the first two bytes say, and then files beside it, each a byte of length
// and a FileChunk.
void ExternalFiles(std::string_view bytes) {
  if (bytes.size() < 2) return;
  const auto byte = [&](size_t i) { return static_cast<size_t>(static_cast<uint8_t>(bytes[i])); };
  const size_t length = byte(0) | byte(1) << 8;
  bytes.remove_prefix(2);
  v1::ModelProto model;
  const std::string_view first = bytes.substr(0, length);
  if (!model.ParseFromArray(first.data(), static_cast<int>(first.size()))) return;
  bytes.remove_prefix(first.size());
  Memory memory;
  Handle([&] {
    rpc::LoadedProgram loaded = rpc::DecodeModel(model, "m", "m/", memory.stream());
    while (!bytes.empty()) {
      const std::string_view part = bytes.substr(1, byte(0));
      bytes.remove_prefix(1 + part.size());
      v1::FileChunk chunk;
      if (!chunk.ParseFromArray(part.data(), static_cast<int>(part.size()))) return;
      loaded.external.Receive(chunk);
    }
    loaded.external.Complete();
  });
}

void Safetensors(std::string_view bytes) {
  Memory memory;
  const size_t size = bytes.empty() ? 1 : 1 + static_cast<unsigned char>(bytes[0]);
  Handle([&] {
    SafetensorsReader reader(
        [&](const TensorSpec& spec) { return AllocateTensor(memory.stream(), spec); });
    for (size_t at = 1; at < bytes.size(); at += size) reader.Feed(bytes.substr(at, size));
    reader.Finish();
  });
}

void TokensFile(std::string_view bytes) {
  Handle([&] {
    std::istringstream text{std::string(bytes)};
    const rpc::Tokens tokens = rpc::Tokens::Parse(text);
    tokens.TenantOf("guess");
    tokens.Limits({});
  });
}

void Traceparent(std::string_view bytes) {
  rpc::CallIds ids;
  rpc::ReadTraceparent(bytes, ids);
  const bool none = ids.trace.empty() && ids.span.empty();
  Expect(none || (ids.trace.size() == 32 && ids.span.size() == 16), "ids of another length");
  const std::multimap<std::string_view, std::string_view> metadata = {
      {"gradwire-session", bytes}, {"x-request-id", bytes}, {"traceparent", bytes}};
  const rpc::CallIds all = rpc::IdsOf(metadata);
  Expect(IsUtf8(all.session) && IsUtf8(all.request), "ids that are not UTF-8");
}

const bool added = AddTarget("chunk", Chunk) && AddTarget("request", Request) &&
                   AddTarget("tensor", TensorMessage) && AddTarget("model", Model) &&
                   AddTarget("external", ExternalFiles) && AddTarget("safetensors", Safetensors) &&
                   AddTarget("tokens", TokensFile) && AddTarget("traceparent", Traceparent);

}  // namespace
}  // namespace gradwire::fuzz
