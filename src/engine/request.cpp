#include "engine/request.h"

#include <utility>

#include "engine/identity.h"

namespace maestrale::engine {
namespace {

// Rows that other adapters made are other rows.
std::string salt_of(const Request& request, const Engine& engine) {
  if (!request.adapters) return request.tenant;
  return request.tenant + '\0' + adapters_text(*request.adapters, engine.adapter_identities());
}

}  // namespace

std::uint64_t Lane::order() const {
  return request->number * kMaxChoices + static_cast<std::uint64_t>(choice);
}

Result<std::unique_ptr<Request>> make_request(ServiceRequest asked, const Engine& engine,
                                              const ServiceOptions& options) {
  auto request = std::make_unique<Request>();
  request->tenant = std::move(asked.tenant);
  request->adapters = asked.generate.adapters;
  TRY(engine.check_adapters(request->adapters));
  request->salt = salt_of(*request, engine);
  request->weight = asked.weight;
  request->stream = std::make_shared<StreamState>(options.stream_bytes);
  request->usage.prompt_tokens = std::ssize(asked.generate.prompt);
  std::vector<PrefixKey> keys;
  extend_keys(prefix_root(request->salt), asked.generate.prompt, keys);
  for (int choice = 0; choice < asked.choices; ++choice) {
    std::unique_ptr<TokenConstraint> constraint = asked.constraint ? asked.constraint() : nullptr;
    Answer answer =
        TRY(Answer::create(asked.generate, engine.context(), engine.tokenizer(), constraint.get()));
    request->lanes.push_back(std::make_unique<Lane>(Lane{.request = request.get(),
                                                         .choice = choice,
                                                         .constraint = std::move(constraint),
                                                         .answer = std::move(answer),
                                                         .keys = keys}));
    ++asked.generate.sampling.seed;
  }
  return request;
}

}  // namespace maestrale::engine
