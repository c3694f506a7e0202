// Loading a model for `maestrale serve`: one that generates, or one that embeds and ranks.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "app/options.h"
#include "base/result.h"
#include "engine/prefix_store.h"
#include "serve/models.h"

namespace maestrale::app {

// An adapter under a name of its own.
struct ServedAdapter {
  std::string name, model;  // `model`: whose it is, by its name; empty: the first model's
  CommonOptions::AdapterFile file;
};
// "NAME=PATH[=SCALE]" or "NAME@MODEL=PATH[=SCALE]"
Result<ServedAdapter> parse_served_adapter(const std::string& text);

struct ServedModelOptions {
  std::string path;
  std::string name;            // empty: the file's
  bool embed = false;          // serve it for embeddings and reranking; encoders always are
  std::string template_file;   // instead of the model's own chat template; empty: its own
  std::int64_t queue = 256;    // requests that may wait
  std::int64_t running = 16;   // answers that are worked on together
  std::int64_t chunk = 512;    // prompt tokens of one step
  std::int64_t kv_tokens = 0;  // 0: what fits
  bool no_prefix_cache = false;
  std::string prefix_store;  // folder of prefixes that outlive the server; empty: none
  std::uint64_t prefix_store_bytes = engine::PrefixStoreOptions{}.bytes;
  std::vector<ServedAdapter> adapters = {};  // of this model
};

// What clients call the model.
std::string served_name(const ServedModelOptions& options);
// Adds the model and its adapters: loaded now, or, with `on_demand`, opened and checked now and loaded when
// it is asked for.
Status add_served_model(const ServedModelOptions& options, const CommonOptions& common, bool on_demand,
                        serve::Models& models);

}  // namespace maestrale::app
