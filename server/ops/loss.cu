#include "backend/cuda/launch.h"
#include "ops/cuda_kernel.h"
#include "ops/loss.h"
#include "ops/value_check.cuh"

namespace gradwire::cuda {
namespace {

struct IsLabel {
  int64_t classes;
  bool ignores;
  int64_t ignored;

  GRADWIRE_FN bool Counts(int64_t label) const { return !ignores || label != ignored; }
  GRADWIRE_FN bool operator()(int64_t label) const {
    return !Counts(label) || (label >= 0 && label < classes);
  }
};

template <class T>
struct LookUp {
  const T* labels;
  IsLabel rule;
  T* checked;
  bool* counted;

  GRADWIRE_FN void operator()(int64_t i) const {
    const bool counts = rule.Counts(labels[i]);
    checked[i] = counts && rule(labels[i]) ? labels[i] : T(0);
    counted[i] = counts;
  }
};

template <class T>
void Labels(KernelContext& k) {
  const IsLabel rule{k.attributes().Int("classes"), k.attributes().Has("ignore_index"),
                     k.attributes().Int("ignore_index", 0)};
  const int64_t n = k.input(0).numel();
  CheckValues(k, k.in<T>(0), n, rule, [classes = rule.classes](const Bad& bad) {
    RefuseLabel(bad.value, bad.position - 1, classes);
  });
  ForEach(k.stream(), n, LookUp<T>{k.in<T>(0), rule, k.out<T>(0), k.out<bool>(1)});
}

void LabelsKernel(KernelContext& k) {
  Dispatch(TypeList<int32_t, int64_t>{}, k.input(0).dtype(), [&]<class T>() { Labels<T>(k); });
}

GRADWIRE_CUDA_KERNEL("gradwire", "Labels", 1, LabelsKernel);

}  // namespace
}  // namespace gradwire::cuda
