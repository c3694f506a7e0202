// The layer that predicts further tokens (nn/mtp_head.h) in a tiny DeepSeek V3: its logits against a plain
// reading of the paper in double, its rows in step however they came about, and the model's own bits
// untouched.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <vector>

#include "models/test_support.h"

namespace maestrale::models {
namespace {

using Vector = std::vector<double>;

constexpr std::size_t kHidden = 64, kHeads = 4, kPlain = 32, kRotated = 16, kValue = 32, kLatentSize = 32;
constexpr std::size_t kExperts = 8, kGroupSize = 2;

const std::string kSettings =
    R"("q_lora_rank": 32, "kv_lora_rank": 32, "qk_nope_head_dim": 32, "qk_rope_head_dim": 16, "v_head_dim": 32,
       "n_routed_experts": 8, "n_shared_experts": 1, "num_experts_per_tok": 2, "moe_intermediate_size": 64,
       "first_k_dense_replace": 1, "routed_scaling_factor": 2.0, "norm_topk_prob": true,
       "n_group": 4, "topk_group": 2, "topk_method": "noaux_tc", "num_nextn_predict_layers": 1)";
const std::string kV3 = "{" + kSettings + "}";
const std::string kV32 = "{" + kSettings + R"(, "index_n_heads": 2, "index_head_dim": 16, "index_topk": 16})";

TinyCheckpoint tiny(const std::string& settings = kV3, const char* format = "f32") {
  TinyCheckpoint made({"deepseek", "DeepseekV3ForCausalLM", settings.c_str()}, format);
  made.checkpoint.mtp = true;
  return made;
}

// The head in double, read off the description: token i + 1 and the state of token i give the row at i + 1.
class Description {
 public:
  explicit Description(const files::Checkpoint& checkpoint) : checkpoint_(checkpoint) {}

  // Logits after the last token. states[i] is that of token i; `next`: what takes the place of the last
  // one's.
  Vector logits(const std::vector<std::int32_t>& tokens, const std::vector<Vector>& states,
                Vector& next) const {
    std::vector<Vector> rows;
    for (std::size_t i = 1; i < tokens.size(); ++i) {
      Vector pair = norm(row("embed_tokens", static_cast<std::size_t>(tokens[i])), "enorm");
      const Vector state = norm(states[i - 1], "hnorm");
      pair.insert(pair.end(), state.begin(), state.end());
      rows.push_back(product("eh_proj", pair));
    }
    Vector h = rows.back();
    add(attention(rows), h);
    const Vector normed = norm(h, "post_attention_layernorm");
    add(mixture(normed), h);
    next = norm(h, "shared_head.norm");
    return product("shared_head.head", next);
  }

