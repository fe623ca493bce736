// Work of a stream that is recorded as CUDA graphs.
#ifndef GRADWIRE_BACKEND_CUDA_CAPTURE_H_
#define GRADWIRE_BACKEND_CUDA_CAPTURE_H_

#include <cstddef>
#include <memory>
#include <vector>

#include "backend/cuda/cuda_backend.h"

namespace gradwire::cuda {

// Blocks that the captures of one queue have in common, as what they record runs one after the
// other: a block lives as long as a capture that used it. Not thread-safe: lives on the session's
// strand, but for the end of a block.
class CaptureMemory {
 public:
  struct Block {
    BufferPtr memory;
    size_t block_size = 0;
    bool taken = false;  // by an array of the capture that is under way
  };
  using BlockPtr = std::shared_ptr<Block>;

  // A block that is not taken, or nullptr.
  BlockPtr Find(size_t block_size);
  void Add(const BlockPtr& block) { blocks_.push_back(block); }

 private:
  std::vector<std::weak_ptr<Block>> blocks_;
};

// The stream of a capture: the session's queue, and memory that stays. While work is recorded it
// refuses what the host would wait for, or check later: a launch would leave the check out.
class CaptureStream : public CudaStream {
 public:
  CaptureStream(const CudaStream& parent, std::shared_ptr<CaptureMemory> memory)
      : CudaStream(parent), memory_(std::move(memory)) {}

  BufferPtr Allocate(size_t bytes) override;
  void Upload(const void* host, Buffer& to, size_t bytes) override;
  void Download(const Buffer& from, void* host, size_t bytes) override;
  // Does nothing: what lies in this memory changes with each launch.
  void Prefetch(const BufferPtr& /*from*/) override {}
  void Synchronize() override;
  void CheckLater(const Buffer& from, size_t bytes, const ArrayCheck& check) override;
  void FinishChecks() override;

  void Begin();
  std::unique_ptr<Recording> End();
  bool recording() const { return recording_; }
  // Ends what is being recorded, and drops it.
  void GiveUp() noexcept;

 private:
  void RequireNotRecording(const char* what) const;

  const std::shared_ptr<CaptureMemory> memory_;
  std::vector<CaptureMemory::BlockPtr> used_;
  bool recording_ = false;
};

class GraphCapture : public Capture {
 public:
  GraphCapture(const CudaStream& parent, std::shared_ptr<CaptureMemory> memory)
      : stream_(parent, std::move(memory)) {}
  ~GraphCapture() override { stream_.GiveUp(); }
  GraphCapture(const GraphCapture&) = delete;
  GraphCapture& operator=(const GraphCapture&) = delete;

  Stream& stream() override { return stream_; }
  void Begin() override { stream_.Begin(); }
  std::unique_ptr<Recording> End() override { return stream_.End(); }

 private:
  CaptureStream stream_;
};

}  // namespace gradwire::cuda

#endif  // GRADWIRE_BACKEND_CUDA_CAPTURE_H_
