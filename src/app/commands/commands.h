// The commands: each declares its options below `root` and returns what to run.
#pragma once

#include "app/options.h"

namespace maestrale::app {

Command add_bench(CLI::App& root);
Command add_chat(CLI::App& root);
Command add_config(CLI::App& root);
Command add_convert(CLI::App& root);
Command add_repack(CLI::App& root);
Command add_detokenize(CLI::App& root);
Command add_embed(CLI::App& root);
Command add_generate(CLI::App& root);
Command add_inspect(CLI::App& root);
Command add_keys(CLI::App& root);
Command add_logits(CLI::App& root);
Command add_perplexity(CLI::App& root);
Command add_quantize(CLI::App& root);
Command add_rerank(CLI::App& root);
Command add_run(CLI::App& root);
Command add_serve(CLI::App& root);
Command add_template(CLI::App& root);
Command add_tokenize(CLI::App& root);

}  // namespace maestrale::app
