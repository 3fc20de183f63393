#include "checkpoint/architectures.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

#define TYPES(...) (const char *const[]){__VA_ARGS__, NULL}
enum { ANY = LS_IMPLIED_UNKNOWN };

/* Model classes as mapped by llama.cpp's converter, and what its graphs assume. */
static const ls_architecture architectures[] = {
    /* gguf, activation, experts' weights normalized, layers without RoPE, layers without a window, model types */
    {"llama", "silu", ANY, 0, 1, TYPES("llama", "mistral", "mixtral", "internlm3", "yi", "smollm", "aquila", "xverse_llama", "vicuna")},
    {"llama4", "silu", ANY, 4, ANY, TYPES("llama4", "llama4_text")},
    {"mistral3", "silu", ANY, 0, 1, TYPES("mistral3", "ministral3")},
    {"deci", "silu", ANY, 0, 1, TYPES("nemotron-nas", "deci")},
    {"qwen2", "silu", ANY, 0, 1, TYPES("qwen2", "dream")},
    {"qwen2moe", "silu", 0, 0, 1, TYPES("qwen2_moe")},
    {"qwen3", "silu", ANY, 0, 1, TYPES("qwen3")},
    {"qwen3moe", "silu", 1, 0, 1, TYPES("qwen3_moe")},
    {"qwen2vl", "silu", ANY, 0, 1, TYPES("qwen2_vl", "qwen2_5_vl", "qwen2_vl_text", "qwen2_5_vl_text")},
    {"qwen3vl", "silu", ANY, 0, 1, TYPES("qwen3_vl", "qwen3_vl_text")},
    {"qwen3vlmoe", "silu", 1, 0, 1, TYPES("qwen3_vl_moe", "qwen3_vl_moe_text")},
    {"qwen3next", "silu", 1, 0, ANY, TYPES("qwen3_next")},
    {"gemma", "gelu", ANY, 0, 1, TYPES("gemma")},
    {"gemma2", "gelu", ANY, 0, 2, TYPES("gemma2")},
    {"gemma3", "gelu", ANY, 0, 6, TYPES("gemma3", "gemma3_text")},
    {"gemma3n", "gelu", ANY, 0, 5, TYPES("gemma3n", "gemma3n_text")},
    {"phi2", "gelu", ANY, 0, 1, TYPES("phi")},
    {"phi3", "silu", ANY, 0, ANY, TYPES("phi3", "phi3small")},
    {"phimoe", "silu", ANY, 0, ANY, TYPES("phimoe")},
    {"gpt2", "gelu", ANY, ANY, 1, TYPES("gpt2")},
    {"gptneox", "gelu", ANY, 0, 1, TYPES("gpt_neox")},
    {"gptj", "gelu", ANY, 0, 1, TYPES("gptj")},
    {"bloom", "gelu", ANY, ANY, 1, TYPES("bloom")},
    {"mpt", "gelu", ANY, ANY, 1, TYPES("mpt")},
    {"falcon", "gelu", ANY, ANY, 1, TYPES("falcon", "RefinedWeb", "RefinedWebModel")},
    {"falcon-h1", "silu", ANY, 0, 1, TYPES("falcon_h1")},
    {"starcoder", "gelu", ANY, ANY, 1, TYPES("gpt_bigcode")},
    {"starcoder2", "gelu", ANY, 0, ANY, TYPES("starcoder2")},
    {"bert", "gelu", ANY, ANY, 1, TYPES("bert", "roberta", "xlm-roberta", "camembert", "distilbert")},
    {"nomic-bert", NULL, ANY, 0, 1, TYPES("nomic_bert")},
    {"modern-bert", "gelu", ANY, 0, ANY, TYPES("modernbert")},
    {"granite", "silu", ANY, 0, 1, TYPES("granite")},
    {"granitemoe", "silu", ANY, 0, 1, TYPES("granitemoe", "granitemoeshared")},
    {"granitehybrid", "silu", ANY, ANY, ANY, TYPES("granitemoehybrid")},
    {"command-r", "silu", ANY, 0, 1, TYPES("cohere")},
    {"cohere2", "silu", ANY, ANY, 4, TYPES("cohere2")},
    {"deepseek", "silu", ANY, 0, 1, TYPES("deepseek")},
    {"deepseek2", "silu", ANY, 0, 1, TYPES("deepseek_v2", "deepseek_v3", "kimi_k2")},
    {"olmo", "silu", ANY, 0, 1, TYPES("olmo")},
    {"olmo2", "silu", ANY, 0, ANY, TYPES("olmo2", "olmo3")},
    {"olmoe", "silu", 0, 0, 1, TYPES("olmoe")},
    {"stablelm", "silu", ANY, 0, 1, TYPES("stablelm", "stablelm_epoch")},
    {"orion", "silu", ANY, 0, 1, TYPES("orion")},
    {"baichuan", "silu", ANY, ANY, 1, TYPES("baichuan")},
    {"internlm2", "silu", ANY, 0, 1, TYPES("internlm2")},
    {"minicpm", "silu", ANY, 0, 1, TYPES("minicpm")},
    {"minicpm3", "silu", ANY, 0, 1, TYPES("minicpm3")},
    {"exaone", "silu", ANY, 0, 1, TYPES("exaone")},
    {"exaone4", "silu", ANY, ANY, ANY, TYPES("exaone4")},
    {"nemotron", "relu2", ANY, 0, 1, TYPES("nemotron")},
    {"arcee", "relu2", ANY, 0, 1, TYPES("arcee")},
    {"apertus", NULL, ANY, 0, 1, TYPES("apertus")},
    {"smollm3", "silu", ANY, 4, 1, TYPES("smollm3")},
    {"gpt-oss", NULL, ANY, 0, 2, TYPES("gpt_oss")},
    {"mamba", NULL, ANY, ANY, ANY, TYPES("mamba", "falcon_mamba")},
    {"mamba2", NULL, ANY, ANY, ANY, TYPES("mamba2")},
    {"jamba", "silu", ANY, ANY, ANY, TYPES("jamba")},
    {"t5", NULL, ANY, ANY, 1, TYPES("t5", "mt5", "umt5")},
    {"t5encoder", NULL, ANY, ANY, 1, TYPES("t5", "mt5", "umt5")},
    {"chatglm", "silu", ANY, 0, 1, TYPES("chatglm")},
    {"glm4", "silu", ANY, 0, 1, TYPES("glm4")},
    {"glm4moe", "silu", ANY, 0, 1, TYPES("glm4_moe")},
    {"dbrx", "silu", ANY, 0, 1, TYPES("dbrx")},
    {"lfm2", "silu", ANY, ANY, ANY, TYPES("lfm2")},
    {"hunyuan-dense", "silu", ANY, 0, 1, TYPES("hunyuan_v1_dense")},
    {"hunyuan-moe", "silu", ANY, 0, 1, TYPES("hunyuan_v1_moe")},
    {"ernie4_5", "silu", ANY, 0, 1, TYPES("ernie4_5")},
    {"ernie4_5-moe", "silu", ANY, 0, 1, TYPES("ernie4_5_moe")},
    {"seed_oss", "silu", ANY, 0, 1, TYPES("seed_oss")},
    {"openelm", "silu", ANY, 0, 1, TYPES("openelm")},
    {"rwkv6", NULL, ANY, ANY, ANY, TYPES("rwkv6")},
    {"rwkv7", NULL, ANY, ANY, ANY, TYPES("rwkv7")},
    {"whisper", "gelu", ANY, ANY, 1, TYPES("whisper")},
    {"mllama", "silu", ANY, 0, 1, TYPES("mllama", "mllama_text_model")},
};

