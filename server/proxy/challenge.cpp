#include "proxy/challenge.hpp"

#include "proxy/core.hpp"

#include <algorithm>
#include <utility>

namespace scoregate::proxy {

namespace {

constexpr std::size_t longest_token = 128;

bool base64url(std::string_view text) {
    return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
        return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
    });
}

} // namespace

std::string_view challenge_token(std::string_view path) {
    if (!path.starts_with(challenge_prefix)) return {};
    path.remove_prefix(challenge_prefix.size());
    return path.size() <= longest_token && base64url(path) ? path : std::string_view{};
}

bool is_key_authorization(std::string_view content, std::string_view token) {
    if (content.size() > longest_challenge || !content.starts_with(token)) return false;
    content.remove_prefix(token.size());
    return content.starts_with('.') && base64url(content.substr(1));
}

awaited_challenge::awaited_challenge(core& where)
    : core_(where), number_(++where.challenges_asked), read_(where.wheel, where.where()) {
    core_.challenges.emplace(number_, this);
}

awaited_challenge::~awaited_challenge() { core_.challenges.erase(number_); }

base::task<std::optional<std::string>> awaited_challenge::content() {
    co_await read_.wait(patience);
    co_return std::move(content_);
}

void awaited_challenge::take(std::optional<std::string> read) {
    content_ = std::move(read);
    read_.end();
}

} // namespace scoregate::proxy
