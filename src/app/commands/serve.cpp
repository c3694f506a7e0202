// maestrale serve: models behind the HTTP APIs that people's programs already speak.
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <memory>

#include "app/commands/commands.h"
#include "app/parse.h"
#include "app/render.h"
#include "app/served_model.h"
#include "app/settings.h"
#include "base/file.h"
#include "net/tls.h"
#include "serve/api.h"

namespace maestrale::app {
namespace {

constexpr std::uint64_t kMaxKeyBytes = 1u << 20;

constexpr double kDefaultKeep_s = 300;

struct Options {
  std::vector<std::string> models, embed;
  std::vector<std::string> names, keys, hosts, origins;
  std::string address = "127.0.0.1", keys_file, store, config, tls_certificate, tls_key;
  std::int64_t port = 8080, connections = 8192;
  ServedModelOptions each;
  std::vector<ServedAdapter> adapters;
  std::uint64_t body = 32 << 20;
  std::optional<double> drain_s, keep_alive_s;
  bool open_to_all = false, log_requests = false, on_demand = false;
  double keep_loaded_s = kDefaultKeep_s;
  bool keep_loaded_given = false, prefix_store_size_given = false;
  CommonOptions common;
};

// SIGTERM and SIGINT become bytes in a pipe, which the main thread reads.
int signal_pipe[2] = {-1, -1};

extern "C" void on_stop(int) {
  const char byte = 1;
  const ssize_t ignored = ::write(signal_pipe[1], &byte, 1);
  (void)ignored;
}

Status catch_stops() {
  if (::pipe(signal_pipe) != 0) return Error{.kind = ErrorKind::kIo, .what = "no pipe"};
  std::signal(SIGTERM, on_stop);
  std::signal(SIGINT, on_stop);
  return {};
}

void wait_for_stop() {
  char byte = 0;
  while (::read(signal_pipe[0], &byte, 1) < 0 && errno == EINTR) {
  }
  // The next one ends the program at once.
  std::signal(SIGTERM, SIG_DFL);
  std::signal(SIGINT, SIG_DFL);
}

Result<serve::GuardOptions> guard_options(const Options& options, const serve::Accounts* accounts) {
  serve::GuardOptions guard{
      .hosts = options.hosts, .origins = options.origins, .loopback = net::is_loopback(options.address)};
  std::string keys;
  for (const std::string& key : options.keys) keys += key + "\n";
  guard.keys = TRY(serve::read_keys(keys, "--api-key"));
  if (!options.keys_file.empty()) {
    for (serve::ApiKey& key :
         TRY(serve::read_keys(TRY(read_file(options.keys_file, kMaxKeyBytes)), options.keys_file)))
      guard.keys.push_back(std::move(key));
  }
  guard.ring = accounts != nullptr ? &accounts->keys() : nullptr;
  guard.open_to_all = options.open_to_all;
  if (options.open_to_all && !guard.keys.empty()) {
    return Error{.kind = ErrorKind::kUsage,
                 .what = "--no-keys lets anyone in, and keys were given",
                 .where = "--no-keys",
                 .hint = "leave out one of them"};
  }
  if (guard.loopback || !guard.keys.empty() || accounts != nullptr || options.open_to_all) return guard;
  return Error{.kind = ErrorKind::kUsage,
               .what = "other machines could use this server without a key",
               .where = "--host " + options.address,
               .hint = "give --store, --api-key or --keys, or --no-keys to let anyone in"};
}

Status check_draft(const Options& options, const std::vector<ServedModelOptions>& models) {
  if (options.common.draft.empty()) return {};
  if (options.on_demand) {
    return Error{.kind = ErrorKind::kUnsupported,
                 .what = "a draft model stays beside the model that it guesses for",
                 .where = "--draft",
                 .hint = "leave out --on-demand"};
  }
  const auto answering = std::count_if(models.begin(), models.end(),
                                       [](const ServedModelOptions& model) { return !model.embed; });
  if (answering == 1) return {};
  return Error{.kind = ErrorKind::kUsage,
               .what = "a draft model guesses for one model",
               .where = "--draft",
               .expected = "one model that answers",
               .found = std::to_string(answering)};
}

// What to load, in the order of --name: the models that generate first.
Result<std::vector<ServedModelOptions>> models_of(const Options& options) {
  std::vector<ServedModelOptions> models;
  std::vector<std::string> paths = options.models;
  paths.insert(paths.end(), options.embed.begin(), options.embed.end());
  for (const std::string& path : paths) {
    ServedModelOptions& model = models.emplace_back(options.each);
    model.path = path;
    if (models.size() <= options.names.size()) model.name = options.names[models.size() - 1];
    model.embed = models.size() > options.models.size();
  }
  if (models.empty())
    return Error{
        .kind = ErrorKind::kUsage, .what = "no model to serve", .where = "serve", .expected = "MODEL"};
  if (!options.common.packed.empty() && models.size() > 1) {
    return Error{.kind = ErrorKind::kUsage,
                 .what = "a file of packed weights is one model's",
                 .where = "--packed",
                 .expected = "one model",
                 .found = std::to_string(models.size())};
  }
  TRY(check_draft(options, models));
  if (options.keep_loaded_given && !options.on_demand) {
    return Error{.kind = ErrorKind::kUsage,
                 .what = "models stay loaded as long as the server runs",
                 .where = "--keep-loaded",
                 .hint = "give --on-demand too"};
  }
  if (!options.each.prefix_store.empty() && options.each.no_prefix_cache) {
    return Error{.kind = ErrorKind::kUsage,
                 .what = "what is not kept in memory is not stored either",
                 .where = "--prefix-store",
                 .hint = "leave out --no-prefix-cache"};
  }
  if (options.prefix_store_size_given && options.each.prefix_store.empty()) {
    return Error{.kind = ErrorKind::kUsage,
                 .what = "there is no store whose size it could be",
                 .where = "--prefix-store-size",
                 .hint = "give --prefix-store too"};
  }
  for (const ServedAdapter& adapter : options.adapters) {
    const auto base = adapter.model.empty()
                          ? models.begin()
                          : std::find_if(models.begin(), models.end(), [&](const ServedModelOptions& model) {
                              return served_name(model) == adapter.model;
                            });
    if (base == models.end()) {
      return Error{.kind = ErrorKind::kUsage,
                   .what = "no model of this name is served",
                   .where = "--adapter " + adapter.name,
                   .found = adapter.model};
    }
    base->adapters.push_back(adapter);
  }
  return models;
}

Result<serve::Models> load_models(const Options& options) {
  serve::PoolOptions pool{
      .memory = options.common.memory, .keep_s = options.keep_loaded_s, .queue = options.each.queue};
  if (!options.common.quiet) pool.note = [](const std::string& line) { write_note(line); };
  serve::Models models(std::move(pool));
  const auto wanted = TRY(models_of(options));
  if (!options.each.prefix_store.empty()) TRY(engine::PrefixStore::make_folder(options.each.prefix_store));
  for (const ServedModelOptions& model : wanted)
    TRY(add_served_model(model, options.common, options.on_demand, models));
  const auto& all = models.all();
  const bool generates =
      std::any_of(all.begin(), all.end(), [](const auto& model) { return model->generates(); });
  if (generates || options.each.prefix_store.empty()) return models;
  return Error{.kind = ErrorKind::kUsage,
               .what = "no model that is served has prefixes that could be stored",
               .where = "--prefix-store",
               .expected = "a model that generates"};
}

// Before the models are loaded, which takes longer.
Status check_tls(const Options& options) {
  if (options.tls_certificate.empty() != options.tls_key.empty()) {
    const bool key = options.tls_key.empty();
    return Error{.kind = ErrorKind::kUsage,
                 .what = fmt::format("TLS needs {} too", key ? "--tls-key" : "--tls-cert"),
                 .where = key ? "--tls-cert" : "--tls-key"};
  }
  if (!options.tls_key.empty()) TRY(net::open_tls(options.tls_certificate, options.tls_key));
  return {};
}

Status run(const Options& options) {
  std::unique_ptr<serve::Accounts> accounts;
  if (!options.store.empty()) accounts = TRY(serve::Accounts::open(options.store, write_note));
  auto guard = TRY(guard_options(options, accounts.get()));
  serve::ApiOptions api_options{.guard = std::move(guard), .version = "0.1.0"};
  api_options.accounts = accounts.get();
  api_options.quiet_s = options.keep_alive_s.value_or(10);
  if (options.log_requests) api_options.log = [](const std::string& line) { write_note(line); };
  net::ServerOptions listen{.address = options.address, .port = static_cast<int>(options.port)};
  listen.connections = options.connections;
  listen.body_bytes = options.body;
  listen.tls_certificate = options.tls_certificate;
  listen.tls_key = options.tls_key;
  TRY(check_tls(options));
  serve::Models models = TRY(load_models(options));
  std::string names;
  for (const auto& model : models.all()) names += (names.empty() ? "" : ", ") + model->id;
  serve::Api api(std::move(models), std::move(api_options));
  TRY(catch_stops());
  TRY(api.listen(listen));
  const std::string place =
      options.address.find(':') == std::string::npos ? options.address : "[" + options.address + "]";
  write_note(fmt::format("serving {} on {}://{}:{}", names, options.tls_key.empty() ? "http" : "https", place,
                         api.port()));
  wait_for_stop();
  if (!options.common.quiet) write_note("finishing what is under way; once more to stop at once");
  api.drain(options.drain_s.value_or(30));
  return {};
}

void add_texts(CLI::App& app, const std::string& name, std::vector<std::string>& target,
               const std::string& help) {
  add_parsed(
      app, name, "TEXT",
      [&target](const std::string& text) -> Status {
        target.push_back(text);
        return {};
      },
      help)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

Result<double> parse_keep_loaded(const std::string& text) {
  if (text == "0") return 0;
  if (text == "forever") return serve::kForever;
  const auto seconds = parse_duration(text, "--keep-loaded");
  if (seconds.ok()) return static_cast<double>(*seconds);
  Error error = seconds.error();
  error.expected += "; 0 or forever";
  return error;
}

void add_network_options(CLI::App& app, Options& options) {
  add_text(app, "--host", options.address,
           "IP address to listen on (default: 127.0.0.1, this machine alone)");
  add_integer(app, "--port", options.port, 0, 65535,
              "port; 0: any that is free, which is said (default: 8080)");
  add_texts(app, "--api-key", options.keys,
            "a key that clients must send, \"KEY\" or \"NAME KEY\"; may be repeated");
  add_text(app, "--keys", options.keys_file, "file of keys, one \"NAME KEY\" in a line");
  add_text(app, "--store", options.store,
           "database of keys and of what they used (see `maestrale keys`); made where it is missing");
  app.add_flag("--no-keys", options.open_to_all, "let anyone in without a key");
  add_texts(app, "--allow-host", options.hosts,
            "a Host name that clients may use besides localhost; may be repeated");
  add_texts(app, "--cors-origin", options.origins,
            "a page that may call from a browser, or *; may be repeated");
  add_text(app, "--tls-cert", options.tls_certificate,
           "PEM file of the server's certificate and those it hangs on: speak TLS (https://)");
  add_text(app, "--tls-key", options.tls_key, "PEM file of its private key");
  add_integer(app, "--connections", options.connections, 1, 1 << 20,
              "most connections at once (default: 8192)");
  add_parsed(
      app, "--body", "SIZE",
      [&options](const std::string& text) -> Status {
        options.body = TRY(parse_size(text, "--body"));
        return {};
      },
      "most bytes of one request (default: 32MiB)");
  add_number(app, "--drain", options.drain_s, 0, 86400,
             "seconds to finish answers after SIGTERM (default: 30)");
  add_number(app, "--keep-alive", options.keep_alive_s, 0, 3600,
             "seconds after which a stream with nothing to say shows that it lives; 0: never (default: 10)");
  app.add_flag("--log-requests", options.log_requests,
               "one line of JSON for each request, on standard error");
}

void add_prefix_store_options(CLI::App& app, Options& options) {
  add_text(app, "--prefix-store", options.each.prefix_store,
           "folder where beginnings of prompts and answers are kept, so that they need not be computed again "
           "after a restart; made where it is missing. Prompts stand in it in clear");
  add_parsed(
      app, "--prefix-store-size", "SIZE",
      [&options](const std::string& text) -> Status {
        options.each.prefix_store_bytes = TRY(parse_size(text, "--prefix-store-size"));
        options.prefix_store_size_given = true;
        return {};
      },
      "most bytes in --prefix-store; then what was not used for longest goes (default: 8GiB)");
}

// Everything that `serve` takes; `config` takes the same.
void add_options(CLI::App& app, const std::shared_ptr<Options>& options) {
  app.add_option("MODEL", options->models, "model files or folders");
  add_config_option(app, options->config);
  add_texts(app, "--embed", options->embed,
            "a model to serve for embeddings and reranking instead; may be repeated (encoders need not be "
            "named so)");
  add_texts(app, "--name", options->names,
            "what clients call the models, in their order (default: the files' names)");
  add_parsed(
      app, "--adapter", "NAME=PATH[=SCALE]",
      [options = options.get()](const std::string& text) -> Status {
        options->adapters.push_back(TRY(parse_served_adapter(text)));
        return {};
      },
      "LoRA adapter of the first model, which clients choose as model NAME; NAME@MODEL for another's; may be "
      "repeated")
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  add_text(app, "--template", options->each.template_file,
           "Jinja chat template to use instead of the models' own");
  add_integer(app, "--sequences", options->each.running, 1, 512,
              "answers that are worked on together (default: 16)");
  add_integer(app, "--queue", options->each.queue, 1, 1 << 20,
              "requests that may wait for a model; more get 429 (default: 256)");
  add_integer(app, "--chunk", options->each.chunk, 1, 1 << 16,
              "prompt tokens of one step at most (default: 512)");
  add_integer(app, "--kv-tokens", options->each.kv_tokens, 1, std::int64_t{1} << 40,
              "tokens that the attention cache holds for all answers together (default: what fits)");
  app.add_flag("--no-prefix-cache", options->each.no_prefix_cache, "compute every prompt from its beginning");
  add_prefix_store_options(app, *options);
  app.add_flag(
      "--on-demand", options->on_demand,
      "load a model when it is first asked for, and unload the longest unused where --memory, or what "
      "is free, does not suffice for another");
  add_parsed(
      app, "--keep-loaded", "TIME",
      [options = options.get()](const std::string& text) -> Status {
        options->keep_loaded_s = TRY(parse_keep_loaded(text));
        options->keep_loaded_given = true;
        return {};
      },
      "with --on-demand: how long a model stays that nobody uses, such as 90s or 1h; 0: no longer than its "
      "requests; forever: until others need its memory (default: 5m)");
  add_network_options(app, *options);
  add_packed_option(app, options->common);
  add_draft_option(app, options->common);
  add_common_options(app, options->common);
}

Status print_settings(const std::vector<Setting>& settings, bool as_json) {
  if (!as_json) return write_out(render_settings(settings));
  json::array out;
  for (const Setting& setting : settings) {
    json::array values;
    for (const std::string& value : setting.values) values.emplace_back(setting.is_secret() ? "…" : value);
    out.push_back(json::object{{"name", setting.name},
                               {"values", std::move(values)},
                               {"source", setting.source},
                               {"default", setting.fallback}});
  }
  return write_json(out);
}

}  // namespace

Command add_serve(CLI::App& root) {
  auto options = std::make_shared<Options>();
  CLI::App* app =
      root.add_subcommand("serve", "answer over HTTP, in the APIs of OpenAI, Anthropic, Ollama and Mistral");
  add_options(*app, options);
  app->footer(
      "Examples:\n"
      "  maestrale serve model.gguf\n"
      "  maestrale serve model.gguf --host 0.0.0.0 --store keys.db\n"
      "  maestrale serve model.gguf --embed ./bge-small-en-v1.5\n"
      "  maestrale serve small.gguf large.gguf --on-demand --memory 24GB\n"
      "What clients may ask is described in docs/serve.md.");
  return {app, [app, options]() -> Status {
            TRY(apply_settings(*app, options->config));
            return run(*options);
          }};
}

Command add_config(CLI::App& root) {
  auto options = std::make_shared<Options>();
  CLI::App* app = root.add_subcommand("config", "what `serve` would use, and where each value comes from");
  add_options(*app, options);
  app->footer(
      "Prints a TOML file that says the same; what is not set stands in comments.\n"
      "Example:\n"
      "  MAESTRALE_PORT=9000 maestrale config --config serve.toml --queue 64");
  return {app, [app, options]() -> Status {
            const auto settings = TRY(apply_settings(*app, options->config));
            return print_settings(settings, options->common.json);
          }};
}

}  // namespace maestrale::app