/* Only letters and digits, in lower case, so that "gpt-oss" equals "gpt_oss". */
static bool same_word(const char *a, const char *b) {
    for (;; a++, b++) {
        while (*a != '\0' && !isalnum((unsigned char)*a))
            a++;
        while (*b != '\0' && !isalnum((unsigned char)*b))
            b++;
        if (tolower((unsigned char)*a) != tolower((unsigned char)*b))
            return false;
        if (*a == '\0')
            return true;
    }
}

const ls_architecture *ls_architecture_of(const char *gguf) {
    for (size_t i = 0; i < sizeof architectures / sizeof *architectures; i++)
        if (strcmp(architectures[i].gguf, gguf) == 0)
            return &architectures[i];
    return NULL;
}

static bool becomes(const ls_architecture *row, const char *type) {
    for (const char *const *t = row->types; *t != NULL; t++)
        if (same_word(*t, type))
            return true;
    return same_word(row->gguf, type);
}

/* "LlamaForCausalLM" and "LlamaModel" become "Llama". */
static const char *without_head(const ls_checkpoint *c, char *out, size_t capacity) {
    static const char *const heads[] = {"For", "Model", "LMHead"};
    size_t length = strlen(c->model);
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        const char *head = strstr(c->model, heads[i]);
        if (head != NULL && head > c->model && (size_t)(head - c->model) < length)
            length = (size_t)(head - c->model);
    }
    if (length >= capacity)
        length = capacity - 1;
    memcpy(out, c->model, length);
    out[length] = '\0';
    return out;
}

