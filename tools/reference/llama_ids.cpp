// Prints the token ids that llama.cpp gives to every string of a JSON array.
//
//     llama_ids MODEL.gguf STRINGS.json > IDS.json
//
// No token is added in front or behind, and special tokens in the text stay text.
// README.md says how to build it against a llama.cpp tree.
#include <cstdio>
#include <fstream>
#include <vector>

#include "llama.h"
#include "nlohmann/json.hpp"

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: %s MODEL.gguf STRINGS.json\n", argv[0]);
        return 2;
    }
    llama_log_set([](ggml_log_level, const char *, void *) {}, nullptr);
    llama_backend_init();
    llama_model_params params = llama_model_default_params();
    params.vocab_only = true;
    llama_model *model = llama_model_load_from_file(argv[1], params);
    if (!model) {
        fprintf(stderr, "%s: not loaded\n", argv[1]);
        return 1;
    }
    const llama_vocab *vocab = llama_model_get_vocab(model);
    std::ifstream in(argv[2]);
    nlohmann::json all = nlohmann::json::array();
    for (const auto &item : nlohmann::json::parse(in)) {
        const std::string text = item.get<std::string>();
        std::vector<llama_token> ids(text.size() + 16);
        const int n = llama_tokenize(vocab, text.data(), (int)text.size(), ids.data(), (int)ids.size(), false, false);
        if (n < 0) {
            all.push_back(nullptr);
            continue;
        }
        ids.resize(n);
        all.push_back(ids);
    }
    puts(all.dump().c_str());
    llama_model_free(model);
    return 0;
}
