// A configuration file for one test: a temporary folder with the text in it, gone with the object.
#pragma once

#include "config/load.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <filesystem>
#include <fstream>
#include <stdlib.h>
#include <string>
#include <utility>
#include <vector>

namespace scoregate::config {

class written {
public:
    explicit written(const std::string& text) {
        auto pattern = (std::filesystem::temp_directory_path() / "scoregate-config-XXXXXX").string();
        REQUIRE(mkdtemp(pattern.data()) != nullptr);
        folder_ = pattern;
        std::ofstream{file()} << text;
    }
    ~written() { std::filesystem::remove_all(folder_); }
    written(const written&) = delete;
    written& operator=(const written&) = delete;

    const std::filesystem::path& folder() const { return folder_; }
    std::string file() const { return (folder_ / "scoregate.json").string(); }
    load_result load(std::vector<override_setting> overrides = {}) const {
        return config::load({file(), std::move(overrides)});
    }
    // With `--set` words.
    load_result load_with(const std::vector<std::string>& words) const {
        problems wrong;
        auto overrides = parse_set_options(words, wrong);
        REQUIRE(wrong.empty());
        return load(std::move(overrides));
    }

private:
    std::filesystem::path folder_;
};

// A valid file to change things in.
inline nlohmann::json valid() {
    return nlohmann::json::parse(R"({
        "sslCertPemFile": "tls/cert.pem", "sslKeyPemFile": "/keys/key.pem", "sslCname": "www.contoso.com",
        "services": { "iris": { "auth_mode": "none",
                                "deployments": { "blue": { "replicas": ["http://127.0.0.1:5001"] } } } } })");
}

inline std::string pointers(const problems& all) {
    std::string out;
    for (const auto& one : all) out += one.pointer + "\n";
    return out;
}

inline std::vector<std::string> lines(const problems& all) {
    std::vector<std::string> out;
    for (const auto& one : all) out.push_back(to_string(one));
    return out;
}

} // namespace scoregate::config
