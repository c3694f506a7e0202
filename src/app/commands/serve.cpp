// maestrale serve: models behind the HTTP APIs that people's programs already speak.
#include <fmt/core.h>
#include <unistd.h>

#include <csignal>
#include <ctime>
#include <filesystem>
#include <memory>

#include "app/commands/commands.h"
#include "app/parse.h"
#include "app/render.h"
#include "app/session.h"
#include "base/file.h"
#include "serve/api.h"

namespace maestrale::app {
namespace {

constexpr std::uint64_t kMaxTemplateBytes = 1u << 24;
constexpr std::uint64_t kMaxKeyBytes = 1u << 20;

struct Options {
  std::vector<std::string> models;
  std::vector<std::string> names, keys, hosts, origins;
  std::string address = "127.0.0.1", keys_file, template_file;
  std::int64_t port = 8080, queue = 256, running = 16, chunk = 512, connections = 8192, kv_tokens = 0;
  std::uint64_t body = 32 << 20;
  std::optional<double> drain_s;
  bool open_to_all = false, log_requests = false, no_prefix_cache = false;
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

Result<serve::GuardOptions> guard_options(const Options& options) {
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
  if (guard.loopback || !guard.keys.empty() || options.open_to_all) return guard;
  return Error{.kind = ErrorKind::kUsage,
               .what = "other machines could use this server without a key",
               .where = "--host " + options.address,
               .hint = "give --api-key or --keys, or --no-keys to let anyone in"};
}

std::string name_of(const Options& options, std::size_t index) {
  if (index < options.names.size()) return options.names[index];
  const std::filesystem::path path = std::filesystem::path(options.models[index]).lexically_normal();
  const std::filesystem::path last = path.has_filename() ? path.filename() : path.parent_path().filename();
  return last.extension() == ".gguf" || last.extension() == ".bin" ? last.stem().string() : last.string();
}

Result<serve::ServedModel> load(const Options& options, std::size_t index) {
  engine::LoadOptions load = TRY(load_options(options.common, ops::KvType::kF16));
  load.sequences = static_cast<int>(options.running);
  load.batch_rows = std::max<std::int64_t>(options.chunk, options.running);
  load.pack_experts = true;
  load.kv_tokens = options.kv_tokens;
  load.fit_kv = true;
  files::Checkpoint checkpoint = TRY(files::open_checkpoint(options.models[index]));
  const std::uint64_t bytes = checkpoint.file_bytes();
  auto engine = TRY(load_engine(std::move(checkpoint), options.common, std::move(load)));
  engine::ServiceOptions service{.queue = options.queue,
                                 .running = options.running,
                                 .chunk = options.chunk,
                                 .prefix_cache = !options.no_prefix_cache};
  service.stream_events = 1024;
  serve::ServedModel model{.id = name_of(options, index),
                           .chat = nullptr,
                           .created_s = std::time(nullptr),
                           .file_bytes = bytes,
                           .load_s = engine->load_seconds()};
  chat::ChatServiceOptions chat;
  if (!options.template_file.empty()) {
    chat.template_source = TRY(read_file(options.template_file, kMaxTemplateBytes));
    chat.template_name = options.template_file;
  }
  model.chat = TRY(chat::ChatService::create(TRY(engine::Service::start(std::move(engine), service)), chat));
  if (!model.chat->can_chat() && !options.common.quiet)
    write_note(fmt::format("{} has no chat template: it only continues text (see --template)", model.id));
  return model;
}

Status run(const Options& options) {
  auto guard = TRY(guard_options(options));
  serve::ApiOptions api_options{.guard = std::move(guard), .version = "0.1.0"};
  if (options.log_requests) api_options.log = [](const std::string& line) { write_note(line); };
  net::ServerOptions listen{.address = options.address, .port = static_cast<int>(options.port)};
  listen.connections = options.connections;
  listen.body_bytes = options.body;
  serve::Models models;
  for (std::size_t i = 0; i < options.models.size(); ++i) models.add(TRY(load(options, i)));
  std::string names;
  for (const auto& model : models.all()) names += (names.empty() ? "" : ", ") + model->id;
  serve::Api api(std::move(models), std::move(api_options));
  TRY(catch_stops());
  TRY(api.listen(listen));
  const std::string place =
      options.address.find(':') == std::string::npos ? options.address : "[" + options.address + "]";
  write_note(fmt::format("serving {} on http://{}:{}", names, place, api.port()));
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

void add_network_options(CLI::App& app, Options& options) {
  add_text(app, "--host", options.address,
           "IP address to listen on (default: 127.0.0.1, this machine alone)");
  add_integer(app, "--port", options.port, 0, 65535,
              "port; 0: any that is free, which is said (default: 8080)");
  add_texts(app, "--api-key", options.keys,
            "a key that clients must send, \"KEY\" or \"NAME KEY\"; may be repeated");
  add_text(app, "--keys", options.keys_file, "file of keys, one \"NAME KEY\" in a line");
  app.add_flag("--no-keys", options.open_to_all, "let other machines in without a key");
  add_texts(app, "--allow-host", options.hosts,
            "a Host name that clients may use besides localhost; may be repeated");
  add_texts(app, "--cors-origin", options.origins,
            "a page that may call from a browser, or *; may be repeated");
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
  app.add_flag("--log-requests", options.log_requests,
               "one line of JSON for each request, on standard error");
}

}  // namespace

Command add_serve(CLI::App& root) {
  auto options = std::make_shared<Options>();
  CLI::App* app =
      root.add_subcommand("serve", "answer over HTTP, in the APIs of OpenAI, Anthropic, Ollama and Mistral");
  app->add_option("MODEL", options->models, "model files or folders")->required();
  add_texts(*app, "--name", options->names,
            "what clients call the models, in their order (default: the files' names)");
  add_text(*app, "--template", options->template_file,
           "Jinja chat template to use instead of the models' own");
  add_integer(*app, "--sequences", options->running, 1, 512,
              "answers that are worked on together (default: 16)");
  add_integer(*app, "--queue", options->queue, 1, 1 << 20,
              "requests that may wait for a model; more get 429 (default: 256)");
  add_integer(*app, "--chunk", options->chunk, 1, 1 << 16,
              "prompt tokens of one step at most (default: 512)");
  add_integer(*app, "--kv-tokens", options->kv_tokens, 1, std::int64_t{1} << 40,
              "tokens that the attention cache holds for all answers together (default: what fits)");
  app->add_flag("--no-prefix-cache", options->no_prefix_cache, "compute every prompt from its beginning");
  add_network_options(*app, *options);
  add_common_options(*app, options->common);
  app->footer(
      "Examples:\n"
      "  maestrale serve model.gguf\n"
      "  maestrale serve model.gguf --host 0.0.0.0 --keys keys.txt\n"
      "What clients may ask is described in docs/serve.md.");
  return {app, [options] { return run(*options); }};
}

}  // namespace maestrale::app
