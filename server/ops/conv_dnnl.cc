#include "ops/conv_dnnl.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "backend/cpu/dnnl.h"
#include "graph/channels_last.h"
#include "ops/box.h"

namespace gradwire {
namespace {

// A form in oneDNN's terms.
struct DnnlForm {
  DnnlForm(const ConvForm& form, bool last)
      : channels_last(last),
        x(form.x),
        w(form.w),
        y(form.y),
        strides(onednn::ToDims(form.window.strides)),
        dilations(onednn::ToDims(form.window.dilations)),
        begin(onednn::ToDims(form.window.begin)),
        end(onednn::ToDims(form.window.end)) {
    for (auto& dilation : dilations) --dilation;  // oneDNN counts the gaps
    if (form.groups == 1) return;
    w[0] /= form.groups;
    w.insert(w.begin(), form.groups);
  }

  onednn::Key Key(onednn::Prop prop, bool biased) const {
    onednn::Key key(onednn::Kind::convolution, prop);
    for (const auto& numbers : {strides, dilations, begin, end}) key.Add(numbers);
    return std::move(key.Add(x).Add(w).Add(y).Add(biased).Add(channels_last));
  }
  // The layout that an image has.
  onednn::Desc Image(const Dims& dims) const {
    return channels_last ? onednn::ChannelsLast(dims) : onednn::Plain(dims);
  }

  // Images with their channels last are taken as they are, where oneDNN has more for them than its
  // reference; others in the layout that oneDNN likes best.
  template <class F>
  auto FastOne(F describe) const {
    auto description = describe(channels_last);
    const std::string_view name = description.impl_info_str();
    const bool slow = channels_last && name.find("ref") != std::string_view::npos;
    return slow ? describe(false) : description;
  }
  onednn::Desc Wanted(const Dims& dims, bool as_is) const {
    return as_is ? Image(dims) : onednn::Any(dims);
  }

  using ForwardDesc = dnnl::convolution_forward::primitive_desc;
  ForwardDesc Forward(onednn::Prop prop, bool biased) const {
    return FastOne([&](bool as_is) {
      const onednn::Desc from = Wanted(x, as_is);
      const onednn::Desc to = Wanted(y, as_is);
      constexpr auto kDirect = onednn::Algorithm::convolution_direct;
      if (!biased) {
        return onednn::Describe<dnnl::convolution_forward>(prop, kDirect, from, onednn::Any(w), to,
                                                           strides, dilations, begin, end);
      }
      const onednn::Desc bias = onednn::Plain(std::span(y).subspan(1, 1));
      return onednn::Describe<dnnl::convolution_forward>(prop, kDirect, from, onednn::Any(w), bias,
                                                         to, strides, dilations, begin, end);
    });
  }
  // Primitive is convolution_backward_data or convolution_backward_weights.
  template <class Primitive>
  dnnl::primitive_desc Backward() const {
    const ForwardDesc forward = Forward(onednn::Prop::forward_training, false);
    return FastOne([&](bool as_is) -> dnnl::primitive_desc {
      return onednn::DescribeBackward<Primitive>(forward, onednn::Algorithm::convolution_direct,
                                                 Wanted(x, as_is), onednn::Any(w), Wanted(y, as_is),
                                                 strides, dilations, begin, end);
    });
  }