 private:
  Vector values(const std::string& name) const {
    const TensorView* tensor = find(name);
    std::vector<float> floats(static_cast<std::size_t>(tensor->elements()));
    traits(tensor->dtype).dequantise(tensor->data.data(), floats.data(), tensor->elements());
    return {floats.begin(), floats.end()};
  }
  const TensorView* find(const std::string& name) const {
    const std::string inside = "model.layers.4." + name;
    for (const std::string& full : {inside + ".weight", inside}) {
      if (const TensorView* tensor = checkpoint_.find(full)) return tensor;
    }
    // The head's tables are the model's unless it has its own.
    return checkpoint_.find(name == "embed_tokens" ? "model.embed_tokens.weight" : "lm_head.weight");
  }
  Vector row(const std::string& name, std::size_t index) const {
    const Vector all = values(name);
    return {all.begin() + static_cast<std::ptrdiff_t>(index * kHidden),
            all.begin() + static_cast<std::ptrdiff_t>((index + 1) * kHidden)};
  }
  Vector product(const std::string& name, const Vector& x) const {
    const Vector weight = values(name);
    Vector out(weight.size() / x.size());
    for (std::size_t r = 0; r < out.size(); ++r)
      out[r] = std::inner_product(x.begin(), x.end(),
                                  weight.begin() + static_cast<std::ptrdiff_t>(r * x.size()), 0.0);
    return out;
  }
  Vector norm(Vector x, const std::string& name, double eps = 1e-5) const {
    const Vector weight = values(name);
    const double mean =
        std::inner_product(x.begin(), x.end(), x.begin(), 0.0) / static_cast<double>(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = x[i] / std::sqrt(mean + eps) * weight[i];
    return x;
  }
  static void add(const Vector& x, Vector& to) {
    for (std::size_t i = 0; i < x.size(); ++i) to[i] += x[i];
  }
  static void rotate(double* x, std::size_t position) {
    for (std::size_t pair = 0; pair < kRotated / 2; ++pair, x += 2) {
      const double angle =
          static_cast<double>(position) * std::pow(10000.0, -2.0 * static_cast<double>(pair) / kRotated);
      const double a = x[0], b = x[1];
      x[0] = a * std::cos(angle) - b * std::sin(angle);
      x[1] = a * std::sin(angle) + b * std::cos(angle);
    }
  }

  // Of the last row over all of them.
  Vector attention(const std::vector<Vector>& rows) const {
    const Vector up = values("self_attn.kv_b_proj");  // [heads, plain + value, latent]
    const Vector last = norm(rows.back(), "input_layernorm");
    Vector q = product("self_attn.q_b_proj",
                       norm(product("self_attn.q_a_proj", last), "self_attn.q_a_layernorm", 1e-6));
    std::vector<Vector> latents, rotated;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      Vector both = product("self_attn.kv_a_proj_with_mqa", norm(rows[i], "input_layernorm"));
      Vector rest(both.begin() + kLatentSize, both.end());
      rotate(rest.data(), i);
      both.resize(kLatentSize);
      latents.push_back(norm(both, "self_attn.kv_a_layernorm", 1e-6));
      rotated.push_back(rest);
    }
    Vector out(kHeads * kValue, 0.0);
    for (std::size_t head = 0; head < kHeads; ++head) {
      double* query = q.data() + head * (kPlain + kRotated);
      rotate(query + kPlain, rows.size() - 1);
      const auto part = [&](std::size_t row, const Vector& latent) {
        const auto* weight = up.data() + (head * (kPlain + kValue) + row) * kLatentSize;
        return std::inner_product(latent.begin(), latent.end(), weight, 0.0);
      };
      Vector scores;
      for (std::size_t i = 0; i < rows.size(); ++i) {
        double score = std::inner_product(rotated[i].begin(), rotated[i].end(), query + kPlain, 0.0);
        for (std::size_t d = 0; d < kPlain; ++d) score += query[d] * part(d, latents[i]);
        scores.push_back(std::exp(score / std::sqrt(static_cast<double>(kPlain + kRotated))));
      }
      const double total = std::accumulate(scores.begin(), scores.end(), 0.0);
      for (std::size_t i = 0; i < rows.size(); ++i) {
        for (std::size_t d = 0; d < kValue; ++d)
          out[head * kValue + d] += scores[i] / total * part(kPlain + d, latents[i]);
      }
    }
    return product("self_attn.o_proj", out);
  }

  Vector expert(const std::string& prefix, const Vector& x) const {
    Vector gate = product(prefix + ".gate_proj", x);
    const Vector up = product(prefix + ".up_proj", x);
    for (std::size_t i = 0; i < gate.size(); ++i) gate[i] = gate[i] / (1 + std::exp(-gate[i])) * up[i];
    return product(prefix + ".down_proj", gate);
  }

  // Two experts of the two best groups of two, and the shared one.
  Vector mixture(const Vector& x) const {
    Vector scores = product("mlp.gate", x), choice = values("mlp.gate.e_score_correction_bias");
    for (std::size_t i = 0; i < kExperts; ++i) choice[i] += scores[i] = 1 / (1 + std::exp(-scores[i]));
    std::vector<std::size_t> groups(kExperts / kGroupSize), experts;
    std::iota(groups.begin(), groups.end(), 0);
    const auto of_group = [&](std::size_t group) { return choice[2 * group] + choice[2 * group + 1]; };
    std::sort(groups.begin(), groups.end(), [&](auto a, auto b) { return of_group(a) > of_group(b); });
    for (const std::size_t group : {groups[0], groups[1]}) {
      experts.push_back(2 * group);
      experts.push_back(2 * group + 1);
    }
    std::sort(experts.begin(), experts.end(), [&](auto a, auto b) { return choice[a] > choice[b]; });
    Vector out = expert("mlp.shared_experts", x);
    for (const std::size_t chosen : {experts[0], experts[1]}) {
      Vector part = expert("mlp.experts." + std::to_string(chosen), x);
      for (double& value : part) value *= 2.0 * scores[chosen] / (scores[experts[0]] + scores[experts[1]]);
      add(part, out);
    }
    return out;
  }

