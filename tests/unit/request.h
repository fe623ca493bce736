// Requests to a session without a server; for tests.
#ifndef GRADWIRE_TESTS_UNIT_REQUEST_H_
#define GRADWIRE_TESTS_UNIT_REQUEST_H_

#include <algorithm>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "backend/on_host.h"
#include "session/session.h"
#include "session/transaction.h"

namespace gradwire::testing {

// Verbs, and the elements of the arrays that come with them.
struct Request {
  std::string key;
  std::function<std::vector<NamedItem>(Transaction&, const std::vector<Tensor>& given)> verbs;
  std::vector<std::vector<float>> given = {};
};

struct Answer {
  std::vector<NamedTensor> arrays;
  bool repeated = false;  // from a plan
};

template <class T>
Tensor ArrayOf(Session& session, const TensorSpec& spec, const std::vector<T>& elements) {
  Tensor host = AllocateTensor(session.stream().host(), spec);
  std::copy(elements.begin(), elements.end(), host.mutable_data<T>());
  return FromHost(std::move(host), session.stream());
}

// As rpc/execute.cc does.
inline Answer RunRequest(Session& session, const Request& request) {
  std::vector<Tensor> given;
  for (const auto& elements : request.given) {
    const auto count = static_cast<int64_t>(elements.size());
    given.push_back(ArrayOf(session, {DType::kFloat32, {count}}, elements));
  }
  CommandCache& cache = session.commands();
  if (const CachedCommandPtr command = cache.Find(request.key)) {
    Transaction transaction(session, [] {});
    if (auto answers = transaction.Repeat(*command, given)) return {std::move(*answers), true};
  }
  Transaction transaction(session, [] {});
  if (cache.Wants(request.key)) transaction.Record(request.key, given);
  std::vector<NamedValue> fetched;
  for (const auto& [name, item] : request.verbs(transaction, given)) {
    fetched.emplace_back(name, item.tensor());
  }
  transaction.Answer(fetched, "");
  transaction.Commit();
  Answer answer;
  for (const auto& [name, value] : fetched) answer.arrays.emplace_back(name, value.tensor());
  return answer;
}

}  // namespace gradwire::testing

#endif  // GRADWIRE_TESTS_UNIT_REQUEST_H_
