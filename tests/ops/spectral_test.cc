#include "tests/ops/op_case.h"

namespace gradwire::testing {
namespace {

using Numbers = std::vector<double>;
constexpr int64_t kOne = 1;
constexpr int64_t kZero = 0;
constexpr int64_t kDouble = 11;

// Expected values: onnx 1.22.0's reference evaluator.
OP_CASES(Dft,
         {.op = "DFT",
          .inputs = {Elements({1, 5, 1}, {1, 4, 9, 16, 25})},
          .expect = Numbers{55, 0, -10.26393202250021, 24.086683608245536, -14.73606797749979,
                            5.686094684075861, -14.73606797749979, -5.686094684075861,
                            -10.26393202250021, -24.086683608245536}},
         {.op = "DFT",
          .inputs = {Elements({1, 5, 1}, {1, 4, 9, 16, 25}), Ints({}, {7})},
          .attributes = {{"onesided", kOne}},
          .expect = Numbers{55, 0, -35.448452782171074, -7.9967234874505095, 17.564278329261043,
                            -7.031241338881539, -6.115825547089965, 14.075299595378448}},
         {.op = "DFT",
          .inputs = {Elements({1, 3, 2}, {1, 2, -1, .5, 3, -2})},
          .attributes = {{"inverse", kOne}},
          .expect = Numbers{1, 0.16666666666666666, -0.721687836487032, -0.23803387171258478,
                            0.721687836487032, 2.071367205045918}},
         {.op = "DFT",
          .inputs = {Elements({1, 3, 2}, {1, 2, -1, .5, 3, -2})},
          .attributes = {{"inverse", kOne}, {"onesided", kOne}},
          .expect = Numbers{0.5, -0.75, 1.5, -0.25}},
         {.op = "DFT",
          .inputs = {Normal({3, 2, 4, 2}), Ints({}, {2}), Ints({}, {0})},
          .attributes = {{"onesided", kOne}}},
         {.op = "DFT",
          .inputs = {Normal({2, 3, 2, 1})},
          .attributes = {{"axis", int64_t{2}}},
          .opset = 17},
         {.op = "DFT", .inputs = {Normal({0, 3, 2})}},
         {.op = "DFT", .inputs = {Normal({2, 3})}, .error = "SHAPE_MISMATCH"},
         {.op = "DFT", .inputs = {Normal({2, 3, 1}), Ints({}, {0})}, .error = "INVALID_ARGUMENT"},
         {.op = "DFT",
          .inputs = {Normal({2, 3, 1}), Absent(), Ints({}, {2})},
          .error = "INVALID_ARGUMENT"},
         {.op = "gradwire::Fft", .inputs = {Normal({2, 6, 2})}, .attributes = {{"inverse", kOne}}},
         {.op = "gradwire::Fft", .inputs = {Normal({8, 2})}});

OP_CASES(Stft,
         {.op = "STFT",
          .inputs = {Elements({1, 6, 1}, {1, -2, 3, .5, -1, 4}), Ints({}, {2}),
                     Fixed(Elements({4}, {.5, 1, 1, .5}))},
          .expect = Numbers{1.75, 0, -2.5, 2.25, 5.25, 0, 3, 0, 2.5, 1.5, -2, 0}},
         {.op = "STFT",
          .inputs = {Normal({2, 7, 2}), Ints({}, {2}), Normal({3}), Ints({}, {3})},
          .attributes = {{"onesided", kZero}}},
         {.op = "STFT", .inputs = {Normal({2, 5, 1}), Ints({}, {1}), Absent(), Ints({}, {4})}},
         {.op = "STFT",
          .inputs = {Normal({2, 5, 1}), Ints({}, {1}), Absent(), Ints({}, {6})},
          .error = "SHAPE_MISMATCH"});

OP_CASES(Window,
         {.op = "HannWindow",
          .inputs = {Ints({}, {5})},
          .attributes = {{"output_datatype", kDouble}},
          .expect = Numbers{0, 0.3454915028125263, 0.9045084971874736, 0.9045084971874738,
                            0.34549150281252644}},
         {.op = "HammingWindow",
          .inputs = {Ints({}, {5})},
          .attributes = {{"output_datatype", kDouble}, {"periodic", kZero}},
          .expect = Numbers{0.08695652173913038, 0.5434782608695652, 1, 0.5434782608695653,
                            0.08695652173913038}},
         {.op = "BlackmanWindow",
          .inputs = {Ints({}, {5}, DType::kInt32)},
          .attributes = {{"output_datatype", kDouble}},
          .expect = Numbers{0, 0.20077014326253045, 0.8492298567374694, 0.8492298567374696,
                            0.20077014326253056}},
         {.op = "HannWindow", .inputs = {Ints({}, {0})}, .expect = Numbers{}},
         {.op = "HannWindow", .inputs = {Ints({}, {-1})}, .error = "INVALID_ARGUMENT"},
         {.op = "MelWeightMatrix",
          .inputs = {Ints({}, {3}), Ints({}, {12}), Ints({}, {8000}), Fixed(Elements({}, {0})),
                     Fixed(Elements({}, {4000}))},
          .attributes = {{"output_datatype", kDouble}},
          .expect = Numbers{1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, .5, 0, 0, 0, 0, 0, 0, 0, 0, 0}},
         {.op = "MelWeightMatrix",
          .inputs = {Ints({}, {3}), Ints({}, {12}), Ints({}, {8000}), Fixed(Elements({}, {0})),
                     Fixed(Elements({}, {40000}))},
          .error = "INVALID_ARGUMENT"},
         {.op = "MelWeightMatrix",
          .inputs = {Ints({}, {3}), Ints({}, {12}), Ints({}, {8000}), Fixed(Elements({}, {0})),
                     Fixed(Elements({}, {1e30}))},
          .error = "INVALID_ARGUMENT"},
         {.op = "MelWeightMatrix",
          .inputs = {Ints({}, {3}), Ints({}, {12}), Ints({}, {8000}), Fixed(Elements({}, {1000})),
                     Fixed(Elements({}, {-1000}))},
          .error = "INVALID_ARGUMENT"});

}  // namespace
}  // namespace gradwire::testing
