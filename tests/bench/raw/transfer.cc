#include <google/protobuf/io/coded_stream.h>
#include <grpcpp/generic/generic_stub.h>

#include <algorithm>
#include <vector>

#include "measure.h"

namespace gradwire::bench {
namespace {

using google::protobuf::io::CodedInputStream;
using google::protobuf::io::CodedOutputStream;
using grpc::ByteBuffer;

// Field 15, length-delimited: `data` of PutChunk and FetchChunk.
constexpr uint32_t kDataTag = (15 << 3) | 2;

// A streaming call of raw messages; each step waits for its end.
class RawCall {
 public:
  RawCall(Setting& setting, const json& in)
      : stub_(setting.Channel(in.at("target"))),
        call_(stub_.PrepareCall(&context_, in.at("method"), &queue_)) {
    call_->StartCall(nullptr);
    Wait();
  }

  bool Write(const ByteBuffer& message) {
    call_->Write(message, nullptr);
    return Wait();
  }
  void WritesDone() {
    call_->WritesDone(nullptr);
    Wait();
  }
  bool Read(ByteBuffer& message) {
    call_->Read(&message, nullptr);
    return Wait();
  }
  void Finish() {
    grpc::Status status;
    call_->Finish(&status, nullptr);
    Wait();
    Check(status);
  }

 private:
  bool Wait() {
    void* tag = nullptr;
    bool ok = false;
    return queue_.Next(&tag, &ok) && ok;
  }

  grpc::GenericStub stub_;
  grpc::ClientContext context_;
  grpc::CompletionQueue queue_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> call_;
};

// The pattern that is uploaded: no two pages alike. Written once.
void Fill(Region& region, size_t bytes) {
  static size_t filled = 0;
  auto* words = reinterpret_cast<uint64_t*>(region.data());
  for (size_t i = filled / sizeof(uint64_t); i < bytes / sizeof(uint64_t); ++i) {
    words[i] = i * 0x9E3779B97F4A7C15u;
  }
  filled = std::max(filled, bytes);
}

// A message of `size` bytes of memory, behind `header` and, if framed, the tag of `data`.
ByteBuffer Message(const std::string& header, bool framed, const std::byte* from, size_t size) {
  std::string prefix = header;
  if (framed) {
    uint8_t tag[16];
    uint8_t* end = CodedOutputStream::WriteVarint32ToArray(kDataTag, tag);
    end = CodedOutputStream::WriteVarint32ToArray(static_cast<uint32_t>(size), end);
    prefix.append(tag, end);
  }
  const grpc::Slice slices[] = {grpc::Slice(prefix),
                                grpc::Slice(from, size, grpc::Slice::STATIC_SLICE)};
  return prefix.empty() ? ByteBuffer(&slices[1], 1) : ByteBuffer(slices, 2);
}

// Where `data` begins in a message.
size_t DataOffset(const ByteBuffer& message) {
  std::vector<grpc::Slice> slices;
  message.Dump(&slices);
  std::string head;  // what comes before `data` is short
  for (const grpc::Slice& slice : slices) {
    head.append(reinterpret_cast<const char*>(slice.begin()), std::min<size_t>(slice.size(), 4096));
    if (head.size() >= 4096 || slice.size() > 4096) break;
  }
  CodedInputStream input(reinterpret_cast<const uint8_t*>(head.data()),
                         static_cast<int>(head.size()));
  while (const uint32_t tag = input.ReadTag()) {
    uint32_t length = 0;
    uint64_t number = 0;
    if (tag == kDataTag && input.ReadVarint32(&length)) {
      return static_cast<size_t>(input.CurrentPosition());
    }
    const bool skipped = (tag & 7) == 0
                             ? input.ReadVarint64(&number)
                             : input.ReadVarint32(&length) && input.Skip(static_cast<int>(length));
    if (!skipped) break;
  }
  return message.Length();
}

std::string Bytes(const std::string& hex) {
  grpc::Slice slice;
  FromHex(hex).DumpToSingleSlice(&slice);
  return {reinterpret_cast<const char*>(slice.begin()), slice.size()};
}

}  // namespace

json Put(Setting& setting, const json& in) {
  const bool framed = in.at("framed");
  const size_t bytes = in.at("bytes");
  const size_t chunk = in.at("chunk");
  std::string header = Bytes(in.at("first"));
  Fill(setting.region(), bytes);
  const double cpu = CpuSeconds();
  const Clock::time_point began = Clock::now();
  RawCall call(setting, in);
  for (size_t sent = 0; sent < bytes; sent += chunk) {
    const size_t size = std::min(chunk, bytes - sent);
    if (!call.Write(Message(header, framed, setting.region().data() + sent, size))) break;
    header.clear();
  }
  call.WritesDone();
  ByteBuffer answer;
  call.Read(answer);
  call.Finish();
  return {{"seconds", SecondsSince(began)}, {"cpu", CpuSeconds() - cpu}, {"answer", ToHex(answer)}};
}

json Fetch(Setting& setting, const json& in) {
  const bool framed = in.at("framed");
  const size_t bytes = in.at("bytes");
  Fill(setting.region(), bytes);
  std::byte* const expected = setting.region().data();
  static Region into;
  const double cpu = CpuSeconds();
  const Clock::time_point began = Clock::now();
  RawCall call(setting, in);
  call.Write(FromHex(in.at("request")));
  call.WritesDone();
  size_t received = 0;
  for (ByteBuffer message; call.Read(message); message.Clear()) {
    received = CopyOut(message, framed ? DataOffset(message) : 0, into, received);
  }
  call.Finish();
  const json out = {{"seconds", SecondsSince(began)}, {"cpu", CpuSeconds() - cpu}};
  // A unary answer has its header in front, which was copied with it.
  if (received < bytes) throw std::runtime_error("bytes are missing");
  if (std::memcmp(into.data() + (received - bytes), expected, bytes) != 0) {
    throw std::runtime_error("not the bytes that were put");
  }
  return out;
}

json Memcpy(Setting& setting, const json& in) {
  const size_t bytes = in.at("bytes");
  Fill(setting.region(), bytes);
  static Region into;
  const Clock::time_point began = Clock::now();
  std::memcpy(into.data(), setting.region().data(), bytes);
  return {{"seconds", SecondsSince(began)}, {"cpu", SecondsSince(began)}};
}

}  // namespace gradwire::bench
