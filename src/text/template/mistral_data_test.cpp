#include "text/template/mistral_test_data.h"

#include <fmt/core.h>

namespace maestrale::text {
namespace {

std::string base64_of_byte(unsigned byte) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  return {kDigits[byte >> 2], kDigits[(byte & 3) << 4], '=', '='};
}

}  // namespace

std::string small_tekken(int version) {
  std::vector<std::string> controls = {"<unk>",
                                       "<s>",
                                       "</s>",
                                       "[INST]",
                                       "[/INST]",
                                       "[AVAILABLE_TOOLS]",
                                       "[/AVAILABLE_TOOLS]",
                                       "[TOOL_RESULTS]",
                                       "[/TOOL_RESULTS]",
                                       "[TOOL_CALLS]",
                                       "[IMG]",
                                       "<pad>",
                                       "[IMG_BREAK]",
                                       "[IMG_END]",
                                       "[PREFIX]",
                                       "[MIDDLE]",
                                       "[SUFFIX]",
                                       "[SYSTEM_PROMPT]",
                                       "[/SYSTEM_PROMPT]",
                                       "[TOOL_CONTENT]"};
  while (controls.size() < 32) controls.push_back(fmt::format("<SPECIAL_{}>", controls.size()));
  if (version > 7) controls.insert(controls.end(), {"[ARGS]", "[CALL_ID]"});
  if (version > 11) controls.insert(controls.end(), {"[THINK]", "[/THINK]"});
  if (version > 13) controls.insert(controls.end(), {"[MODEL_SETTINGS]", "[/MODEL_SETTINGS]"});
  std::string specials, vocabulary;
  for (std::size_t i = 0; i < controls.size(); ++i) {
    specials += fmt::format(R"({}{{"rank":{},"token_str":"{}","is_control":true}})", i > 0 ? "," : "", i,
                            controls[i]);
  }
  for (unsigned byte = 0; byte < 256; ++byte) {
    vocabulary += fmt::format(R"({}{{"rank":{},"token_bytes":"{}","token_str":null}})", byte > 0 ? "," : "",
                              byte, base64_of_byte(byte));
  }
  const std::string settings =
      version < 15 ? ""
                   : R"(,"model_settings_builder":{"reasoning_effort":{"type":"enum","accepts_none":true,)"
                     R"("values":["none","high"],"default":"none"}})";
  return fmt::format(
      R"({{"config":{{"pattern":".+","num_vocab_tokens":256,"default_vocab_size":356,)"
      R"("default_num_special_tokens":100,"version":"v{}"}},"special_tokens":[{}],"vocab":[{}]{}}})",
      version, specials, vocabulary, settings);
}

TokenizerPtr small_tekken_tokenizer(int version) {
  auto loaded = tokenizer_from_tekken(small_tekken(version), "tekken.json");
  if (!loaded.ok()) throw std::runtime_error(loaded.error().render());
  return std::move(loaded).value();
}

}  // namespace maestrale::text