  bool channels_last;
  Dims x, w, y;
  dnnl::memory::dims strides, dilations, begin, end;
};

bool AllAre(const Dims& dims, int64_t value) {
  return std::all_of(dims.begin(), dims.end(), [&](int64_t one) { return one == value; });
}

// A kernel of one tap reads the pixels that lie `strides` apart. oneDNN walks over them where they
// are, whose rows, a power of two of bytes apart, push each other out of the caches; gathered, they
// are a convolution without strides.
bool ReadsFewPixels(const ConvForm& form) {
  const Window& window = form.window;
  return AllAre(window.kernel, 1) && AllAre(window.begin, 0) && !AllAre(window.strides, 1) &&
         std::all_of(window.end.begin(), window.end.end(), [](int64_t end) { return end <= 0; });
}

ConvForm OfPixelsRead(ConvForm form) {
  form.x = WithChannels(form.x[0], form.x[1], SpatialDims(form.y));
  form.window.strides.assign(form.window.strides.size(), 1);
  form.window.end.assign(form.window.end.size(), 0);
  return form;
}

// From x, with its channels last, to an array of the pixels that are read.
Box PixelsRead(const ConvForm& form) {
  const Dims read = WithChannelsLast(OfPixelsRead(form).x);
  Dims from = Strides(WithChannelsLast(form.x));
  for (size_t i = 0; i < form.window.strides.size(); ++i) from[i + 1] *= form.window.strides[i];
  return {read, from, Strides(read)};
}

}  // namespace

bool ConvForm::IsDense() const { return AllAre(window.strides, 1) && AllAre(window.dilations, 1); }

bool SuitsDnnl(DType dtype, const ConvForm& form) {
  bool suits = dtype == DType::kFloat32 && NumElements(form.x) != 0 && NumElements(form.w) != 0 &&
               NumElements(form.y) != 0;
  for (size_t i = 0; i < form.window.kernel.size(); ++i) {
    suits = suits && form.window.begin[i] >= 0 && form.window.end[i] > -form.window.strides[i];
  }
  return suits;
}

void ConvByDnnl(KernelContext& context, const ConvForm& form, bool channels_last) {
  const float* x = context.in<float>(0);
  BufferPtr pixels;
  const bool gathers = channels_last && ReadsFewPixels(form);
  if (gathers) {
    const Box box = PixelsRead(form);
    pixels = context.Scratch(static_cast<size_t>(NumElements(box.dims)) * sizeof(float));
    CopyBox(context, box, DType::kFloat32, x, 0, pixels->data(), 0);
    x = static_cast<const float*>(pixels->data());
  }
  const DnnlForm f(gathers ? OfPixelsRead(form) : form, channels_last);
  constexpr auto kProp = onednn::Prop::forward_inference;
  absl::InlinedVector<onednn::Argument, 4> arguments = {
      onednn::In(DNNL_ARG_SRC, f.Image(f.x), x),
      onednn::In(DNNL_ARG_WEIGHTS, onednn::Plain(f.w), context.in<float>(1), context.packed()),
      onednn::Out(DNNL_ARG_DST, f.Image(f.y), context.out<float>(0))};
  if (context.has(2)) {
    arguments.push_back(
        onednn::In(DNNL_ARG_BIAS, onednn::Plain(context.input(2).dims()), context.in<float>(2)));
  }
  onednn::Run(context.stream(), f.Key(kProp, context.has(2)), arguments,
              [&] { return f.Forward(kProp, context.has(2)); });
}

void ConvInputGradByDnnl(KernelContext& context, const ConvForm& form, bool channels_last) {
  const DnnlForm f(form, channels_last);
  onednn::Run(context.stream(), f.Key(onednn::Prop::backward_data, false),
              {onednn::In(DNNL_ARG_DIFF_DST, f.Image(f.y), context.in<float>(0)),
               onednn::In(DNNL_ARG_WEIGHTS, onednn::Plain(f.w), context.in<float>(1)),
               onednn::Out(DNNL_ARG_DIFF_SRC, f.Image(f.x), context.out<float>(0))},
              [&] { return f.Backward<dnnl::convolution_backward_data>(); });
}

void ConvWeightGradByDnnl(KernelContext& context, const ConvForm& form, bool channels_last) {
  const DnnlForm f(form, channels_last);
  onednn::Run(context.stream(), f.Key(onednn::Prop::backward_weights, false),
              {onednn::In(DNNL_ARG_SRC, f.Image(f.x), context.in<float>(0)),
               onednn::In(DNNL_ARG_DIFF_DST, f.Image(f.y), context.in<float>(1)),
               onednn::Out(DNNL_ARG_DIFF_WEIGHTS, onednn::Plain(f.w), context.out<float>(0))},
              [&] { return f.Backward<dnnl::convolution_backward_weights>(); });
}

}  // namespace gradwire