enum { WORDS = 3, WORD = 96 };

/* The model types that a configuration gives: its own, and its text model's. */
static size_t types_of(const ls_checkpoint *c, char words[WORDS][WORD]) {
    const char *inner = json_string_value(ls_config_find(c->config, "text_config.model_type"));
    char stem[WORD];
    const char *found[WORDS] = {c->architecture, inner, c->architecture[0] == '\0' ? without_head(c, stem, sizeof stem) : NULL};
    size_t count = 0;
    for (size_t i = 0; i < WORDS; i++)
        if (found[i] != NULL && *found[i] != '\0' && strlen(found[i]) < WORD)
            memcpy(words[count++], found[i], strlen(found[i]) + 1);
    return count;
}

static ls_kinship kin_of_types(const ls_checkpoint *hf, const char *gguf) {
    char words[WORDS][WORD];
    size_t count = types_of(hf, words);
    bool listed = false;
    for (size_t k = 0; k < count; k++) {
        if (same_word(words[k], gguf))
            return LS_KIN_SAME;
        for (size_t i = 0; i < sizeof architectures / sizeof *architectures; i++) {
            bool fits = becomes(&architectures[i], words[k]);
            if (fits && strcmp(architectures[i].gguf, gguf) == 0)
                return LS_KIN_SAME;
            listed = listed || fits;
        }
    }
    return listed ? LS_KIN_OTHER : LS_KIN_UNKNOWN;
}

const char *ls_architecture_in_gguf(const ls_checkpoint *checkpoint) {
    char words[WORDS][WORD];
    size_t count = types_of(checkpoint, words);
    for (size_t k = 0; k < count; k++)
        for (size_t i = 0; i < sizeof architectures / sizeof *architectures; i++)
            if (becomes(&architectures[i], words[k]))
                return architectures[i].gguf;
    return NULL;
}

/* "gemma3_text" is the text model of "gemma3". */
static bool same_type(const char *a, const char *b) {
    size_t n = strlen(a), m = strlen(b), shorter = n < m ? n : m;
    const char *longer = n < m ? b : a;
    return same_word(a, b) || (strncmp(a, b, shorter) == 0 && strcmp(longer + shorter, "_text") == 0);
}

static ls_kinship kin_of_configs(const ls_checkpoint *a, const ls_checkpoint *b) {
    char x[WORDS][WORD], y[WORDS][WORD];
    size_t n = types_of(a, x), m = types_of(b, y);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < m; k++)
            if (same_type(x[i], y[k]))
                return LS_KIN_SAME;
    return n > 0 && m > 0 ? LS_KIN_OTHER : LS_KIN_UNKNOWN;
}

/* A projector's file says "clip", whatever model it belongs to. */
static bool is_projector(const ls_checkpoint *c) { return c->gguf && strcmp(c->architecture, "clip") == 0; }

ls_kinship ls_architecture_kinship(const ls_checkpoint *reference, const ls_checkpoint *candidate) {
    if ((is_projector(reference) != is_projector(candidate)))
        return LS_KIN_UNKNOWN;
    if (reference->gguf && candidate->gguf)
        return reference->architecture[0] == '\0' || candidate->architecture[0] == '\0'      ? LS_KIN_UNKNOWN
               : strcmp(reference->architecture, candidate->architecture) == 0 ? LS_KIN_SAME : LS_KIN_OTHER;
    if (!reference->gguf && !candidate->gguf)
        return kin_of_configs(reference, candidate);
    const ls_checkpoint *hf = reference->gguf ? candidate : reference, *gguf = reference->gguf ? reference : candidate;
    return gguf->architecture[0] == '\0' ? LS_KIN_UNKNOWN : kin_of_types(hf, gguf->architecture);
}

const char *ls_architecture_text(const ls_checkpoint *c, const char **out_key) {
    *out_key = c->gguf ? "general.architecture" : c->architecture[0] != '\0' ? "model_type" : "architectures";
    return c->architecture[0] != '\0' ? c->architecture : c->model;
}
