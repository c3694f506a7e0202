// Any text as a model's configuration in each dialect: one clear error, or facts that can be written again.
#include <cstdint>
#include <string_view>

#include "base/json.h"
#include "files/model_facts.h"

namespace {

void rewrite(const maestrale::Result<maestrale::files::ModelFacts>& facts) {
  if (!facts.ok()) return;
  maestrale::files::GgufKeys keys;
  maestrale::files::add_gguf_keys(*facts, keys);
  (void)maestrale::files::hugging_face_config(*facts, "bfloat16").ok();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto parsed = maestrale::parse_json({reinterpret_cast<const char*>(data), size}, "input");
  if (!parsed.ok() || !parsed->is_object()) return 0;
  rewrite(maestrale::files::facts_from_hugging_face(parsed->get_object(), "config.json"));
  rewrite(maestrale::files::facts_from_mistral(parsed->get_object(), "params.json"));
  rewrite(maestrale::files::facts_from_llama2c(parsed->get_object(), "header"));
  maestrale::files::Checkpoint checkpoint;
  checkpoint.metadata = parsed->get_object();
  rewrite(maestrale::files::facts_from_gguf(checkpoint, "keys"));
  return 0;
}
