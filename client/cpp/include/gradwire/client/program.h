// How models are loaded.
#ifndef GRADWIRE_CLIENT_PROGRAM_H_
#define GRADWIRE_CLIENT_PROGRAM_H_

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace gradwire::client {

// Files in which initializers of a model are kept, by the `location` that these name.
using ExternalFiles = std::map<std::string, std::filesystem::path>;

// The files under `folder` that a serialized model's initializers name. Throws INVALID_MODEL for
// bytes that are no model, for a location that is absolute, has "..", or leads out of the folder
// through a link, and where there is no such file.
ExternalFiles FindExternalFiles(std::string_view model, const std::filesystem::path& folder);

struct ProgramOptions {
  // Initializers become leaves that collect gradients.
  bool trainable = false;
  // Of the initializers' names in the session; the program's name and "/" where absent.
  std::optional<std::string> parameter_prefix;
  // Sent after the model, in parts: they may exceed what a model can have.
  ExternalFiles external;
};

}  // namespace gradwire::client

#endif  // GRADWIRE_CLIENT_PROGRAM_H_
