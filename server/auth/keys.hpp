// The keys that clients of one service call it with (auth_mode key): either of two is accepted, so that one can be
// exchanged while the other stays in use. A service_keys is immutable, made on the control thread, shared by every core
// through shared_ptr<const service_keys>. It holds digests alone: what a key was is not in this process's memory after
// load_keys, and no message holds a key or a part of one.
#pragma once

#include "auth/sha256.hpp"
#include "config/model.hpp"
#include "config/problem.hpp"

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace scoregate::auth {

// Which key a client presented: stable words in metrics and log.
enum class key_name : std::uint8_t { none, primary, secondary };

constexpr std::string_view to_string(key_name which) {
    constexpr std::array<std::string_view, 3> words{"none", "primary", "secondary"};
    return words[static_cast<std::size_t>(which)];
}

class service_keys {
public:
    static constexpr std::size_t min_key_size = 32, max_key_size = 512; // characters

    // load_keys is where it is checked that they can be keys.
    explicit service_keys(std::string_view primary, std::optional<std::string_view> secondary = {}) noexcept;

    // primary if both keys are the same. How long it takes depends on the length of `presented`, never on what stands
    // in it or on which key it is. Does not allocate.
    key_name match(std::string_view presented) const noexcept;

private:
    sha256_digest primary_;
    std::optional<sha256_digest> secondary_;
};

struct key_load {
    std::shared_ptr<const service_keys> value; // empty when there is any problem
    config::problems problems;                 // pointers: key_files::pointer + /primary_file, /secondary_file
    std::vector<std::string> warnings;         // what weakens the keys, each with what to do
    std::array<unsigned char, 32> content{};   // what the files held, or why they could not be read
};

// Reads and checks the files and collects every problem of both. `config_file` is what the problems name as their file.
// Blocks on the files: start-up or control thread. Never throws for what a file holds.
key_load load_keys(const config::key_files&, const std::string& config_file);

// The same of the one file that holds the token of the admin port (admin.token_file).
key_load load_admin_token(const std::string& path, const std::string& config_file);

// The digest that load_keys of the same files would give: equal ones mean that a reload would change nothing.
std::array<unsigned char, 32> read_content(const config::key_files&);

} // namespace scoregate::auth
