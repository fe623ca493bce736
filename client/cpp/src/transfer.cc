// Arrays in chunks. The framing of PutChunk and FetchChunk is written and read around
// protobuf: their last field, `data`, goes between the network's slices and user memory.

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/proto_buffer_reader.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>

#include "connection.h"
#include "files.h"
#include "gradwire/client/session.h"

namespace gradwire::client {
namespace {

// Field 15, length-delimited.
constexpr uint32_t kDataTag = (v1::PutChunk::kDataFieldNumber << 3) | 2;
static_assert(int{v1::PutChunk::kDataFieldNumber} == int{v1::FetchChunk::kDataFieldNumber});

// A streaming call of raw messages, used by one thread; each step waits for its end.
class RawCall {
 public:
  RawCall(const Connection& connection, grpc::ClientContext& context, const char* method)
      : context_(context),
        call_(grpc::GenericStub(connection.channel).PrepareCall(&context, method, &queue_)) {
    call_->StartCall(nullptr);
    alive_ = Wait();
  }
  // Gives the call up if it has not ended.
  ~RawCall() {
    if (!finished_) {
      context_.TryCancel();
      Finish();
    }
    queue_.Shutdown();
    void* tag = nullptr;
    bool ok = false;
    while (queue_.Next(&tag, &ok)) {
    }
  }
  RawCall(const RawCall&) = delete;
  RawCall& operator=(const RawCall&) = delete;

  // False: the call has ended early, and Finish says why.
  bool Write(const grpc::ByteBuffer& message) {
    if (!alive_) return false;
    call_->Write(message, nullptr);
    return alive_ = Wait();
  }
  void WritesDone() {
    if (!alive_) return;
    call_->WritesDone(nullptr);
    Wait();
  }
  // False: no message is left.
  bool Read(grpc::ByteBuffer& message) {
    call_->Read(&message, nullptr);
    return Wait();
  }
  grpc::Status Finish() {
    grpc::Status status;
    finished_ = true;
    call_->Finish(&status, nullptr);
    Wait();
    return status;
  }

 private:
  bool Wait() {
    void* tag = nullptr;
    bool ok = false;
    return queue_.Next(&tag, &ok) && ok;
  }

  grpc::ClientContext& context_;
  grpc::CompletionQueue queue_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> call_;
  bool alive_ = false;
  bool finished_ = false;
};

// Counts the slices of user memory that gRPC holds: it may do so for a while after the call has
// ended, when the call was cancelled.
class Loans {
 public:
  grpc::Slice Lend(std::span<const std::byte> bytes) {
    {
      const std::lock_guard lock(mutex_);
      ++count_;
    }
    return {const_cast<std::byte*>(bytes.data()), bytes.size(),
            [](void* loans) { static_cast<Loans*>(loans)->Return(); }, this};
  }
  void Wait() {
    std::unique_lock lock(mutex_);
    returned_.wait(lock, [this] { return count_ == 0; });
  }

