// Files, in parts of a message's size.
#ifndef GRADWIRE_CLIENT_SRC_FILES_H_
#define GRADWIRE_CLIENT_SRC_FILES_H_

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "gradwire/v1/gradwire.pb.h"

namespace gradwire::client {

// Of arrays and files: payload of one message.
constexpr size_t kChunkBytes = size_t{2} << 20;

// Throws std::filesystem::filesystem_error.
std::string ReadFile(const std::filesystem::path& path);

// Gives a file to `take` in parts, at least one, the first of them with `name` as its path, until
// it returns false. False: it did. Throws std::filesystem::filesystem_error.
bool ReadParts(const std::filesystem::path& path, const std::string& name,
               const std::function<bool(v1::FileChunk)>& take);

// Regular files under a folder, by their paths in it, in their order. Throws
// std::filesystem::filesystem_error.
std::vector<std::string> FilesUnder(const std::filesystem::path& folder);

// Writes files that come in parts into a folder.
class FileWriter {
 public:
  explicit FileWriter(std::filesystem::path folder) : folder_(std::move(folder)) {}

  // Throws INTERNAL for a file that would lie outside the folder, and
  // std::filesystem::filesystem_error.
  void Write(const v1::FileChunk& chunk);
  // Ends the last file; returns the paths of all. Throws std::filesystem::filesystem_error.
  std::vector<std::filesystem::path> Finish();

 private:
  void Close();

  const std::filesystem::path folder_;
  std::ofstream file_;
  std::vector<std::filesystem::path> written_;
};

}  // namespace gradwire::client

#endif  // GRADWIRE_CLIENT_SRC_FILES_H_
