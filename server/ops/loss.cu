#include "backend/cuda/launch.h"
#include "ops/cuda_kernel.h"
#include "ops/loss.h"
#include "ops/real_math.h"

namespace gradwire::cuda {
namespace {

// A label out of range: its position plus one (0: there is none), and itself.
struct LabelFault {
  int64_t position;
  int64_t label;
};

template <class T>
struct CheckLabels {
  const T* labels;
  int64_t classes;
  bool ignores;
  int64_t ignored;
  T* checked;
  bool* counted;
  LabelFault* fault;

  GRADWIRE_FN void operator()(int64_t i) const {
    const bool counts = !ignores || labels[i] != ignored;
    if (counts && (labels[i] < 0 || labels[i] >= classes)) fault->position = i + 1;  // any of them
    checked[i] = counts ? labels[i] : T(0);
    counted[i] = counts;
  }
};

template <class T>
struct TellLabel {
  const T* labels;
  LabelFault* fault;

  GRADWIRE_FN void operator()(int64_t) const { fault->label = labels[fault->position - 1]; }
};

// Waits for the device: a label out of range must be refused before anything comes of it.
template <class T>
void Labels(KernelContext& k) {
  Stream& stream = k.stream();
  const int64_t classes = k.attributes().Int("classes");
  const BufferPtr memory = k.Scratch(sizeof(LabelFault));
  auto* const fault = static_cast<LabelFault*>(memory->data());
  stream.Zero(fault, sizeof(LabelFault));
  ForEach(
      stream, k.input(0).numel(),
      CheckLabels<T>{k.in<T>(0), classes, k.attributes().Has("ignore_index"),
                     k.attributes().Int("ignore_index", 0), k.out<T>(0), k.out<bool>(1), fault});
  LabelFault told{};
  stream.Download(*memory, &told, sizeof(told));
  if (told.position == 0) return;
  ForEach(stream, 1, TellLabel<T>{k.in<T>(0), fault});
  stream.Download(*memory, &told, sizeof(told));
  RefuseLabel(told.label, told.position - 1, classes);
}

void LabelsKernel(KernelContext& k) {
  Dispatch(TypeList<int32_t, int64_t>{}, k.input(0).dtype(), [&]<class T>() { Labels<T>(k); });
}

GRADWIRE_CUDA_KERNEL("gradwire", "Labels", 1, LabelsKernel);

}  // namespace
}  // namespace gradwire::cuda
