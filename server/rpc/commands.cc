#include "rpc/commands.h"

#include <fmt/format.h>

#include <utility>

#include "core/error.h"
#include "core/strings.h"
#include "graph/on_host.h"
#include "rpc/chrome_trace.h"
#include "rpc/model.h"
#include "rpc/node.h"
#include "rpc/value_info.h"
#include "rpc/wire.h"
#include "session/gradient_node.h"

namespace gradwire::rpc {
namespace {

template <class Field>
void EncodeInfos(const std::vector<TensorInfo>& infos, Field* field) {
  for (const TensorInfo& info : infos) EncodeInfo(info, field->Add());
}

// Bytes of an array in an answer. How many strings take is seen when they are computed.
int64_t EncodedBytes(const Value& value) {
  if (value.dtype() != DType::kString) return value.spec().bytes();
  constexpr int64_t kTagAndLength = 6;
  int64_t bytes = 0;
  const Tensor host = OnHost(value);
  for (const std::string_view text : Texts(host)) {
    bytes += std::ssize(text) + kTagAndLength;
  }
  return bytes;
}

// Encodes an array once it is computed, into a message that is there from now on.
void EncodeLater(CommandScope& scope, const std::string& name, const Value& value,
                 v1::TensorProto* proto) {
  scope.Answer(EncodedBytes(value));
  scope.answers.emplace_back(name, value);
  scope.after_commit.push_back([&scope, proto, name, value] {
    Encode(name, value.tensor(), scope.session.stream(), scope.payloads, proto);
  });
}

// The arrays are announced in the order of the answer's fields.
template <class Tensors, class Sequences, class Optionals>
void EncodeLater(CommandScope& scope, const std::vector<NamedItem>& items, Tensors* tensors,
                 Sequences* sequences, Optionals* optionals) {
  for (const auto& [name, item] : items) {
    if (item.is_tensor()) EncodeLater(scope, name, item.tensor(), tensors->Add());
  }
  for (const auto& [name, item] : items) {
    if (item.is_sequence()) {
      v1::SequenceProto* proto = sequences->Add();
      proto->set_name(name);
      proto->set_elem_type(v1::SequenceProto::TENSOR);
      for (const Value& element : item.sequence().elements) {
        EncodeLater(scope, "", element, proto->add_tensor_values());
      }
    } else if (item.is_empty()) {
      v1::OptionalProto* proto = optionals->Add();
      proto->set_name(name);
      proto->set_elem_type(item.type().sequence ? v1::OptionalProto::SEQUENCE
                                                : v1::OptionalProto::TENSOR);
    }
  }
}

template <class Field>
std::vector<NamedTensor> TakeAll(const Field& field, CommandScope& scope) {
  std::vector<NamedTensor> tensors;
  for (const v1::TensorProto& proto : field) tensors.emplace_back(proto.name(), scope.Take(proto));
  return tensors;
}

template <class Field>
void EncodeProducts(CommandScope& scope, const std::vector<NamedItem>& products, Field* field) {
  for (const auto& [name, product] : products) {
    EncodeLater(scope, name, product.tensor(), field->Add());
  }
}

template <class Protos>
void TakeItems(const Protos& protos, CommandScope& scope, std::vector<NamedItem>& items) {
  const DecodeArray take = [&](const v1::TensorProto& proto) { return scope.Take(proto); };
  for (const auto& proto : protos) items.emplace_back(proto.name(), DecodeItem(proto, take));
}

template <class Proto>
SeedArg DecodeVector(const std::string& of, const Proto& proto, CommandScope& scope) {
  SeedArg arg{of, proto.tensor(), std::nullopt};
  if (proto.has_value()) arg.value = scope.Take(proto.value());
  return arg;
}

template <class Field>
std::vector<SeedArg> DecodeSeeds(const Field& field, CommandScope& scope) {
  std::vector<SeedArg> seeds;
  for (const v1::Seed& proto : field) seeds.push_back(DecodeVector(proto.root(), proto, scope));
  return seeds;
}

template <class Field>
std::vector<SeedArg> DecodeTangents(const Field& field, CommandScope& scope) {
  std::vector<SeedArg> tangents;
  for (const v1::Tangent& proto : field) {
    tangents.push_back(DecodeVector(proto.input(), proto, scope));
  }
  return tangents;
}

// What Jvp and Hvp have in common.
template <class Request>
ProductArgs DecodeProduct(const Request& request) {
  ProductArgs args;
  args.names = Strings(request.names());
  args.options = {request.retain_graph(), request.create_graph()};
  args.fetch = request.fetch();
  args.detect_anomaly = request.detect_anomaly();
  return args;
}

// Called before the command is traced: some operators run already then.
template <class Request, class Response>
void ProfileIfAsked(CommandScope& scope, const Request& request, Response* response) {
  if (request.profile()) scope.AnswerProfile(response->mutable_profile());
}

}  // namespace

void CommandScope::AnswerProfile(std::string* answer) {
  transaction.set_profile(profile);
  after_commit.push_back(
      [this, answer, command = transaction.command()] { *answer = ChromeTrace(profile, command); });
}

void CommandScope::Answer(int64_t bytes) {
  answer_bytes += bytes;
  if (answer_bytes <= kMaxAnswerBytes) return;
  throw Error(reason::kInvalidArgument,
              fmt::format("the arrays of an answer take at most {} bytes, {} are asked for: ask "
                          "for less, or use FetchStream",
                          kMaxAnswerBytes, answer_bytes));
}

Tensor CommandScope::Take(const v1::TensorProto& proto) {
  const auto decoded = given.find(&proto);
  return decoded != given.end() ? decoded->second : Decode(proto, session.stream(), payloads);
}

void Put(CommandScope& scope, const v1::PutRequest& request, v1::PutResponse* response) {
  EncodeInfos(scope.transaction.Put(TakeAll(request.tensors(), scope), request.requires_grad()),
              response->mutable_tensors());
}

void Fetch(CommandScope& scope, const v1::FetchRequest& request, v1::FetchResponse* response) {
  EncodeLater(scope, scope.transaction.Fetch(Strings(request.names())), response->mutable_tensors(),
              response->mutable_sequences(), response->mutable_optionals());
}

void Forward(CommandScope& scope, const v1::ForwardRequest& request,
             v1::ForwardResponse* response) {
  ProfileIfAsked(scope, request, response);
  if (request.program().empty() == (request.nodes_size() == 0)) {
    throw Error(reason::kInvalidArgument, "give either `nodes` or a `program`");
  }
  ForwardArgs args;
  const OpsetImports imports = DecodeImports(request.opset_import());
  for (int i = 0; i < request.nodes_size(); ++i) {
    args.nodes.push_back(DecodeNode(request.nodes(i), {imports, i, request.nodes(i).name()}));
  }
  ResolveGradients(args.nodes);
  args.program = request.program();
  args.bindings = {request.bindings().begin(), request.bindings().end()};
  args.feeds = TakeAll(request.feeds(), scope);
  TakeItems(request.sequence_feeds(), scope, args.item_feeds);
  TakeItems(request.optional_feeds(), scope, args.item_feeds);
  args.outputs = Strings(request.outputs());
  args.fetch = Strings(request.fetch());
  args.no_grad = request.no_grad();
  args.announce = Strings(request.announce());
  args.checkpoint = request.checkpoint();
  args.detect_anomaly = request.detect_anomaly();
  ForwardResult result = scope.transaction.Forward(std::move(args));
  EncodeInfos(result.outputs, response->mutable_outputs());
  EncodeLater(scope, result.fetched, response->mutable_fetched(),
              response->mutable_fetched_sequences(), response->mutable_fetched_optionals());
}

void Backward(CommandScope& scope, const v1::BackwardRequest& request,
              v1::BackwardResponse* response) {
  ProfileIfAsked(scope, request, response);
  const BackwardArgs args{Strings(request.roots()),
                          DecodeSeeds(request.seeds(), scope),
                          {request.retain_graph(), request.create_graph()},
                          Strings(request.inputs()),
                          Strings(request.retain_grad()),
                          request.detect_anomaly()};
  EncodeInfos(scope.transaction.Backward(args), response->mutable_gradients());
}

void Gradients(CommandScope& scope, const v1::GradientsRequest& request,
               v1::GradientsResponse* response) {
  ProfileIfAsked(scope, request, response);
  const GradientsArgs args{Strings(request.outputs()),
                           DecodeSeeds(request.seeds(), scope),
                           Strings(request.inputs()),
                           Strings(request.names()),
                           {request.retain_graph(), request.create_graph()},
                           request.allow_unused(),
                           request.detect_anomaly()};
  EncodeInfos(scope.transaction.Gradients(args), response->mutable_gradients());
}

void Jvp(CommandScope& scope, const v1::JvpRequest& request, v1::JvpResponse* response) {
  ProfileIfAsked(scope, request, response);
  ProductArgs args = DecodeProduct(request);
  args.outputs = Strings(request.outputs());
  args.vectors = DecodeTangents(request.tangents(), scope);
  for (const v1::Tangent& tangent : request.tangents()) args.inputs.push_back(tangent.input());
  ProductResult result = scope.transaction.Jvp(args);
  EncodeInfos(result.products, response->mutable_tangents());
  EncodeProducts(scope, result.fetched, response->mutable_fetched());
}

void Hvp(CommandScope& scope, const v1::HvpRequest& request, v1::HvpResponse* response) {
  ProfileIfAsked(scope, request, response);
  ProductArgs args = DecodeProduct(request);
  args.outputs = {request.output()};
  args.inputs = Strings(request.inputs());
  args.vectors = DecodeTangents(request.vectors(), scope);
  ProductResult result = scope.transaction.Hvp(args);
  EncodeInfos(result.products, response->mutable_products());
  EncodeProducts(scope, result.fetched, response->mutable_fetched());
}

void Detach(CommandScope& scope, const v1::DetachRequest& request, v1::DetachResponse* response) {
  EncodeInfo(scope.transaction.Detach(request.from(), request.to(), request.requires_grad()),
             response->mutable_tensor());
}

void Copy(CommandScope& scope, const v1::CopyRequest& request, v1::CopyResponse* response) {
  EncodeInfo(scope.transaction.Copy(request.from(), request.to()), response->mutable_tensor());
}

void Delete(CommandScope& scope, const v1::DeleteRequest& request, v1::DeleteResponse*) {
  scope.transaction.Delete(Strings(request.names()), request.missing_ok());
}

void ListTensors(CommandScope& scope, const v1::ListTensorsRequest& request,
                 v1::ListTensorsResponse* response) {
  EncodeInfos(scope.transaction.ListTensors(request.prefix()), response->mutable_tensors());
}

void DescribeTensor(CommandScope& scope, const v1::DescribeTensorRequest& request,
                    v1::DescribeTensorResponse* response) {
  EncodeInfo(scope.transaction.DescribeTensor(request.name()), response->mutable_tensor());
}

void ZeroGrad(CommandScope& scope, const v1::ZeroGradRequest& request, v1::ZeroGradResponse*) {
  scope.transaction.ZeroGrad(Strings(request.parameters()));
}

void ListPrograms(CommandScope& scope, const v1::ListProgramsRequest&,
                  v1::ListProgramsResponse* response) {
  for (const auto& [name, program] : scope.session.programs()) {
    EncodeProgram(*program, response->add_programs());
  }
}

void DescribeProgram(CommandScope& scope, const v1::DescribeProgramRequest& request,
                     v1::DescribeProgramResponse* response) {
  DescribeArgs args{request.program(), {}, {request.dims().begin(), request.dims().end()}};
  for (const auto& [name, spec] : request.inputs()) args.inputs[name] = DecodeSpec(spec);
  const ProgramDescription description = scope.transaction.DescribeProgram(args);
  EncodeProgram(*description.program, response->mutable_program());
  for (const ValueInfo& info : description.values) EncodeValueInfo(info, response->add_values());
}

void UnloadProgram(CommandScope& scope, const v1::UnloadProgramRequest& request,
                   v1::UnloadProgramResponse*) {
  scope.transaction.UnloadProgram(request.program());
}

void SetVjp(CommandScope& scope, const v1::SetVjpRequest& request, v1::SetVjpResponse* response) {
  EncodeProgram(*scope.transaction.SetVjp(request.program(), request.vjp()),
                response->mutable_program());
}

void GetGraph(CommandScope& scope, const v1::GetGraphRequest& request,
              v1::GetGraphResponse* response) {
  *response->mutable_model() =
      EncodeGraph(request.name(), scope.transaction.GetGraph(request.name()));
  response->set_dot(ToDot(response->model().graph()));
}

void DescribeSession(CommandScope& scope, const v1::DescribeSessionRequest&,
                     v1::DescribeSessionResponse* response) {
  const Session& session = scope.session;
  response->set_device(session.device().name());
  response->mutable_lease()->set_seconds(session.lease().count() / 1000);
  response->mutable_lease()->set_nanos(
      static_cast<int32_t>(session.lease().count() % 1000 * 1000000));
  response->set_used_bytes(session.quota().used());
  response->set_peak_bytes(session.quota().peak());
  response->set_max_bytes(session.quota().limit());
  response->set_tensor_count(static_cast<int64_t>(session.names().size()));
  response->set_program_count(static_cast<int64_t>(session.programs().size()));
}

}  // namespace gradwire::rpc
