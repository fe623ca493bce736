// The widest vectors that the processor has, for loops that compute more than they read.
#ifndef GRADWIRE_CORE_WIDEST_H_
#define GRADWIRE_CORE_WIDEST_H_

namespace gradwire {

// Whether vectors of 512 bits are there.
inline bool HasAvx512() {
  static const bool has = __builtin_cpu_supports("avx512f") != 0 &&
                          __builtin_cpu_supports("avx512dq") != 0 &&
                          __builtin_cpu_supports("avx512vl") != 0;
  return has;
}

template <class F>
__attribute__((target("avx512f,avx512dq,avx512vl,prefer-vector-width=512"), flatten)) void
RunWithAvx512(F& f) {
  f();
}

// Calls f(). What is inline in it is compiled for each width of vectors.
template <class F>
void RunWidest(F&& f) {
  HasAvx512() ? RunWithAvx512(f) : f();
}

}  // namespace gradwire

#endif  // GRADWIRE_CORE_WIDEST_H_