 private:
  void Return() {
    const std::lock_guard lock(mutex_);
    if (--count_ == 0) returned_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable returned_;
  int count_ = 0;
};

// Waits at the end of its life, however that comes.
struct WaitForLoans {
  explicit WaitForLoans(Loans& waited) : loans(waited) {}
  ~WaitForLoans() { loans.Wait(); }
  WaitForLoans(const WaitForLoans&) = delete;
  WaitForLoans& operator=(const WaitForLoans&) = delete;
  Loans& loans;
};

grpc::ByteBuffer ToBuffer(const google::protobuf::Message& message) {
  const grpc::Slice slice(message.SerializeAsString());
  return {&slice, 1};
}

// A PutChunk of a header without `data`, and a payload that is lent.
grpc::ByteBuffer MakePutChunk(const v1::PutChunk& header, std::span<const std::byte> payload,
                              Loans& loans) {
  if (payload.empty()) return ToBuffer(header);
  std::string prefix = header.SerializeAsString();
  {
    google::protobuf::io::StringOutputStream stream(&prefix);
    google::protobuf::io::CodedOutputStream output(&stream);
    output.WriteTag(kDataTag);
    output.WriteVarint32(static_cast<uint32_t>(payload.size()));
  }
  const grpc::Slice slices[] = {grpc::Slice(prefix), loans.Lend(payload)};
  return {slices, 2};
}

[[noreturn]] void Malformed(const std::string& what) {
  Throw(Reason::kInternal, "malformed answer: " + what);
}

template <class Message>
Message Parse(grpc::ByteBuffer& buffer) {
  grpc::ProtoBufferReader reader(&buffer);
  Message message;
  if (!message.ParseFromZeroCopyStream(&reader)) Malformed("not a " + message.GetTypeName());
  return message;
}

// Splits a message into what comes before `data` and the payload, which is copied to
// `destination(header, size)`.
void ReadFetchChunk(grpc::ByteBuffer& message,
                    const std::function<std::byte*(const v1::FetchChunk&, size_t)>& destination) {
  grpc::ProtoBufferReader reader(&message);
  google::protobuf::io::CodedInputStream input(&reader);
  v1::FetchChunk header;
  bool data = false;
  uint32_t size = 0;
  while (const uint32_t tag = input.ReadTag()) {
    uint32_t length = 0;
    uint64_t number = 0;
    std::string bytes;
    if (tag == kDataTag) {
      data = input.ReadVarint32(&size);
      break;
    }
    if (tag == ((v1::FetchChunk::kOffsetFieldNumber << 3) | 0) && input.ReadVarint64(&number)) {
      header.set_offset(static_cast<int64_t>(number));
    } else if ((tag & 7) == 2 && input.ReadVarint32(&length) &&
               input.ReadString(&bytes, static_cast<int>(length))) {
      if (tag >> 3 == v1::FetchChunk::kNameFieldNumber) header.set_name(bytes);
      if (tag >> 3 == v1::FetchChunk::kSpecFieldNumber &&
          !header.mutable_spec()->ParseFromString(bytes)) {
        Malformed("not a TensorSpec");
      }
    } else {
      Malformed("not a FetchChunk");
    }
  }
  std::byte* to = destination(header, size);
  if (data && size != 0 && !input.ReadRaw(to, static_cast<int>(size))) Malformed("cut short");
}

void CheckSizes(std::span<const ArrayView> arrays) {
  for (const ArrayView& array : arrays) {
    const size_t wanted = ByteSize(array.type, array.dims);
    if (wanted == array.bytes.size()) continue;
    Throw(Reason::kInvalidArgument,
          "tensor '" + array.name + "' takes " + std::to_string(wanted) + " bytes, its view has " +
              std::to_string(array.bytes.size()),
          {{"tensor", array.name}});
  }
}

// Where the chunks of a FetchStream go.
class Assembly {
 public:
  using Destination = std::function<std::span<std::byte>(size_t, const v1::TensorSpec&)>;
  Assembly(size_t count, const Destination& destination)
      : count_(count), destination_(destination) {}

  std::byte* Next(const v1::FetchChunk& header, size_t size) {
    if (header.has_spec()) {
      CheckWhole();
      if (begun_ == count_) Malformed("more tensors than were asked for");
      into_ = destination_(begun_++, header.spec());
      written_ = 0;
    }
    if (static_cast<size_t>(header.offset()) != written_ || size > into_.size() - written_) {
      Malformed("chunks do not fit together");
    }
    written_ += size;
    return into_.data() + (written_ - size);
  }
  void CheckWhole() const {
    if (written_ != into_.size()) Malformed("a tensor is cut short");
  }
  void CheckAll() const {
    CheckWhole();
    if (begun_ != count_) Malformed("tensors are missing");
  }

