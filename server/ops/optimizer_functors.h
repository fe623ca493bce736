// What optimizers do to one element. Plain structs that host and device code instantiate alike.
// A rule knows a call's attributes; At(rate, count) is its step for a rate and a count of earlier
// steps; the step updates a parameter x, of gradient g, and its states. optimizer.cc says where the
// formulas are from.
#ifndef GRADWIRE_OPS_OPTIMIZER_FUNCTORS_H_
#define GRADWIRE_OPS_OPTIMIZER_FUNCTORS_H_

#include <cmath>

#include "core/attributes.h"
#include "ops/real_math.h"

namespace gradwire::fn {

struct Sgd {
  static constexpr int kStates = 0;
  static constexpr bool kCounts = false;
  double decay;
  static Sgd Make(const Attributes& a) { return {a.Float("norm_coefficient", 0)}; }

  template <class T>
  struct Step {
    T rate, decay;
    GRADWIRE_FN void operator()(T& x, T g, T*) const { x = x - rate * (g + decay * x); }
  };
  template <class T>
  GRADWIRE_FN Step<T> At(double rate, double) const {
    return {static_cast<T>(rate), static_cast<T>(decay)};
  }
};

struct Momentum {
  static constexpr int kStates = 1;
  static constexpr bool kCounts = true;
  double decay, alpha, beta;
  bool nesterov;
  static Momentum Make(const Attributes& a) {
    return {a.Float("norm_coefficient", 0), a.Float("alpha"), a.Float("beta"),
            a.Int("nesterov", 0) != 0};
  }

  template <class T>
  struct Step {
    T rate, decay, alpha, beta;
    bool nesterov;
    GRADWIRE_FN void operator()(T& x, T g, T* states) const {
      const T gradient = g + decay * x;
      const T velocity = alpha * states[0] + beta * gradient;
      states[0] = velocity;
      x = x - rate * (nesterov ? gradient + alpha * velocity : velocity);
    }
  };
  template <class T>
  GRADWIRE_FN Step<T> At(double rate, double count) const {
    return {static_cast<T>(rate), static_cast<T>(decay), static_cast<T>(alpha),
            count > 0 ? static_cast<T>(beta) : T(1), nesterov};
  }
};

struct Adagrad {
  static constexpr int kStates = 1;
  static constexpr bool kCounts = true;
  double decay, decay_factor, epsilon;
  static Adagrad Make(const Attributes& a) {
    return {a.Float("norm_coefficient", 0), a.Float("decay_factor", 0), a.Float("epsilon", 1e-10)};
  }

  template <class T>
  struct Step {
    T rate, decay, epsilon;
    GRADWIRE_FN void operator()(T& x, T g, T* states) const {
      const T gradient = g + decay * x;
      const T squares = states[0] + gradient * gradient;
      states[0] = squares;
      x = x - rate * gradient / (std::sqrt(squares) + epsilon);
    }
  };
  template <class T>
  GRADWIRE_FN Step<T> At(double rate, double count) const {
    return {static_cast<T>(rate / (1 + count * decay_factor)), static_cast<T>(decay),
            static_cast<T>(epsilon)};
  }
};

// X' = after * (before * X - rate * V' / (root_scale * sqrt(H') + epsilon)), G' = G + decay * X.
template <class T>
struct AdamStep {
  T alpha, one_minus_alpha, beta, one_minus_beta, epsilon, decay, before, rate, root_scale, after;
  GRADWIRE_FN void operator()(T& x, T g, T* states) const {
    const T gradient = g + decay * x;
    const T mean = alpha * states[0] + one_minus_alpha * gradient;
    const T square = beta * states[1] + one_minus_beta * (gradient * gradient);
    states[0] = mean;
    states[1] = square;
    x = after * (before * x - rate * mean / (root_scale * std::sqrt(square) + epsilon));
  }
};

struct AdamFactors {
  static constexpr int kStates = 2;
  static constexpr bool kCounts = true;
  double alpha, beta, epsilon;

  template <class T>
  GRADWIRE_FN AdamStep<T> StepOf(double decay, double before, double rate, double root_scale,
                                 double after) const {
    return {static_cast<T>(alpha),    static_cast<T>(1 - alpha), static_cast<T>(beta),
            static_cast<T>(1 - beta), static_cast<T>(epsilon),   static_cast<T>(decay),
            static_cast<T>(before),   static_cast<T>(rate),      static_cast<T>(root_scale),
            static_cast<T>(after)};
  }
  // Bias correction as in Kingma and Ba, algorithm 1, and PyTorch.
  template <class T>
  GRADWIRE_FN AdamStep<T> Corrected(double decay, double before, double rate, double count) const {
    const double step = count + 1;
    return StepOf<T>(decay, before, rate / (1 - std::pow(alpha, step)),
                     1 / std::sqrt(1 - std::pow(beta, step)), 1);
  }
};

struct Adam : AdamFactors {
  double decay;
  static Adam Make(const Attributes& a) {
    return {{a.Float("alpha", 0.9), a.Float("beta", 0.999), a.Float("epsilon", 1e-8)},
            a.Float("norm_coefficient", 0)};
  }
  template <class T>
  GRADWIRE_FN AdamStep<T> At(double rate, double count) const {
    return Corrected<T>(decay, 1, rate, count);
  }
};

struct AdamW : AdamFactors {
  double decay;
  static AdamW Make(const Attributes& a) {
    return {{a.Float("alpha", 0.9), a.Float("beta", 0.999), a.Float("epsilon", 1e-8)},
            a.Float("norm_coefficient", 0.01)};
  }
  template <class T>
  GRADWIRE_FN AdamStep<T> At(double rate, double count) const {
    return Corrected<T>(0, 1 - rate * decay, rate, count);
  }
};

// ONNX's: the count is what the powers are taken to, nothing is corrected at 0, and epsilon is
// added to the uncorrected root.
struct OnnxAdam : AdamFactors {
  double decay, decay_after;
  static OnnxAdam Make(const Attributes& a) {
    return {{a.Float("alpha", 0.9f), a.Float("beta", 0.999f), a.Float("epsilon", 1e-6f)},
            a.Float("norm_coefficient", 0),
            a.Float("norm_coefficient_post", 0)};
  }
  template <class T>
  GRADWIRE_FN AdamStep<T> At(double rate, double count) const {
    const double correction =
        count > 0 ? std::sqrt(1 - std::pow(beta, count)) / (1 - std::pow(alpha, count)) : 1;
    return StepOf<T>(decay, 1, rate * correction, 1, 1 - decay_after);
  }
};

}  // namespace gradwire::fn

#endif  // GRADWIRE_OPS_OPTIMIZER_FUNCTORS_H_
