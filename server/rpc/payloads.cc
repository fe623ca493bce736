#include "rpc/payloads.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/wire_format_lite.h>
#include <grpcpp/impl/codegen/proto_utils.h>
#include <grpcpp/support/proto_buffer_reader.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "absl/hash/hash.h"
#include "rpc/array_fields.h"
#include "rpc/bytes_hash.h"
#include "rpc/chunk.h"

namespace gradwire::rpc {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;
using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;
using google::protobuf::io::CodedOutputStream;
using google::protobuf::io::StringOutputStream;

constexpr uint32_t kRawData = WireFormatLite::MakeTag(v1::TensorProto::kRawDataFieldNumber,
                                                      WireFormatLite::WIRETYPE_LENGTH_DELIMITED);

bool IsArray(const Message& message) {
  return message.GetDescriptor() == v1::TensorProto::descriptor();
}

uint32_t TagOf(const FieldDescriptor& field) {
  return WireFormatLite::MakeTag(field.number(), WireFormatLite::WIRETYPE_LENGTH_DELIMITED);
}

}  // namespace

// Parses as Protocol Buffers do, where two parts of a message, one parsed behind the other, are the
// same as both at once: what is between large arrays is left to them.
class Payloads::Reader {
 public:
  Reader(CodedInputStream& input, Payloads& payloads) : input_(input), payloads_(payloads) {}

  // To the end, or the limit, of the input. False: it is malformed.
  bool Read(Message& message) {
    Rest rest;
    const auto& fields = ArrayFields::Of(message.GetDescriptor()).fields;
    while (const uint32_t tag = ReadTag()) {
      const auto field = std::find_if(fields.begin(), fields.end(),
                                      [tag](const auto& one) { return TagOf(*one.field) == tag; });
      const bool is_payload = tag == kRawData && IsArray(message);
      if (field == fields.end() && !is_payload) {
        if (!WireFormatLite::SkipField(&input_, tag, &rest.Output())) return false;
        continue;
      }
      uint32_t size = 0;
      if (!input_.ReadVarint32(&size)) return false;
      if (int64_t{size} > input_.BytesUntilLimit()) return false;
      if (size < payloads_.large_) {
        if (!Copy(tag, size, rest.Output())) return false;
        continue;
      }
      if (!rest.MergeInto(message)) return false;
      const bool read = is_payload ? ReadPayload(static_cast<v1::TensorProto&>(message), size)
                                   : ReadPart(message, field->field, size);
      if (!read) return false;
    }
    return !is_malformed_ && input_.ConsumedEntireMessage() && rest.MergeInto(message);
  }

 private:
  // 0 at the end, and where a message's parser takes it for malformed: it has no tags of more than
  // five bytes, while this stream would cut one off.
  uint32_t ReadTag() {
    constexpr int kLongest = 5;
    const int at = input_.CurrentPosition();
    const uint32_t tag = input_.ReadTag();
    is_malformed_ = is_malformed_ || input_.CurrentPosition() - at > kLongest;
    return is_malformed_ ? 0 : tag;
  }

  // Fields that are left to Protocol Buffers.
  class Rest {
   public:
    CodedOutputStream& Output() {
      if (!output_) output_.emplace(&stream_.emplace(&bytes_));
      return *output_;
    }
    bool MergeInto(Message& message) {
      if (!output_) return true;
      output_.reset();
      stream_.reset();
      const std::string bytes = std::exchange(bytes_, {});
      CodedInputStream input(reinterpret_cast<const uint8_t*>(bytes.data()),
                             static_cast<int>(bytes.size()));
      return message.MergeFromCodedStream(&input) && input.ConsumedEntireMessage();
    }

   private:
    std::string bytes_;
    std::optional<StringOutputStream> stream_;
    std::optional<CodedOutputStream> output_;
  };

  bool Copy(uint32_t tag, uint32_t size, CodedOutputStream& output) {
    std::string bytes;
    if (!input_.ReadString(&bytes, static_cast<int>(size))) return false;
    output.WriteTag(tag);
    output.WriteVarint32(size);
    output.WriteString(bytes);
    return true;
  }

  bool ReadPart(Message& message, const FieldDescriptor* field, uint32_t size) {
    const Reflection& reflection = *message.GetReflection();
    const auto limit = input_.PushLimit(static_cast<int>(size));
    const bool read = Read(*(field->is_repeated() ? reflection.AddMessage(&message, field)
                                                  : reflection.MutableMessage(&message, field)));
    input_.PopLimit(limit);
    return read;
  }

  bool ReadPayload(v1::TensorProto& array, uint32_t size) {
    array.clear_raw_data();  // the last one counts
    Pieces pieces;
    if (!ReadPieces(input_, size, pieces)) return false;
    payloads_.received_[&array] = std::move(pieces);
    return true;
  }

