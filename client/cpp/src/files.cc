#include "files.h"

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "gradwire/client/error.h"

namespace gradwire::client {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void Fail(const char* what, const fs::path& path) {
  throw fs::filesystem_error(what, path, std::error_code(errno, std::generic_category()));
}

// A directory opens, too, and only reading it fails.
std::ifstream OpenToRead(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) Fail("cannot open", path);
  if (fs::is_directory(path)) {
    errno = EISDIR;
    Fail("cannot read", path);
  }
  return file;
}

// Reads up to `size` bytes, fewer only at the end.
std::string Read(std::ifstream& file, const fs::path& path, size_t size) {
  std::string data(size, '\0');
  file.read(data.data(), static_cast<std::streamsize>(size));
  if (file.bad()) Fail("cannot read", path);
  data.resize(static_cast<size_t>(file.gcount()));
  return data;
}

}  // namespace

std::string ReadFile(const fs::path& path) {
  std::ifstream file = OpenToRead(path);
  return Read(file, path, fs::file_size(path));
}

bool ReadParts(const fs::path& path, const std::string& name,
               const std::function<bool(v1::FileChunk)>& take) {
  std::ifstream file = OpenToRead(path);
  bool begins = true;
  do {
    v1::FileChunk chunk;
    if (begins) chunk.set_path(name);
    chunk.set_data(Read(file, path, kChunkBytes));
    if (!begins && chunk.data().empty()) break;
    begins = false;
    if (!take(std::move(chunk))) return false;
  } while (file);
  return true;
}

std::vector<std::string> FilesUnder(const fs::path& folder) {
  std::vector<std::string> names;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) {
      names.push_back(entry.path().lexically_relative(folder).generic_string());
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

void FileWriter::Write(const v1::FileChunk& chunk) {
  if (!chunk.path().empty()) {
    Close();
    const fs::path name(chunk.path());
    if (name.is_absolute() || std::find(name.begin(), name.end(), "..") != name.end()) {
      Throw(Reason::kInternal, "the server sent a file outside the folder: " + chunk.path());
    }
    const fs::path path = folder_ / name;
    fs::create_directories(path.parent_path());
    file_ = std::ofstream(path, std::ios::binary);
    written_.push_back(path);
  }
  if (written_.empty()) Throw(Reason::kInternal, "malformed answer: the first part has no path");
  file_.write(chunk.data().data(), static_cast<std::streamsize>(chunk.data().size()));
  if (!file_) Fail("cannot write", written_.back());
}

std::vector<fs::path> FileWriter::Finish() {
  Close();
  return std::move(written_);
}

void FileWriter::Close() {
  if (!file_.is_open()) return;
  file_.close();
  if (!file_) Fail("cannot write", written_.back());
}

}  // namespace gradwire::client
