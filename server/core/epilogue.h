// What the kernel of a product may do to its result before it writes it.
#ifndef GRADWIRE_CORE_EPILOGUE_H_
#define GRADWIRE_CORE_EPILOGUE_H_

#include <cstdint>

namespace gradwire {

enum class Epilogue : int8_t {
  kNone,
  kBias,  // adds a vector to each row
  kRelu,
  kGelu,  // by tanh
};

}  // namespace gradwire

#endif  // GRADWIRE_CORE_EPILOGUE_H_
