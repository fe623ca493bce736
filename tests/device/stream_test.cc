// Streams of the device under test: copies, their order, and what memory counts as.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <numeric>
#include <vector>

#include "backend/quota.h"
#include "tests/ops/device.h"
#include "tests/unit/error_of.h"

namespace gradwire {
namespace {

using testing::DeviceUnderTest;
using testing::ErrorOf;
using ::testing::StartsWith;

constexpr size_t kMiB = size_t{1} << 20;

std::vector<char> Numbered(size_t bytes) {
  std::vector<char> data(bytes);
  std::iota(data.begin(), data.end(), char{0});
  return data;
}

class DeviceStreamTest : public ::testing::Test {
 protected:
  std::vector<char> Downloaded(const Buffer& from, size_t bytes) {
    std::vector<char> data(bytes);
    stream_->Download(from, data.data(), bytes);
    return data;
  }

  const std::unique_ptr<Stream> stream_ = DeviceUnderTest().NewStream(std::make_shared<Quota>(0));
};

TEST_F(DeviceStreamTest, CopiesGoThereAndBack) {
  // Of no staging slot, of a small one, of a large one, of several and a bit.
  for (const size_t bytes : {size_t{0}, size_t{1}, size_t{5000}, 3 * kMiB + 17}) {
    const std::vector<char> sent = Numbered(bytes);
    const BufferPtr buffer = stream_->Allocate(bytes);
    stream_->Upload(sent.data(), *buffer, bytes);
    std::vector<char> back(bytes);
    stream_->Download(*buffer, back.data(), bytes);
    EXPECT_EQ(back, sent) << bytes;
  }
}

TEST_F(DeviceStreamTest, MoreUploadsThanThereAreSlotsKeepTheirBytes) {
  std::vector<BufferPtr> buffers;
  for (int i = 0; i < 2000; ++i) {
    buffers.push_back(stream_->Allocate(sizeof(i)));
    stream_->Upload(&i, *buffers.back(), sizeof(i));
  }
  for (int i = 0; i < 2000; ++i) {
    int back = -1;
    stream_->Download(*buffers[static_cast<size_t>(i)], &back, sizeof(back));
    ASSERT_EQ(back, i);
  }
}

TEST_F(DeviceStreamTest, OfALargeAnnouncedArrayThePartThatFitsIsCopiedEarly) {
  const std::vector<char> data = Numbered(40 * kMiB + 5);
  const BufferPtr from = stream_->Allocate(data.size());
  stream_->Upload(data.data(), *from, data.size());
  stream_->Prefetch(from);
  std::vector<char> host(data.size());
  stream_->Download(*from, host.data(), host.size());
  EXPECT_EQ(host, data);
}

TEST_F(DeviceStreamTest, AnnouncedArraysThatNobodyFetchesHoldNothing) {
  for (int i = 0; i < 100; ++i) {
    const BufferPtr from = stream_->Allocate(kMiB);
    stream_->Zero(from->data(), from->bytes());
    stream_->Prefetch(from);
  }
  const std::vector<char> data = Numbered(40 * kMiB);
  const BufferPtr to = stream_->Allocate(data.size());
  stream_->Upload(data.data(), *to, data.size());
  std::vector<char> host(data.size());
  stream_->Download(*to, host.data(), host.size());
  EXPECT_EQ(host, data);
}

TEST_F(DeviceStreamTest, MemoryIsBookedWithTheSession) {
  const auto quota = std::make_shared<Quota>(3 * static_cast<int64_t>(kMiB));
  const auto stream = DeviceUnderTest().NewStream(quota);
  BufferPtr buffer = stream->Allocate(2 * kMiB);
  EXPECT_EQ(quota->used(), static_cast<int64_t>(2 * kMiB));
  EXPECT_THAT(ErrorOf([&] { stream->Allocate(2 * kMiB); }), StartsWith("QUOTA_EXCEEDED"));
  EXPECT_THAT(ErrorOf([&] { stream->host().Allocate(2 * kMiB); }), StartsWith("QUOTA_EXCEEDED"));
  buffer = nullptr;
  EXPECT_EQ(quota->used(), 0);
}

TEST_F(DeviceStreamTest, TheSourceOfAnUploadMayBeReusedAtOnce) {
  for (const size_t bytes : {size_t{100}, 5 * kMiB}) {
    const std::vector<char> sent = Numbered(bytes);
    std::vector<char> source = sent;
    const BufferPtr buffer = stream_->Allocate(bytes);
    stream_->Upload(source.data(), *buffer, bytes);
    std::fill(source.begin(), source.end(), 'x');
    EXPECT_EQ(Downloaded(*buffer, bytes), sent) << bytes;
  }
}

TEST_F(DeviceStreamTest, BoxesAreCopiedInOrder) {
  const std::vector<int32_t> matrix = {0, 1, 2, 3, 4, 5};
  const size_t bytes = sizeof(int32_t) * 6;
  const BufferPtr from = stream_->Allocate(bytes);
  const BufferPtr to = stream_->Allocate(bytes);
  const Box transposed{{3, 2}, {1, 3}, {2, 1}};
  stream_->Zero(from->data(), bytes);
  stream_->Copy(transposed, sizeof(int32_t), from->data(), to->data());
  stream_->Upload(matrix.data(), *from, bytes);
  stream_->Copy(transposed, sizeof(int32_t), from->data(), to->data());
  stream_->Zero(from->data(), bytes);
  std::vector<int32_t> back(6);
  stream_->Download(*to, back.data(), bytes);
  EXPECT_EQ(back, (std::vector<int32_t>{0, 3, 1, 4, 2, 5}));
}

TEST_F(DeviceStreamTest, AnAnnouncedArrayIsWhatItWasThen) {
  const std::vector<char> data = Numbered(3 * kMiB);
  const BufferPtr from = stream_->Allocate(data.size());
  stream_->Upload(data.data(), *from, data.size());
  stream_->Prefetch(from);
  const BufferPtr later = stream_->Allocate(kMiB);
  stream_->Zero(later->data(), later->bytes());
  EXPECT_EQ(Downloaded(*from, data.size()), data);
}

// What one queue has freed, it writes again while what it queued before may still read it.
TEST_F(DeviceStreamTest, AFreedBlockIsReusedInOrder) {
  const std::vector<char> data = Numbered(kMiB);
  const BufferPtr kept = stream_->Allocate(data.size());
  for (int i = 0; i < 20; ++i) {
    const BufferPtr passing = stream_->Allocate(data.size());
    stream_->Upload(data.data(), *passing, data.size());
    stream_->Copy({{static_cast<int64_t>(kMiB)}, {1}, {1}}, 1, passing->data(), kept->data());
  }
  EXPECT_EQ(Downloaded(*kept, data.size()), data);
}

TEST_F(DeviceStreamTest, BuffersOutliveTheirStream) {
  const auto quota = std::make_shared<Quota>(0);
  BufferPtr buffer = DeviceUnderTest().NewStream(quota)->Allocate(1000);
  EXPECT_GT(quota->used(), 0);
  buffer = nullptr;
  EXPECT_EQ(quota->used(), 0);
}

}  // namespace
}  // namespace gradwire
