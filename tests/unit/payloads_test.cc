// Messages with arrays beside them, against what Protocol Buffers make of the same bytes.

#include "rpc/payloads.h"

#include <gmock/gmock.h>
#include <google/protobuf/stubs/logging.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "backend/cpu/cpu_backend.h"
#include "backend/quota.h"
#include "core/copy.h"
#include "core/host_tensor.h"
#include "gradwire/v1/gradwire.pb.h"
#include "rpc/array_fields.h"
#include "rpc/wire.h"
#include "tests/unit/error_of.h"

namespace gradwire::rpc {
namespace {

using gradwire::testing::ErrorOf;

constexpr size_t kLarge = 8;

grpc::ByteBuffer Sliced(const std::string& bytes, size_t size) {
  std::vector<grpc::Slice> slices;
  for (size_t at = 0; at < bytes.size(); at += size) slices.emplace_back(bytes.substr(at, size));
  return {slices.data(), slices.size()};
}

std::string BytesOf(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  EXPECT_TRUE(buffer.Dump(&slices).ok());
  std::string bytes;
  for (const grpc::Slice& slice : slices) {
    bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return bytes;
}

std::string Elements(size_t size, char first) {
  std::string bytes(size, 0);
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(static_cast<size_t>(first) + i);
  return bytes;
}

void AddArray(v1::TensorProto& array, const std::string& name, size_t size) {
  array.set_name(name);
  array.set_data_type(v1::TensorProto::UINT8);
  array.add_dims(static_cast<int64_t>(size));
  array.set_raw_data(Elements(size, name.back()));
}

v1::RunRequest Example() {
  v1::RunRequest run;
  run.set_session_id("session");
  v1::PutRequest& put = *run.add_commands()->mutable_put();
  AddArray(*put.add_tensors(), "small first", 3);
  AddArray(*put.add_tensors(), "large", 40);
  AddArray(*put.add_tensors(), "small", 3);
  AddArray(*put.add_tensors(), "larger", 400);
  put.set_requires_grad(true);
  v1::ForwardRequest& forward = *run.add_commands()->mutable_forward();
  AddArray(*forward.add_feeds(), "x", 33);
  AddArray(*forward.add_sequence_feeds()->add_tensor_values(), "element", 17);
  AddArray(*forward.add_optional_feeds()->mutable_tensor_value(), "value", 18);
  v1::AttributeProto& attribute = *forward.add_nodes()->add_attribute();
  AddArray(*attribute.mutable_t(), "constant", 50);
  (*forward.mutable_bindings())["a"] = "b";
  run.add_commands()->mutable_zero_grad();
  return run;
}

// The message with everything in it.
std::string Whole(v1::RunRequest request, const Payloads& payloads, const v1::RunRequest& parsed) {
  const std::vector<v1::TensorProto*> arrays = ArraysIn(request);
  const std::vector<v1::TensorProto*> from = ArraysIn(const_cast<v1::RunRequest&>(parsed));
  for (size_t i = 0; i < arrays.size(); ++i) {
    if (const Pieces* pieces = payloads.Beside(*from[i])) {
      std::string& bytes = *arrays[i]->mutable_raw_data();
      bytes.resize(BytesIn(*pieces));
      CopyPieces(reinterpret_cast<std::byte*>(bytes.data()), *pieces);
    }
  }
  return request.SerializeAsString();
}

TEST(Payloads, AreWhatProtocolBuffersReadHoweverTheyAreSliced) {
  const std::string bytes = Example().SerializeAsString();
  for (size_t size = 1; size < bytes.size(); size += 7) {
    Payloads payloads(kLarge);
    v1::RunRequest request;
    payloads.Parse(Sliced(bytes, size), request);
    const std::vector<v1::TensorProto*> arrays = ArraysIn(request);
    ASSERT_EQ(arrays.size(), 7u);
    std::vector<std::string> beside;
    for (const v1::TensorProto* array : arrays) {
      if (payloads.Beside(*array) != nullptr) beside.push_back(array->name());
    }
    EXPECT_THAT(beside, ::testing::ElementsAre("large", "larger", "x", "element", "value"));
    EXPECT_EQ(Whole(request, payloads, request), bytes);
  }
}

TEST(Payloads, OfBrokenBytesAreWhatProtocolBuffersRead) {
  const google::protobuf::LogSilencer silent;  // it complains of each
  const std::string bytes = Example().SerializeAsString();
  std::mt19937 random(7);
  int read = 0;
  for (int i = 0; i < 5000; ++i) {
    std::string broken = bytes;
    for (int flips = static_cast<int>(random() % 3); flips >= 0; --flips) {
      broken[random() % broken.size()] = static_cast<char>(random());
    }
    if (random() % 2 == 0) broken.resize(random() % broken.size());
    v1::RunRequest expected;
    const bool can_be_read = expected.ParseFromString(broken);
    Payloads payloads(kLarge);
    v1::RunRequest request;
    const std::string error =
        ErrorOf([&] { payloads.Parse(Sliced(broken, 1 + random() % 50), request); });
    ASSERT_EQ(error == "no error", can_be_read) << error;
    if (!can_be_read) continue;
    ++read;
    ASSERT_EQ(Whole(request, payloads, request), expected.SerializeAsString());
  }
  EXPECT_GT(read, 100);
}

TEST(Payloads, TheLastOfTwoCounts) {
  v1::TensorProto small;
  small.set_raw_data("abc");
  v1::TensorProto large;
  large.set_raw_data(Elements(40, 'x'));
  const auto read = [](const std::string& array) {
    std::string bytes = "\x1a";  // field 3 of a PutRequest
    bytes += static_cast<char>(array.size());
    bytes += array;
    Payloads payloads(kLarge);
    v1::PutRequest request;
    payloads.Parse(Sliced(bytes, 5), request);
    const Pieces* beside = payloads.Beside(request.tensors(0));
    return beside == nullptr ? request.tensors(0).raw_data().size() : BytesIn(*beside);
  };
  EXPECT_EQ(read(small.SerializeAsString() + large.SerializeAsString()), 40u);
  EXPECT_EQ(read(large.SerializeAsString() + small.SerializeAsString()), 3u);
}

TEST(Payloads, HaveTheSameHashHoweverTheyAreSliced) {
  const std::string bytes = Example().SerializeAsString();
  const auto hash = [&](const std::string& of, size_t size) {
    Payloads payloads(kLarge);
    v1::RunRequest request;
    payloads.Parse(Sliced(of, size), request);
    return payloads.HashBeside(request);
  };
  EXPECT_EQ(hash(bytes, 3), hash(bytes, 1000));
  std::string other = bytes;
  ++other[other.find(Elements(33, 'x')) + 20];
  EXPECT_NE(hash(other, 3), hash(bytes, 3));
}

TEST(Payloads, OfAnswersReferToTheTensors) {
  v1::RunResponse expected;
  v1::RunResponse response;
  std::vector<Tensor> tensors;
  Payloads payloads(kLarge);
  for (const int size : {3, 40, 4, 400}) {
    for (v1::RunResponse* one : {&expected, &response}) {
      if (size == 4) one->add_results()->mutable_delete_();
      one->add_results()->mutable_fetch()->add_optionals()->set_name("none");
    }
    for (const int repeat : {size, 2, size}) {
      Tensor tensor = HostTensor({DType::kUint8, {repeat}});
      std::fill_n(tensor.mutable_data<uint8_t>(), repeat, static_cast<uint8_t>(size));
      tensors.push_back(tensor);
      const auto last = [](v1::RunResponse& one) {
        return one.mutable_results(one.results_size() - 1)->mutable_fetch()->add_tensors();
      };
      EncodeHost(tensor, last(expected));
      v1::TensorProto* array = last(response);
      array->set_data_type(v1::TensorProto::UINT8);
      array->add_dims(repeat);
      const bool attached = payloads.Attach(*array, tensor);
      EXPECT_EQ(attached, tensor.bytes() >= kLarge);
      if (!attached) EncodeHost(tensor, array);
    }
  }
  {
    const grpc::ByteBuffer bytes = payloads.Serialize(response);
    EXPECT_EQ(tensors[3].buffer().use_count(), 2);  // here and in the message
    v1::RunResponse parsed;
    ASSERT_TRUE(parsed.ParseFromString(BytesOf(bytes)));
    EXPECT_EQ(parsed.SerializeAsString(), expected.SerializeAsString());
  }
  EXPECT_EQ(tensors[3].buffer().use_count(), 1);
}

TEST(Payloads, DecodeToTensorsAndSayWhatIsWrong) {
  CpuBackend backend;
  const auto stream = backend.NewStream(std::make_shared<Quota>(0));
  const auto decode = [&](const v1::TensorProto& array) {
    v1::PutRequest put;
    *put.add_tensors() = array;
    Payloads payloads(kLarge);
    v1::PutRequest request;
    payloads.Parse(Sliced(put.SerializeAsString(), 6), request);
    EXPECT_NE(payloads.Beside(request.tensors(0)), nullptr);
    return Decode(request.tensors(0), *stream, payloads);
  };
  v1::TensorProto array;
  AddArray(array, "x", 20);
  const Tensor tensor = decode(array);
  EXPECT_EQ(std::string(tensor.data<char>(), tensor.bytes()), array.raw_data());
  array.set_data_type(v1::TensorProto::BOOL);
  EXPECT_EQ(decode(array).data<uint8_t>()[5], 1);
  array.set_dims(0, 21);
  EXPECT_THAT(ErrorOf([&] { decode(array); }),
              ::testing::HasSubstr("tensor 'x': a tensor of bool[21] takes 21 bytes, raw_data "
                                   "holds 20"));
  array.set_data_type(v1::TensorProto::STRING);
  EXPECT_THAT(ErrorOf([&] { decode(array); }), ::testing::HasSubstr("not in raw_data"));
}

}  // namespace
}  // namespace gradwire::rpc
