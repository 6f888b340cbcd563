// What an ACME provider asks for on the port of plain HTTP, to see that a name is ours (RFC 8555 8.3): a file that the
// ACME client has put into the webroot. It is read by the control thread's background, since a core does not wait for
// files; who asks waits here meanwhile. The core's thread.
#pragma once

#include "base/executor.hpp"
#include "base/pause.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace scoregate::proxy {

class core;

inline constexpr std::string_view challenge_prefix = "/.well-known/acme-challenge/";
inline constexpr std::size_t longest_challenge = 1024; // bytes of a key authorization; token and a SHA-256 need less

// The token that `path` asks for; empty if it is no challenge. Only what base64url has, so that no path leads
// elsewhere.
std::string_view challenge_token(std::string_view path);

// Whether that may be told: the token, a dot, and the thumbprint of the account's key (RFC 8555 8.1).
bool is_key_authorization(std::string_view content, std::string_view token);

// A request that waits for its file, known to its core by a number while this lives.
class awaited_challenge {
public:
    static constexpr std::size_t most = 16;                    // of one core at once
    static constexpr std::chrono::milliseconds patience{1500}; // with the volume that the webroot is on

    explicit awaited_challenge(core& where);
    awaited_challenge(const awaited_challenge&) = delete;
    awaited_challenge& operator=(const awaited_challenge&) = delete;
    ~awaited_challenge();

    std::uint64_t number() const { return number_; }
    // Empty: there is no such file, or it was not read in time.
    base::task<std::optional<std::string>> content();
    void take(std::optional<std::string> read);

private:
    core& core_;
    std::uint64_t number_;
    base::pause read_;
    std::optional<std::string> content_;
};

} // namespace scoregate::proxy
