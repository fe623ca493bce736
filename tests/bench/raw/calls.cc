#include <grpcpp/generic/generic_stub.h>

#include <algorithm>
#include <deque>
#include <optional>
#include <vector>

#include "absl/strings/escaping.h"
#include "measure.h"

namespace gradwire::bench {
namespace {

using grpc::ByteBuffer;

struct Group {
  std::vector<double> latencies;
  ByteBuffer answer;
};

// Of seconds; sorts them.
double Percentile(std::vector<double>& values, double share) {
  if (values.empty()) return 0;
  const auto place = static_cast<size_t>(share * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), values.begin() + static_cast<ptrdiff_t>(place), values.end());
  return values[place];
}

// One call at a time, again and again.
class Caller {
 public:
  Caller(const std::shared_ptr<grpc::Channel>& channel, std::string method,
         const ByteBuffer& request, Group& group)
      : stub_(channel), method_(std::move(method)), request_(request), group_(group) {}

  void Start(grpc::CompletionQueue& queue) {
    reader_.reset();
    context_.emplace();
    began_ = Clock::now();
    reader_ = stub_.PrepareUnaryCall(&*context_, method_, request_, &queue);
    reader_->StartCall();
    reader_->Finish(&answer_, &status_, this);
  }
  void Done() {
    group_.latencies.push_back(SecondsSince(began_));
    Check(status_);
    group_.answer = answer_;
  }

 private:
  grpc::GenericStub stub_;
  const std::string method_;
  const ByteBuffer request_;
  Group& group_;
  std::optional<grpc::ClientContext> context_;
  std::unique_ptr<grpc::GenericClientAsyncResponseReader> reader_;
  ByteBuffer answer_;
  grpc::Status status_;
  Clock::time_point began_;
};

// Keeps every caller calling until enough is done, then waits for what is under way.
void Loop(std::deque<Caller>& callers, int64_t calls, double seconds) {
  grpc::CompletionQueue queue;
  int64_t left = calls;
  size_t under_way = 0;
  const Clock::time_point began = Clock::now();
  for (Caller& caller : callers) {
    if (calls != 0 && left-- <= 0) break;
    caller.Start(queue);
    ++under_way;
  }
  void* tag = nullptr;
  bool ok = false;
  while (under_way != 0 && queue.Next(&tag, &ok)) {
    auto* caller = static_cast<Caller*>(tag);
    caller->Done();
    const bool more = calls != 0 ? left-- > 0 : SecondsSince(began) < seconds;
    more ? caller->Start(queue) : static_cast<void>(--under_way);
  }
}

// A stream with a window; every message but the first has a latency.
class Exchange {
 public:
  Exchange(Setting& setting, const json& in)
      : stub_(setting.Channel(in.at("target"))),
        stream_(stub_.PrepareCall(&context_, in.at("method"), &queue_)),
        request_(FromHex(in.at("request"))),
        count_(in.at("count")),
        window_(in.at("window")) {
    stream_->StartCall(nullptr);
    Wait();
    stream_->Write(FromHex(in.at("first")), nullptr);
    Wait();
    stream_->Read(&answer_, nullptr);
    Wait();
  }

  void Run() {
    stream_->Read(&answer_, &kRead);
    Write();
    for (size_t read = 0; read < count_;) {
      if (Wait() == &kRead) {
        latencies_.push_back(SecondsSince(sent_.front()));
        sent_.pop_front();
        if (++read < count_) stream_->Read(&answer_, &kRead);
      } else {
        writing_ = false;
      }
      Write();
    }
    while (writing_) {
      Wait();
      writing_ = false;
    }
    stream_->WritesDone(nullptr);
    Wait();
  }

  json Finish() {
    grpc::Status status;
    stream_->Finish(&status, nullptr);
    Wait();
    Check(status);
    return {{"p50", Percentile(latencies_, 0.5)},
            {"p99", Percentile(latencies_, 0.99)},
            {"answer", ToHex(answer_)}};
  }

 private:
  inline static int kRead = 0;
  inline static int kWrote = 0;

  void Write() {
    if (writing_ || written_ == count_ || sent_.size() == window_) return;
    writing_ = true;
    ++written_;
    sent_.push_back(Clock::now());
    stream_->Write(request_, &kWrote);
  }
  void* Wait() {
    void* tag = nullptr;
    bool ok = false;
    if (!queue_.Next(&tag, &ok) || !ok) throw std::runtime_error("the stream broke");
    return tag;
  }

  grpc::GenericStub stub_;
  grpc::ClientContext context_;
  grpc::CompletionQueue queue_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> stream_;
  const ByteBuffer request_;
  const size_t count_;
  const size_t window_;
  ByteBuffer answer_;
  std::deque<Clock::time_point> sent_;
  std::vector<double> latencies_;
  size_t written_ = 0;
  bool writing_ = false;
};

}  // namespace

ByteBuffer FromHex(const std::string& hex) {
  const grpc::Slice slice(absl::HexStringToBytes(hex));
  return {&slice, 1};
}

std::string ToHex(const ByteBuffer& buffer) {
  grpc::Slice slice;
  buffer.DumpToSingleSlice(&slice);
  return absl::BytesToHexString({reinterpret_cast<const char*>(slice.begin()), slice.size()});
}

std::shared_ptr<grpc::Channel> Setting::Channel(const std::string& target, int number) {
  auto& channel = channels_[{target, number}];
  if (channel == nullptr) {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(-1);
    arguments.SetMaxSendMessageSize(-1);
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    channel = grpc::CreateCustomChannel(target, grpc::InsecureChannelCredentials(), arguments);
  }
  return channel;
}

json Calls(Setting& setting, const json& in) {
  std::deque<Group> groups;
  std::deque<Caller> callers;
  int connections = 0;
  for (const json& asked : in.at("groups")) {
    Group& group = groups.emplace_back();
    for (const json& request : asked.at("requests")) {
      const auto channel = setting.Channel(asked.at("target"), connections);
      if (!in.value("share", false)) ++connections;
      for (int i = 0; i < asked.value("in_flight", 1); ++i) {
        callers.emplace_back(channel, asked.at("method"), FromHex(request), group);
      }
    }
  }
  const double cpu = CpuSeconds();
  const Clock::time_point began = Clock::now();
  Loop(callers, in.value("calls", int64_t{0}), in.value("seconds", 0.0));
  json out = {
      {"seconds", SecondsSince(began)}, {"cpu", CpuSeconds() - cpu}, {"groups", json::array()}};
  for (Group& group : groups) {
    out["groups"].push_back({{"calls", group.latencies.size()},
                             {"p50", Percentile(group.latencies, 0.5)},
                             {"p99", Percentile(group.latencies, 0.99)},
                             {"answer", ToHex(group.answer)}});
  }
  return out;
}

json Stream(Setting& setting, const json& in) {
  Exchange exchange(setting, in);
  const double cpu = CpuSeconds();
  const Clock::time_point began = Clock::now();
  exchange.Run();
  const double seconds = SecondsSince(began);
  const double used = CpuSeconds() - cpu;
  json out = exchange.Finish();
  out["seconds"] = seconds;
  out["cpu"] = used;
  return out;
}

}  // namespace gradwire::bench
