# Writes OUT, the C++ source of cuda::DeviceHeaders(), from the files of HEADERS ("name=path" separated by "|").
string(REPLACE "|" ";" pairs "${HEADERS}")
set(rows "")
foreach(pair IN LISTS pairs)
  string(REGEX MATCH "^([^=]*)=(.*)$" _ "${pair}")
  set(name "${CMAKE_MATCH_1}")
  file(READ "${CMAKE_MATCH_2}" text)
  string(APPEND rows "    {\"${name}\", R\"gradwire(${text})gradwire\"},\n")
endforeach()
file(
  WRITE "${OUT}"
  "#include \"backend/cuda/device_headers.h\"

namespace gradwire::cuda {
namespace {

constexpr DeviceHeader kHeaders[] = {
${rows}};

}  // namespace

std::span<const DeviceHeader> DeviceHeaders() { return kHeaders; }

}  // namespace gradwire::cuda
")
