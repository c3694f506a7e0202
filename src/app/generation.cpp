#include "app/generation.h"

#include <fmt/core.h>

#include <cmath>

#include "app/answer_printer.h"
#include "app/render.h"
#include "app/session.h"
#include "base/utf8.h"

namespace maestrale::app {
namespace {

json::value finite(float value) { return std::isfinite(value) ? json::value(value) : json::value(nullptr); }

std::string token_text(const engine::Engine& engine, text::TokenId token) {
  return engine.tokenizer() == nullptr ? "" : replace_invalid_utf8(engine.tokenizer()->bytes(token));
}

json::object logprob_json(const engine::Engine& engine, text::TokenId token, float logprob) {
  return {{"token", token}, {"text", token_text(engine, token)}, {"logprob", finite(logprob)}};
}

double rate(std::size_t count, double seconds) {
  return seconds > 0.0 ? static_cast<double>(count) / seconds : 0.0;
}

}  // namespace

Result<engine::GenerateRequest> make_request(std::vector<text::TokenId> prompt, const SamplingOptions& said,
                                             const CommonOptions& common, const engine::Engine& engine) {
  engine::GenerateRequest request;
  request.prompt = std::move(prompt);
  request.sampling = TRY(resolve_sampling(said, common, engine.checkpoint().generation_config));
  request.max_tokens = said.max_tokens;
  request.stop_strings = said.stop;
  request.ignore_end = said.ignore_end;
  request.drafts = said.drafts;
  return request;
}

Result<ShownGeneration> stream_generation(engine::Engine& engine, const engine::GenerateRequest& request,
                                          const CommonOptions& common, const StreamOptions& options) {
  ShownGeneration shown;
  Status written;
  AnswerPrinter printer(stdout_is_terminal());
  std::vector<chat::Event> turn;
  const auto show = [&](const std::vector<chat::Event>& events) {
    for (const chat::Event& event : events) chat::add_event(turn, event);
    return printer.show(events);
  };
  const auto write = [&](const std::string& text) {
    if (!common.json && !text.empty()) written = write_out(text);
  };
  const auto on_token = [&](const engine::TokenEvent& event) {
    if (options.keep_events && event.is_token) shown.events.push_back(event);
    if (options.turn == nullptr) {
      write(event.text);
    } else {
      write(show(event.is_token ? options.turn->push(event.token, event.text)
                                : options.turn->push(event.text)));
    }
    return written.ok() && !interrupted();
  };
  catch_interrupts();
  auto result = options.sequence < 0
                    ? engine.generate(request, on_token)
                    : engine.generate_on(options.sequence, options.cached, request, on_token);
  restore_interrupts();
  if (options.turn != nullptr && written.ok()) {
    write(show(options.turn->finish()));
    if (written.ok()) write(printer.finish());
  }
  TRY(std::move(written));
  shown.generation = TRY(std::move(result));
  shown.turn = chat::turn_of(turn);
  return shown;
}

json::object generation_json(const engine::Engine& engine, const engine::GenerateRequest& request,
                             const ShownGeneration& shown) {
  const engine::Generation& generation = shown.generation;
  json::object out;
  out["model"] = engine.checkpoint().path.string();
  out["prompt_tokens"] = request.prompt.size();
  out["tokens"] = json::array(generation.tokens.begin(), generation.tokens.end());
  out["text"] = generation.text;
  if (!shown.turn.reasoning.empty()) out["reasoning"] = shown.turn.reasoning;
  if (!shown.turn.calls.empty()) {
    json::array calls;
    for (const chat::Call& call : shown.turn.calls) {
      json::object entry{{"name", call.name}, {"arguments", call.arguments}};
      if (!call.id.empty()) entry["id"] = call.id;
      calls.push_back(std::move(entry));
    }
    out["tool_calls"] = std::move(calls);
  }
  if (!shown.turn.reasoning.empty() || !shown.turn.calls.empty()) out["content"] = shown.turn.text;
  out["finish_reason"] = engine::finish_reason_name(generation.reason);
  out["seed"] = request.sampling.seed;
  out["temperature"] = request.sampling.temperature;
  out["first_token_s"] = generation.first_token_s;
  out["prefill_s"] = generation.prefill_s;
  out["decode_s"] = generation.decode_s;
  out["guesses"] = generation.guesses;
  out["guessed_right"] = generation.guessed_right;
  if (!shown.events.empty()) {
    json::array logprobs;
    for (const engine::TokenEvent& event : shown.events) {
      json::object entry = logprob_json(engine, event.token, event.logprob);
      json::array top;
      for (const auto& other : event.top_logprobs)
        top.push_back(logprob_json(engine, other.token, other.logprob));
      entry["top"] = std::move(top);
      logprobs.push_back(std::move(entry));
    }
    out["logprobs"] = std::move(logprobs);
  }
  return out;
}

std::string speed_note(const engine::GenerateRequest& request, const engine::Generation& generation) {
  const std::size_t decoded = generation.tokens.empty() ? 0 : generation.tokens.size() - 1;
  return fmt::format(
      "{} prompt tokens at {:.1f} tokens/s, {} tokens at {:.1f} tokens/s, seed {}; ended by {}",
      request.prompt.size(), rate(request.prompt.size(), generation.prefill_s), generation.tokens.size(),
      rate(decoded, generation.decode_s), request.sampling.seed,
      engine::finish_reason_name(generation.reason));
}

void write_logprobs(const engine::Engine& engine, const std::vector<engine::TokenEvent>& events) {
  for (const engine::TokenEvent& event : events) {
    std::string line = fmt::format("{:9.4f} {:6} {}", event.logprob, event.token,
                                   show_text(token_text(engine, event.token)));
    for (const auto& other : event.top_logprobs) {
      line += fmt::format("  | {:.4f} {} {}", other.logprob, other.token,
                          show_text(token_text(engine, other.token)));
    }
    write_note(line);
  }
}

Status finish_generation(const engine::Engine& engine, const engine::GenerateRequest& request,
                         const ShownGeneration& shown, const CommonOptions& common) {
  if (common.json) {
    TRY(write_json(generation_json(engine, request, shown)));
  } else {
    TRY(write_out("\n"));
    write_logprobs(engine, shown.events);
  }
  if (!common.quiet && stderr_is_terminal()) write_note(speed_note(request, shown.generation));
  if (shown.generation.reason != engine::FinishReason::kCancelled) return {};
  return Error{.kind = ErrorKind::kCancelled, .what = "interrupted"};
}

}  // namespace maestrale::app
