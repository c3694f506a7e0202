#include "files/adapter.h"

#include <array>
#include <cmath>
#include <string_view>
#include <utility>

#include "base/json.h"
#include "files/gguf_reader.h"
#include "files/openers.h"
#include "files/safetensors_reader.h"

namespace maestrale::files {
namespace {

namespace fs = std::filesystem;

Error refuse(const fs::path& path, const std::string& what, const std::string& expected,
             const std::string& found) {
  return Error{.kind = ErrorKind::kUnsupported,
               .what = what,
               .where = path.string(),
               .expected = expected,
               .found = found};
}

// What `value` says and we do not do: a true flag, a list or object with entries.
bool says_something(const json::value* value) {
  if (value == nullptr) return false;
  if (value->is_bool()) return value->get_bool();
  if (value->is_object()) return !value->get_object().empty();
  if (value->is_array()) return !value->get_array().empty();
  return !value->is_null();
}

// Ways to begin the training that take the beginning out of the base's weights (pissa, olora, loftq, …) go
// with weights that are nowhere in the files.
Status check_start(const JsonFields& fields, const fs::path& path) {
  const char* key = "init_lora_weights";
  if (!fields.has(key) || !fields.find(key)->is_string()) return {};
  const std::string way = TRY(fields.string(key));
  for (const char* harmless : {"gaussian", "orthogonal", "eva"}) {
    if (way == harmless) return {};
  }
  return refuse(path, "setting 'init_lora_weights' of the adapter is not supported",
                "true, false, gaussian, orthogonal or eva", way);
}

// Settings of adapter_config.json that change the mathematics.
Status read_peft_config(const fs::path& path, Adapter& out) {
  const json::object config = TRY(read_json_object(path));
  const JsonFields fields(config, path.string());
  const std::string type = TRY(fields.string("peft_type"));
  if (type != "LORA") return refuse(path, "adapters of this type are not supported", "LORA", type);
  for (const char* key : {"use_dora", "fan_in_fan_out", "modules_to_save", "alpha_pattern", "megatron_config",
                          "layer_replication", "lora_bias", "trainable_token_indices", "use_qalora",
                          "target_parameters", "alora_invocation_tokens", "arrow_config"}) {
    if (says_something(fields.has(key) ? fields.find(key) : nullptr)) {
      return refuse(path, "setting '" + std::string(key) + "' of the adapter is not supported",
                    "false or absent", "a value that says otherwise");
    }
  }
  TRY(check_start(fields, path));
  const std::string bias = TRY(fields.string_or("bias", "none"));
  if (bias != "none") return refuse(path, "setting 'bias' of the adapter is not supported", "none", bias);
  out.alpha = TRY(fields.number("lora_alpha"));
  out.rank_stabilised = TRY(fields.boolean_or("use_rslora", false));
  return {};
}

// Cuts `tail` off the end of `name`.
bool cut(std::string& name, std::string_view tail) {
  if (!name.ends_with(tail)) return false;
  name.resize(name.size() - tail.size());
  return true;
}

// "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight" -> "layers.0.self_attn.q_proj"; which
// side.
struct Side {
  std::string module;
  bool is_a = false;
};
Result<Side> peft_side(const TensorView& tensor, const fs::path& path) {
  Side side{.module = tensor.name};
  for (const std::string_view name : {".weight", ".default.weight"}) {
    for (const bool is_a : {true, false}) {
      if (!cut(side.module, std::string(is_a ? ".lora_A" : ".lora_B") + std::string(name))) continue;
      const std::size_t layers = side.module.find("layers.");
      if (layers != side.module.npos) side.module.erase(0, layers);
      side.is_a = is_a;
      return side;
    }
  }
  return refuse(path, "tensor '" + tensor.name + "' of the adapter is not understood",
                "names that end in lora_A.weight or lora_B.weight", tensor.name);
}

Result<Side> gguf_side(const TensorView& tensor, const fs::path& path) {
  Side side{.module = tensor.name};
  side.is_a = cut(side.module, ".weight.lora_a");
  if (side.is_a || cut(side.module, ".weight.lora_b")) return side;
  return refuse(path, "tensor '" + tensor.name + "' of the adapter is not understood",
                "names that end in .weight.lora_a or .weight.lora_b", tensor.name);
}

// Matrices, or stacks of them in a GGUF adapter, with one rank.
bool fits_together(const LowRankPair& pair, bool gguf) {
  const std::vector<std::int64_t>&a = pair.a.shape, &b = pair.b.shape;
  const bool stacks = gguf && a.size() == 3 && b.size() == 3 && a[0] == b[0];
  if (!stacks && (a.size() != 2 || b.size() != 2)) return false;
  return pair.a.elements() > 0 && pair.b.elements() > 0 && a[a.size() - 2] == b.back();
}

Status sort_tensors(std::vector<TensorView>& tensors, Adapter& out) {
  for (TensorView& tensor : tensors) {
    Side side = TRY(out.gguf ? gguf_side(tensor, out.path) : peft_side(tensor, out.path));
    LowRankPair& pair = out.pairs[side.module];
    TensorView& place = side.is_a ? pair.a : pair.b;
    if (!place.name.empty()) {
      return Error{.what = "two tensors for one side of '" + side.module + "'",
                   .where = out.path.string(),
                   .found = place.name + " and " + tensor.name};
    }
    place = std::move(tensor);
  }
  if (out.pairs.empty()) return Error{.what = "the adapter holds no tensors", .where = out.path.string()};
  for (const auto& [module, pair] : out.pairs) {
    if (fits_together(pair, out.gguf)) continue;
    return Error{.what = "the two sides of '" + module + "' do not fit together",
                 .where = out.path.string(),
                 .expected = "A [rank, inputs] and B [outputs, rank]",
                 .found = "A " + shape_text(pair.a.shape) + ", B " + shape_text(pair.b.shape)};
  }
  return {};
}

Result<Adapter> open_gguf_adapter(const fs::path& path, MappedFile mapped) {
  Adapter out{.path = path, .gguf = true, .architecture = {}, .pairs = {}, .mappings = {}};
  GgufFile file = TRY(parse_gguf(mapped.bytes(), path.string()));
  const JsonFields fields(file.metadata, path.string());
  const std::string type = TRY(fields.string_or("general.type", "model"));
  if (type != "adapter") return refuse(path, "the file is no adapter", "general.type 'adapter'", type);
  const std::string method = TRY(fields.string("adapter.type"));
  if (method != "lora") return refuse(path, "adapters of this type are not supported", "lora", method);
  out.architecture = TRY(fields.string_or("general.architecture", ""));
  if (fields.has("adapter.alora.invocation_tokens"))
    return refuse(path, "setting 'adapter.alora.invocation_tokens' of the adapter is not supported", "absent",
                  "a list of tokens");
  out.alpha = TRY(fields.number("adapter.lora.alpha"));
  TRY(sort_tensors(file.tensors, out));
  out.mappings.push_back(std::move(mapped));
  return out;
}

Result<Adapter> open_peft(const fs::path& folder) {
  const fs::path weights = folder / "adapter_model.safetensors";
  if (!fs::exists(folder / "adapter_config.json") || !fs::exists(weights)) {
    return Error{
        .kind = ErrorKind::kNotFound,
        .what = "no adapter in this folder",
        .where = folder.string(),
        .expected = "adapter_config.json and adapter_model.safetensors",
        .hint = fs::exists(folder / "adapter_model.bin") ? "pickles can run code and are not read" : ""};
  }
  Adapter out;
  out.path = folder;
  TRY(read_peft_config(folder / "adapter_config.json", out));
  MappedFile mapped = TRY(MappedFile::open(weights));
  SafetensorsFile file = TRY(parse_safetensors(mapped.bytes(), weights.string()));
  TRY(sort_tensors(file.tensors, out));
  out.mappings.push_back(std::move(mapped));
  return out;
}

}  // namespace

float Adapter::scale(std::int64_t rank) const {
  if (gguf && alpha == 0) return 1;  // as llama.cpp reads it
  const auto r = static_cast<double>(rank);
  return static_cast<float>(alpha / (rank_stabilised ? std::sqrt(r) : r));
}

Result<Adapter> open_adapter(const fs::path& path) {
  std::error_code code;
  if (!fs::exists(path, code)) {
    return Error{.kind = ErrorKind::kNotFound, .what = "no such adapter", .where = path.string()};
  }
  if (fs::is_directory(path, code)) return open_peft(path);
  if (path.filename() == "adapter_model.safetensors")
    return open_peft(path.has_parent_path() ? path.parent_path() : fs::path("."));
  MappedFile mapped = TRY(MappedFile::open(path));
  if (mapped.text().starts_with("GGUF")) return open_gguf_adapter(path, std::move(mapped));
  return refuse(path, "not an adapter this program reads",
                "a PEFT folder or a GGUF file of general.type 'adapter'", "a file of another format");
}

}  // namespace maestrale::files
