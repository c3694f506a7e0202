// Opening what a command was pointed at: a model to run, or a tokenizer alone.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "app/options.h"
#include "base/result.h"
#include "engine/engine.h"
#include "text/tokenizer/tokenizer.h"

namespace maestrale::app {

// Opens and loads a model; says what memory it takes (unless --quiet) and shows progress.
Result<std::unique_ptr<engine::Engine>> load_engine(const std::string& path, const CommonOptions& common,
                                                    ops::KvType default_kv_type = ops::KvType::kF16);
Result<std::unique_ptr<engine::Engine>> load_engine(files::Checkpoint checkpoint, const CommonOptions& common,
                                                    engine::LoadOptions options);

// The model's tokenizer, or why there is none.
Result<const text::Tokenizer*> tokenizer_of(const files::Checkpoint& checkpoint);

// A tokenizer from a model or from a bare vocabulary: tokenizer.json, tokenizer.model*, tekken.json, a GGUF
// file without tensors, llama2.c's tokenizer.bin.
Result<std::unique_ptr<const text::Tokenizer>> open_tokenizer(const std::string& path);

// Token ids that a person gave, checked against the vocabulary.
Status check_tokens(std::span<const text::TokenId> tokens, std::int64_t vocabulary, const std::string& where);

// Standard input to its end, at most `max_bytes`.
Result<std::string> read_stdin(std::uint64_t max_bytes);
// A file, or standard input for "-".
Result<std::string> read_input(const std::string& path);
constexpr std::uint64_t kMaxInputBytes = std::uint64_t{1} << 30;

// Set by Ctrl-C between the two calls; the second Ctrl-C ends the program.
void catch_interrupts();
void restore_interrupts();
bool interrupted();
void clear_interrupt();

}  // namespace maestrale::app