 private:
  const size_t count_;
  const Destination& destination_;
  std::span<std::byte> into_;
  size_t begun_ = 0;
  size_t written_ = 0;
};

}  // namespace

std::vector<v1::TensorInfo> Session::Put(std::span<const ArrayView> arrays, bool requires_grad) {
  CheckSizes(arrays);
  if (arrays.empty()) return {};
  const uint64_t sequence = state_->NextSequence();
  v1::PutResponse response;
  Loans loans;
  // Outside Try: a call that was given up keeps its last message as long as its context lives.
  const WaitForLoans wait(loans);
  state_->connection->Try(state_->id, [&](grpc::ClientContext& context) {
    RawCall call(*state_->connection, context, "/gradwire.v1.Gradwire/PutStream");
    v1::PutChunk header;
    header.set_session_id(state_->id);
    header.set_sequence(sequence);
    bool alive = true;
    for (const ArrayView& array : arrays) {
      header.set_name(array.name);
      header.mutable_spec()->mutable_dims()->Assign(array.dims.begin(), array.dims.end());
      header.mutable_spec()->set_data_type(array.type);
      header.set_requires_grad(requires_grad);
      std::span<const std::byte> rest = array.bytes;
      do {
        const size_t size = std::min(rest.size(), kChunkBytes);
        alive = alive && call.Write(MakePutChunk(header, rest.first(size), loans));
        rest = rest.subspan(size);
        header.Clear();
      } while (!rest.empty());
    }
    call.WritesDone();
    grpc::ByteBuffer answer;
    const bool answered = call.Read(answer);
    grpc::Status status = call.Finish();
    if (status.ok() && !answered) Malformed("PutStream ended without a PutResponse");
    if (status.ok()) response = Parse<v1::PutResponse>(answer);
    return status;
  });
  return {response.tensors().begin(), response.tensors().end()};
}

void Session::FetchStream(
    const std::vector<std::string>& names,
    const std::function<std::span<std::byte>(size_t, const v1::TensorSpec&)>& destination) {
  v1::FetchRequest request;
  request.set_session_id(state_->id);
  request.mutable_names()->Add(names.begin(), names.end());
  state_->connection->Try(state_->id, [&](grpc::ClientContext& context) {
    RawCall call(*state_->connection, context, "/gradwire.v1.Gradwire/FetchStream");
    call.Write(ToBuffer(request));
    call.WritesDone();
    Assembly assembly(names.size(), destination);
    grpc::ByteBuffer message;
    while (call.Read(message)) {
      ReadFetchChunk(message, [&](const v1::FetchChunk& header, size_t size) {
        return assembly.Next(header, size);
      });
      message.Clear();
    }
    const grpc::Status status = call.Finish();
    if (status.ok()) assembly.CheckAll();
    return status;
  });
}

std::vector<Array> Session::FetchMany(const std::vector<std::string>& names) {
  std::vector<Array> arrays(names.size());
  FetchStream(names, [&](size_t index, const v1::TensorSpec& spec) {
    arrays[index] = Array(names[index], static_cast<DataType>(spec.data_type()),
                          Dims(spec.dims().begin(), spec.dims().end()));
    return arrays[index].mutable_bytes();
  });
  return arrays;
}

Array Session::Fetch(const std::string& name) { return std::move(FetchMany({name}).front()); }

v1::TensorSpec Session::FetchInto(const std::string& name, std::span<std::byte> into) {
  v1::TensorSpec result;
  FetchStream({name}, [&](size_t, const v1::TensorSpec& spec) {
    const size_t size = ByteSize(static_cast<DataType>(spec.data_type()),
                                 Dims(spec.dims().begin(), spec.dims().end()));
    if (size != into.size()) {
      Throw(Reason::kShapeMismatch,
            "tensor '" + name + "' has " + std::to_string(size) + " bytes, the destination " +
                std::to_string(into.size()),
            {{"tensor", name}});
    }
    result = spec;
    return into;
  });
  return result;
}

}  // namespace gradwire::client
