// What the library's parts tell each other when it is opened.
#ifndef GRADWIRE_BACKEND_CUDA_REGISTRATION_H_
#define GRADWIRE_BACKEND_CUDA_REGISTRATION_H_

#include <string>

namespace gradwire::cuda {

// Gives operators the kernels of server/ops/*.cu; ops/install.cu has it.
void InstallKernels();
// "cuBLASLt 13.0.0", and for how many kinds of products it had no algorithm, if for any.
std::string BlasVersion();
// "cuDNN 9.19.0", or that there is none.
std::string DnnVersion();

}  // namespace gradwire::cuda

#endif  // GRADWIRE_BACKEND_CUDA_REGISTRATION_H_
