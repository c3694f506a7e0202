// maestrale tokenize and detokenize: text to token ids and back, as one JSON array.
#include <boost/json/serialize.hpp>
#include <memory>

#include "app/commands/commands.h"
#include "app/render.h"
#include "app/session.h"
#include "base/utf8.h"

namespace maestrale::app {
namespace {

struct Options {
  std::string model;
  bool special = false, add_special = false;
  CommonOptions common;
};

Status tokenize(const Options& options) {
  const auto tokenizer = TRY(open_tokenizer(options.model));
  const std::string text = TRY(read_stdin(kMaxInputBytes));
  const auto tokens =
      tokenizer->encode(text, {.add_special = options.add_special, .parse_special = options.special});
  json::array ids(tokens.begin(), tokens.end());
  if (!options.common.json) return write_json(ids);
  json::array pieces;
  for (const text::TokenId token : tokens)
    pieces.push_back(json::value(replace_invalid_utf8(tokenizer->bytes(token))));
  return write_json(json::object{{"model", options.model},
                                 {"family", tokenizer->family()},
                                 {"count", tokens.size()},
                                 {"tokens", std::move(ids)},
                                 {"pieces", std::move(pieces)}});
}

Result<std::vector<text::TokenId>> read_ids(const std::string& input, std::int64_t vocabulary) {
  const std::string where = "standard input";
  const json::value value = TRY(parse_json(input, where));
  const json::value* list = &value;
  if (const json::object* object = value.if_object()) list = object->if_contains("tokens");
  if (list == nullptr || !list->is_array()) {
    return Error{
        .what = "no list of token ids", .where = where, .expected = "a JSON array such as [1, 2, 3]"};
  }
  std::vector<text::TokenId> tokens;
  for (const json::value& entry : list->get_array()) {
    const bool fits = entry.is_int64() && entry.get_int64() >= 0 && entry.get_int64() < vocabulary;
    if (!fits) {
      return Error{.what = "unusable token id",
                   .where = where + ": entry " + std::to_string(tokens.size()),
                   .expected = "a whole number from 0 to " + std::to_string(vocabulary - 1),
                   .found = json::serialize(entry)};
    }
    tokens.push_back(static_cast<text::TokenId>(entry.get_int64()));
  }
  return tokens;
}

Status detokenize(const Options& options) {
  const auto tokenizer = TRY(open_tokenizer(options.model));
  const auto tokens = TRY(read_ids(TRY(read_stdin(kMaxInputBytes)), tokenizer->size()));
  const std::string text = tokenizer->decode(tokens, {.skip_special = !options.special});
  if (!options.common.json) return write_out(text);
  return write_json(json::object{{"text", replace_invalid_utf8(text)}, {"count", tokens.size()}});
}

constexpr const char* kModelHelp =
    "model, or a vocabulary alone: tokenizer.json, tokenizer.model, tekken.json, GGUF, tokenizer.bin";

}  // namespace

Command add_tokenize(CLI::App& root) {
  auto options = std::make_shared<Options>();
  CLI::App* app = root.add_subcommand("tokenize", "text on standard input to token ids");
  add_text(*app, "MODEL", options->model, kModelHelp)->required();
  app->add_flag("--special", options->special, "text that spells a special token becomes that token");
  app->add_flag("--add-special", options->add_special, "add what the model puts round a text, such as BOS");
  add_common_options(*app, options->common);
  app->footer(
      "Examples:\n"
      "  echo -n \"Hello, world\" | maestrale tokenize model.gguf\n"
      "  maestrale tokenize tekken.json --special --json < prompt.txt");
  return {app, [options] { return tokenize(*options); }};
}

Command add_detokenize(CLI::App& root) {
  auto options = std::make_shared<Options>();
  CLI::App* app = root.add_subcommand("detokenize", "token ids on standard input to text");
  add_text(*app, "MODEL", options->model, kModelHelp)->required();
  app->add_flag("--special", options->special, "spell special tokens out instead of leaving them out");
  add_common_options(*app, options->common);
  app->footer(
      "Example:\n"
      "  echo \"[9906, 11, 1917]\" | maestrale detokenize ./Llama-3.1-8B\n"
      "Bytes are written as they are, without a newline at the end.");
  return {app, [options] { return detokenize(*options); }};
}

}  // namespace maestrale::app