  CodedInputStream& input_;
  Payloads& payloads_;
  bool is_malformed_ = false;
};

void Payloads::Parse(const grpc::ByteBuffer& bytes, Message& request) {
  if (bytes.Length() < large_) return FromBuffer(bytes, request);
  request_ = bytes;
  grpc::ProtoBufferReader stream(&request_);
  CodedInputStream input(&stream);
  const auto limit = input.PushLimit(static_cast<int>(request_.Length()));
  if (!Reader(input, *this).Read(request)) ThrowMalformed(request);
  input.PopLimit(limit);
}

const Pieces* Payloads::Beside(const v1::TensorProto& array) const {
  const auto found = received_.find(&array);
  return found == received_.end() || array.has_raw_data() ? nullptr : &found->second;
}

uint64_t Payloads::HashBeside(const Message& part) const {
  uint64_t hash = 0;
  if (received_.empty()) return hash;
  for (const v1::TensorProto* array : ArraysIn(const_cast<Message&>(part))) {
    if (const Pieces* pieces = Beside(*array)) hash = absl::HashOf(hash, HashBytes(*pieces));
  }
  return hash;
}

bool Payloads::Attach(const v1::TensorProto& array, const Tensor& tensor) {
  if (!may_attach_ || tensor.bytes() < large_) return false;
  attached_.insert_or_assign(&array, tensor);
  return true;
}

// Puts together the parts of a message.
class Payloads::Writer {
 public:
  explicit Writer(const Payloads& payloads) : payloads_(payloads) {}

  // What has something beside it comes last, which is as good to Protocol Buffers: in a message,
  // and in an array, where raw_data is to come last anyway.
  void Write(Message& message) {
    if (!Holds(message)) return Append(message.SerializeAsString());
    if (IsArray(message)) return WriteArray(static_cast<const v1::TensorProto&>(message));
    Writer tail(payloads_);
    const Reflection& reflection = *message.GetReflection();
    for (const auto& [field, in] : ArrayFields::Of(message.GetDescriptor()).fields) {
      bool holds = false;
      ForEachIn(reflection, message, field, [&](Message& part) { holds |= Holds(part); });
      if (!holds) continue;
      ForEachIn(reflection, message, field, [&, tag = TagOf(*field)](Message& part) {
        Writer inner(payloads_);
        inner.Write(part);
        tail.AppendTag(tag, inner.size_);
        tail.Append(inner);
      });
      reflection.ClearField(&message, field);
    }
    Append(message.SerializeAsString());
    Append(tail);
  }

  grpc::ByteBuffer Finish() const {
    std::vector<grpc::Slice> slices;
    for (const Part& part : parts_) {
      if (!part.text.empty()) slices.emplace_back(part.text);
      if (part.tensor) slices.push_back(SliceOf(part.tensor, 0, part.tensor.bytes()));
    }
    return {slices.data(), slices.size()};
  }

 private:
  struct Part {
    std::string text;
    Tensor tensor;  // behind the text; empty only in the last part
  };

  bool Holds(Message& message) const {
    if (IsArray(message)) {
      return payloads_.attached_.contains(static_cast<const v1::TensorProto*>(&message));
    }
    bool holds = false;
    const Reflection& reflection = *message.GetReflection();
    for (const auto& [field, in] : ArrayFields::Of(message.GetDescriptor()).fields) {
      ForEachIn(reflection, message, field, [&](Message& part) { holds |= Holds(part); });
    }
    return holds;
  }

  void WriteArray(const v1::TensorProto& array) {
    Append(array.SerializeAsString());
    const Tensor& tensor = payloads_.attached_.at(&array);
    AppendTag(kRawData, tensor.bytes());
    AppendTensor(tensor);
  }

  void Append(const std::string& text) {
    parts_.back().text += text;
    size_ += text.size();
  }
  void AppendTensor(const Tensor& tensor) {
    parts_.back().tensor = tensor;
    parts_.emplace_back();
    size_ += tensor.bytes();
  }
  void AppendTag(uint32_t tag, size_t size) {
    std::string text;
    {
      StringOutputStream stream(&text);
      CodedOutputStream output(&stream);
      output.WriteTag(tag);
      output.WriteVarint32(static_cast<uint32_t>(size));
    }
    Append(text);
  }
  void Append(const Writer& other) {
    for (const Part& part : other.parts_) {
      Append(part.text);
      if (part.tensor) AppendTensor(part.tensor);
    }
  }

  const Payloads& payloads_;
  std::vector<Part> parts_{1};
  size_t size_ = 0;
};

grpc::ByteBuffer Payloads::Serialize(Message& answer) {
  received_.clear();
  request_.Clear();
  if (attached_.empty()) return ToBuffer(answer);
  Writer writer(*this);
  writer.Write(answer);
  attached_.clear();
  return writer.Finish();
}

}  // namespace gradwire::rpc
