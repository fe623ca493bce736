// Models with external data, saved sessions, and sessions that are taken up again, against the
// server at GRADWIRE_TARGET.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "gradwire/client.h"

namespace gradwire::client {
namespace {

namespace fs = std::filesystem;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A folder of the test's own.
class FilesTest : public ::testing::Test {
 protected:
  FilesTest() {
    fs::remove_all(folder);
    fs::create_directories(folder);
  }
  ~FilesTest() override { fs::remove_all(folder); }

  void WriteFile(const fs::path& path, const std::string& bytes) {
    fs::create_directories((folder / path).parent_path());
    std::ofstream(folder / path, std::ios::binary) << bytes;
  }

  const fs::path folder = fs::path(::testing::TempDir()) /
                          ::testing::UnitTest::GetInstance()->current_test_info()->name();
  Client client{std::getenv("GRADWIRE_TARGET")};
  Session session = client.OpenSession();
};

// y = x * k, with `count` elements of k kept at a location.
v1::ModelProto ScaleModel(int64_t count, const std::string& location) {
  v1::ModelProto model;
  model.set_ir_version(8);
  model.add_opset_import()->set_version(18);
  v1::GraphProto& graph = *model.mutable_graph();
  graph.set_name("scale");
  *graph.add_node() = Node("Mul", {"x", "k"}, {"y"});
  v1::TensorProto& k = *graph.add_initializer();
  k.set_name("k");
  k.set_data_type(v1::TensorProto_DataType_FLOAT);
  k.add_dims(count);
  k.set_data_location(v1::TensorProto_DataLocation_EXTERNAL);
  v1::StringStringEntryProto& entry = *k.add_external_data();
  entry.set_key("location");
  entry.set_value(location);
  for (const char* name : {"x", "y"}) {
    v1::ValueInfoProto& value = *(name[0] == 'x' ? graph.add_input() : graph.add_output());
    value.set_name(name);
    value.mutable_type()->mutable_tensor_type()->set_elem_type(v1::TensorProto_DataType_FLOAT);
  }
  return model;
}

TEST_F(FilesTest, ExternalDataIsSentWithTheModel) {
  const std::string model = ScaleModel(3 << 20, "weights/k.bin").SerializeAsString();
  const std::vector<float> k(3 << 20, 2.5F);  // six parts of a message's size
  WriteFile("weights/k.bin", {reinterpret_cast<const char*>(k.data()), k.size() * sizeof(float)});
  ProgramOptions options;
  options.external = FindExternalFiles(model, folder);
  ASSERT_EQ(options.external.count("weights/k.bin"), 1U);
  EXPECT_THAT(session.LoadProgram("scale", model, options).parameters(), ElementsAre("scale/k"));
  EXPECT_THAT(session.Fetch("scale/k").values<float>(), Each(2.5F));

  EXPECT_THROW(session.LoadProgram("other", model), InvalidModel);  // the bytes do not come
  options.external["weights/k.bin"] = folder / "nowhere";
  EXPECT_THROW(session.LoadProgram("other", model, options), fs::filesystem_error);
  options.external["weights/k.bin"] = folder;
  EXPECT_THROW(session.LoadProgram("other", model, options), fs::filesystem_error);
  EXPECT_EQ(session.ListPrograms().size(), 1U);
}

TEST_F(FilesTest, ExternalDataStaysInItsFolder) {
  WriteFile("secret", "1234");
  WriteFile("model/here", "1234");
  fs::create_symlink(folder / "secret", folder / "model" / "link");
  const fs::path inside = folder / "model";
  const auto find = [&](const std::string& location) {
    return FindExternalFiles(ScaleModel(1, location).SerializeAsString(), inside);
  };
  EXPECT_EQ(find("here").size(), 1U);
  for (const char* location : {"../secret", "link", "/etc/hostname", "a/../../secret", "C:\\secret",
                               "..\\secret", "", "nowhere", "."}) {
    try {
      find(location);
      ADD_FAILURE() << location;
    } catch (const InvalidModel& error) {
      EXPECT_EQ(error.metadata().at("tensor"), "k");
    }
  }
  EXPECT_THROW(FindExternalFiles("no model, but a location", inside), InvalidModel);
  EXPECT_TRUE(FindExternalFiles("no model", inside).empty());  // the server says so
}

TEST_F(FilesTest, NodesAreRecordedOnce) {
  v1::LoadProgramRequest head;
  head.set_program("double");
  *head.mutable_graph()->add_node() = Node("Add", {"x", "x"}, {"y"});
  head.mutable_graph()->add_input()->set_name("x");
  head.mutable_graph()->add_output()->set_name("y");
  EXPECT_THAT(session.LoadProgram(head).operators(), ElementsAre("Add"));
  v1::ForwardRequest forward;
  forward.set_program("double");
  *forward.add_feeds() = ToProto<float>("x", {1}, std::vector<float>{4});
  forward.add_fetch("y");
  EXPECT_EQ(FromProto(session.Forward(forward).fetched(0)).item<float>(), 8);
}

TEST_F(FilesTest, ASessionIsSavedAndRestored) {
  const std::vector<float> big(2 << 20, 0.5F);  // parts: four
  const std::vector<float> w = {1, 2};
  session.Put({View<float>("big", {2 << 20}, big)});
  session.Put({View<float>("w", {2}, w)}, /*requires_grad=*/true);
  v1::LoadProgramRequest head;
  head.set_program("double");
  *head.mutable_graph()->add_node() = Node("Add", {"x", "x"}, {"y"});
  head.mutable_graph()->add_input()->set_name("x");
  head.mutable_graph()->add_output()->set_name("y");
  session.LoadProgram(head);

  const fs::path saved = folder / "made" / "for it";
  EXPECT_THAT(session.Save(saved),
              ElementsAre(saved / "tensors.safetensors", saved / "programs/double.onnx"));
  EXPECT_GT(fs::file_size(saved / "tensors.safetensors"), big.size() * sizeof(float));
  Session other = client.OpenSession();
  const v1::RestoreSessionResponse restored = other.Restore(saved);
  EXPECT_EQ(restored.tensors_size(), 2);
  EXPECT_EQ(restored.programs(0).program(), "double");
  EXPECT_TRUE(other.DescribeTensor("w").requires_grad());
  EXPECT_THAT(other.Fetch("big").values<float>(), Each(0.5F));

  session.Save(folder / "part", {"w"});
  Session third = client.OpenSession();
  EXPECT_EQ(third.Restore(folder / "part").tensors_size(), 1);
  EXPECT_THROW(session.Save(folder / "none", {"nowhere"}), TensorNotFound);
  EXPECT_THROW(session.Restore(folder / "nowhere"), fs::filesystem_error);
  WriteFile("file", "in the way");
  EXPECT_THROW(session.Save(folder / "file"), fs::filesystem_error);
  WriteFile("bad/tensors.safetensors", "no such thing");
  EXPECT_THROW(third.Restore(folder / "bad"), InvalidArgument);
  EXPECT_EQ(third.Describe().tensor_count(), 1);
}

TEST_F(FilesTest, AReleasedSessionIsTakenUpByItsId) {
  SessionOptions options;
  options.session_id = "0123456789abcdef0123456789abcde" + std::to_string(getpid() % 10);
  Session first = client.OpenSession(options);
  EXPECT_EQ(first.id(), options.session_id);
  const std::vector<float> one = {1};
  first.Put({View<float>("x", {1}, one)});
  const v1::RunRequest doubling = Batch(Forward({Node("Add", {"x", "x"}, {"x"})}));
  first.Run(doubling);
  first.Release();
  Session second = Client(std::getenv("GRADWIRE_TARGET")).OpenSession(options);
  second.Run(doubling);  // the same command under a number of its own
  EXPECT_EQ(second.Fetch("x").item<float>(), 4);
  options.session_id = "short";
  EXPECT_THROW(client.OpenSession(options), InvalidArgument);
}

}  // namespace
}  // namespace gradwire::client
