// What the dialects of checkpoints call the tensors of a decoder: one list, read from both sides (nn/names.h,
// files/tensor_names.h). Canonical names are GGUF's.
#pragma once

#include <array>
#include <string_view>

namespace maestrale::files {

// Several names are separated by '|'. A canonical name with its suffix stands for names that have none.
// '#' is the number of an expert.
struct NameRow {
  std::string_view canonical, hugging_face, mistral;
};

inline constexpr std::array kModelNames = {
    NameRow{"token_embd", "in_out_embed|embeddings|embed_tokens", "embedding|tok_embeddings"},
    NameRow{"output_norm", "rms_norm|norm_f|norm", "norm_f|norm"},
};
inline constexpr std::array kLayerNames = {
    NameRow{"attn_norm", "pre_attn_norm|rms_norm|norm|input_layernorm", "norm|attention_norm"},
    NameRow{"attn_q", "multi_head_attention.query|self_attn.q_proj", "attention.wq"},
    NameRow{"attn_k", "multi_head_attention.key|self_attn.k_proj", "attention.wk"},
    NameRow{"attn_v", "multi_head_attention.value|self_attn.v_proj", "attention.wv"},
    NameRow{"attn_q_a", "self_attn.q_a_proj", "attention.wq_a"},
    NameRow{"attn_q_a_norm", "self_attn.q_a_layernorm", "attention.q_a_norm"},
    NameRow{"attn_q_b", "self_attn.q_b_proj", "attention.wq_b"},
    NameRow{"attn_kv_a_mqa", "self_attn.kv_a_proj_with_mqa", "attention.wkv_a_with_mqa"},
    NameRow{"attn_kv_a_norm", "self_attn.kv_a_layernorm", "attention.kv_a_norm"},
    NameRow{"attn_kv_b", "self_attn.kv_b_proj", "attention.wkv_b"},
    NameRow{"indexer.attn_q_b", "self_attn.indexer.wq_b", ""},
    NameRow{"indexer.attn_k", "self_attn.indexer.wk", ""},
    NameRow{"indexer.k_norm", "self_attn.indexer.k_norm", ""},
    NameRow{"indexer.proj", "self_attn.indexer.weights_proj", ""},
    NameRow{"attn_output", "multi_head_attention.linear|self_attn.o_proj", "attention.wo"},
    NameRow{"attn_q_norm", "self_attn.q_norm", "attention.q_norm"},
    NameRow{"attn_k_norm", "self_attn.k_norm", "attention.k_norm"},
    NameRow{"post_attention_norm", "post_attn_norm|rms_norm_1|post_attention_layernorm", ""},
    NameRow{"ffn_norm", "pre_moe_norm|rms_norm_2|pre_feedforward_layernorm|post_attention_layernorm",
            "ffn_norm"},
    NameRow{"post_ffw_norm", "post_moe_norm|rms_norm_3|post_feedforward_layernorm", ""},
    NameRow{"ssm_in", "mixer.in_proj", "mixer.in_proj"},
    NameRow{"ssm_conv1d", "mixer.conv1d", "mixer.conv1d"},
    NameRow{"ssm_dt.bias", "mixer.dt_bias", "mixer.dt_bias"},
    NameRow{"ssm_a", "mixer.A_log", "mixer.A_log"},
    NameRow{"ssm_d", "mixer.D", "mixer.D"},
    NameRow{"ssm_norm", "mixer.norm", "mixer.norm"},
    NameRow{"ssm_out", "mixer.out_proj", "mixer.out_proj"},
    NameRow{"ffn_gate", "feed_forward.gate_proj|mlp.gate_proj", "feed_forward.w1"},
    NameRow{"ffn_down", "feed_forward.down_proj|mlp.down_proj", "feed_forward.w2"},
    NameRow{"ffn_up", "feed_forward.up_proj|mlp.up_proj", "feed_forward.w3"},
    NameRow{"ffn_gate_inp", "block_sparse_moe.gate|feed_forward.router|mlp.router|router|mlp.gate",
            "feed_forward.gate|gate"},
    NameRow{"ffn_gate.#", "block_sparse_moe.experts.#.w1|moe.#.linear|mlp.experts.#.gate_proj",
            "feed_forward.experts.#.w1|experts.#.w1"},
    NameRow{"ffn_down.#", "block_sparse_moe.experts.#.w2|moe.#.linear_1|mlp.experts.#.down_proj",
            "feed_forward.experts.#.w2|experts.#.w2"},
    NameRow{"ffn_up.#", "block_sparse_moe.experts.#.w3|moe.#.linear_v|mlp.experts.#.up_proj",
            "feed_forward.experts.#.w3|experts.#.w3"},
    NameRow{"ffn_gate_shexp", "feed_forward.shared_expert.gate_proj|mlp.shared_experts.gate_proj",
            "shared_experts.w1"},
    NameRow{"ffn_down_shexp", "feed_forward.shared_expert.down_proj|mlp.shared_experts.down_proj",
            "shared_experts.w2"},
    NameRow{"ffn_up_shexp", "feed_forward.shared_expert.up_proj|mlp.shared_experts.up_proj",
            "shared_experts.w3"},
    NameRow{"ffn_gate_up_fused.weight", "feed_forward.experts.gate_up_proj|mlp.experts.gate_up_proj", ""},
    NameRow{"ffn_gate_up_fused_blocks.weight", "mlp.experts.gate_up_proj_blocks", ""},
    NameRow{"ffn_gate_up_fused_scales.weight", "mlp.experts.gate_up_proj_scales", ""},
    NameRow{"ffn_gate_up_fused.bias", "mlp.experts.gate_up_proj_bias", ""},
    NameRow{"ffn_down_fused.weight", "feed_forward.experts.down_proj|mlp.experts.down_proj", ""},
    NameRow{"ffn_down_fused_blocks.weight", "mlp.experts.down_proj_blocks", ""},
    NameRow{"ffn_down_fused_scales.weight", "mlp.experts.down_proj_scales", ""},
    NameRow{"ffn_down_fused.bias", "mlp.experts.down_proj_bias", ""},
    NameRow{"exp_probs_b.bias", "mlp.gate.e_score_correction_bias", ""},
    NameRow{"attn_sinks.weight", "self_attn.sinks", ""},
    NameRow{"nextn.eh_proj", "eh_proj", ""},
    NameRow{"nextn.enorm", "enorm", ""},
    NameRow{"nextn.hnorm", "hnorm", ""},
    NameRow{"nextn.embed_tokens", "embed_tokens", ""},
    NameRow{"nextn.shared_head_norm", "shared_head.norm", ""},
    NameRow{"nextn.shared_head_head", "shared_head.head", ""},
};

}  // namespace maestrale::files