  const files::Checkpoint& checkpoint_;
};

std::vector<std::int32_t> first(std::vector<std::int32_t> tokens, std::size_t count) {
  tokens.resize(count);
  return tokens;
}

// A few thousand products of f32, each rounded by 2^-24 of its size, in four layers one after the other.
void expect_near(const std::vector<float>& got, const Vector& exact) {
  double error = 0, size = 0;
  for (std::size_t i = 0; i < exact.size(); ++i) {
    error += std::pow(got[i] - exact[i], 2);
    size += std::pow(exact[i], 2);
  }
  EXPECT_LT(std::sqrt(error / size), 3e-5);
}

void expect_as_described(const TinyCheckpoint& model) {
  Runner runner(model.checkpoint, {}, 2);
  ASSERT_TRUE(runner.info().mtp);
  const Description description(model.checkpoint);
  const std::vector<std::int32_t> tokens = some_tokens(5);
  const std::vector<float> flat = runner.states(tokens);
  std::vector<Vector> states;
  for (auto at = flat.begin(); at != flat.end(); at += kHidden) states.emplace_back(at, at + kHidden);
  const int sequence = runner.open();
  runner.forward(sequence, 0, tokens);
  for (const std::int32_t last : {1, 2, 40, 63, 64, 68}) {
    const auto count = static_cast<std::size_t>(last) + 1;
    std::vector<float> state(states[count - 2].begin(), states[count - 2].end());
    Vector next;
    expect_near(runner.predict({tokens[count - 1]}, {last}, {sequence}, state),
                description.logits(first(tokens, count), states, next));
    // A guess after the guess, with the head's own state in place of the model's.
    std::vector<Vector> guessed = states;
    guessed[count - 1] = next;
    const Vector exact = description.logits(first(tokens, count + 1), guessed, next);
    expect_near(runner.predict({tokens[count]}, {last + 1}, {sequence}, state), exact);
    runner.forward(sequence, 0, tokens);  // the guess is forgotten
  }
}

TEST(MtpHead, ComputesWhatIsDescribed) { expect_as_described(tiny()); }

TEST(MtpHead, UsesTablesOfItsOwnWhereTheFileHasThem) {
  TinyCheckpoint model = tiny();
  std::vector<TensorView>& tensors = model.checkpoint.tensors;
  for (const auto& [name, seed] : {std::pair("embed_tokens", 900), {"shared_head.head", 901}}) {
    TensorView tensor = *model.checkpoint.find("lm_head.weight");
    tensor.name = std::string("model.layers.4.") + name + ".weight";
    model.fill(tensor, static_cast<std::uint64_t>(seed));
    tensors.push_back(tensor);
  }
  model.checkpoint.index_tensors();
  expect_as_described(model);
}

TEST(MtpHead, LeavesTheModelsOwnBitsAsTheyAre) {
  for (const std::string& settings : {kV3, kV32}) {
    TinyCheckpoint model = tiny(settings, "q8_0");
    const std::vector<float> with = Runner(model.checkpoint, {}, 2).prompt(some_tokens(1), 9);
    model.checkpoint.mtp = false;
    EXPECT_TRUE(same_bits(with, Runner(model.checkpoint, {}, 2).prompt(some_tokens(1), kTokens)));
  }
}

// The head's guess after all but one of the tokens, with the state that the sequence remembers.
std::vector<float> guess_at(Runner& runner, int sequence, const std::vector<std::int32_t>& tokens) {
  const auto last = static_cast<std::int32_t>(tokens.size()) - 1;
  std::vector<float> state = runner.recent(sequence, last - 1);
  if (state.empty()) return {};
  return runner.predict({tokens.back()}, {last}, {sequence}, state);
}

// Prompts in pieces, guesses that were wrong, other sequences beside it: the rows are those of one reading.
TEST(MtpHead, StaysInStep) {
  for (const std::string& settings : {kV3, kV32}) {
    const TinyCheckpoint model = tiny(settings, "q8_0");
    Runner runner(model.checkpoint, {}, 2);
    const std::vector<std::int32_t> tokens = some_tokens(1), wrong = some_tokens(2);
    const int whole = runner.open(), pieces = runner.open(), other = runner.open();
    runner.forward(whole, 0, first(tokens, 69));
    const std::vector<float> expected = guess_at(runner, whole, tokens);
    ASSERT_FALSE(expected.empty());
    runner.forward(other, 0, first(wrong, 33));
    for (std::int32_t at = 0; at < 69; at += 3) {
      if (at > 0) {  // guesses of the head, then some that are wrong
        std::vector<float> state = runner.recent(pieces, at - 1);
        runner.predict({wrong[static_cast<std::size_t>(at)]}, {at}, {pieces}, state);
        runner.predict({wrong[0]}, {at + 1}, {pieces}, state);
        std::vector<std::int32_t> batch(wrong.begin() + at, wrong.begin() + at + 1), positions{at},
            owners{pieces};
        for (const std::int32_t guessed : {7, 8, 9}) {
          batch.push_back(guessed);
          positions.push_back(++at);
          owners.push_back(pieces);
        }
        at -= 3;
        batch.push_back(3);
        positions.push_back(33);
        owners.push_back(other);
        if (at + 3 < kTokens) runner.forward(batch, positions, owners);
      }
      const auto begin = tokens.begin() + at;
      runner.forward(pieces, at, {begin, begin + std::min(3, 69 - at)});
    }
    EXPECT_TRUE(same_bits(guess_at(runner, pieces, tokens), expected));
  }
}

TEST(MtpHead, GuessesForSequencesTogetherAsForEachAlone) {
  const TinyCheckpoint model = tiny(kV3, "q8_0");
  Runner runner(model.checkpoint, {}, 2);
  std::vector<std::int32_t> tokens, positions, sequences;
  std::vector<float> states, alone;
  for (const std::int32_t length : {2, 30, 70}) {
    const std::vector<std::int32_t> text =
        first(some_tokens(static_cast<std::uint64_t>(length)), static_cast<std::size_t>(length));
    const int sequence = runner.open();
    runner.forward(sequence, 0, text);
    const std::vector<float> logits = guess_at(runner, sequence, text);
    alone.insert(alone.end(), logits.begin(), logits.end());
    const std::vector<float> state = runner.recent(sequence, length - 2);
    states.insert(states.end(), state.begin(), state.end());
    tokens.push_back(text.back());
    positions.push_back(length - 1);
    sequences.push_back(sequence);
  }
  EXPECT_TRUE(same_bits(runner.predict(tokens, positions, sequences, states), alone));
}

TEST(MtpHead, IsPlannedAndNamed) {
  TinyCheckpoint model = tiny();
  const auto ops = std::move(ops::make_cpu_ops({}, 1)).value();
  const LoadPlan with = std::move(plan_model(model.checkpoint, *ops)).value();
  model.checkpoint.mtp = false;
  const LoadPlan without = std::move(plan_model(model.checkpoint, *ops)).value();
  EXPECT_EQ(with.info.layers, without.info.layers);
  EXPECT_EQ(with.kv.layers, without.kv.layers + 1);
  EXPECT_GT(with.weight_bytes, without.weight_bytes);
  EXPECT_NE(with.info.notes.find("predicts further tokens"), std::string::npos) << with.info.notes;
  EXPECT_NE(without.info.notes.find("left out"), std::string::npos) << without.info.notes;
  EXPECT_FALSE(without.info.mtp);
}

TEST(MtpHead, SaysWhatIsMissing) {
  TinyCheckpoint model = tiny();
  std::erase_if(model.checkpoint.tensors,
                [](const TensorView& tensor) { return tensor.name.ends_with("hnorm.weight"); });
  model.checkpoint.index_tensors();
  try {
    Runner runner(model.checkpoint, {}, 1);
    FAIL() << "loaded";
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find("model.layers.4.hnorm.weight"), std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace maestrale::models
