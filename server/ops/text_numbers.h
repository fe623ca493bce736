// Numbers as text and back, for Cast.
#ifndef GRADWIRE_OPS_TEXT_NUMBERS_H_
#define GRADWIRE_OPS_TEXT_NUMBERS_H_

#include <string>
#include <string_view>

namespace gradwire {

// T is one of DenseTypes. Throws INVALID_ARGUMENT for text that is no number, or is one that an
// integer T cannot hold; fractions of integers are cut off. "inf", "nan", "true" and "false" in any
// case are known; what is beyond a floating T is infinite.
template <class T>
T ParseNumber(std::string_view text);

// As NumPy writes it: the fewest digits that are read back as the same number, with an exponent
// from 1e16 on and below 1e-4: "3.0", "0.1", "1e-05", "nan"; "True" and "False".
template <class T>
std::string FormatNumber(T number);

}  // namespace gradwire

#endif  // GRADWIRE_OPS_TEXT_NUMBERS_H_
