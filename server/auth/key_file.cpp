#include "auth/key_file.hpp"

#include "auth/bearer.hpp"
#include "auth/keys.hpp"
#include "auth/read_file.hpp"

#include <openssl/crypto.h>

namespace scoregate::auth {

namespace {

constexpr std::string_view white_space = " \t\r\n\f\v";

std::string make_one(const std::string& path) { return "make a key: scoregate key generate > " + path; }

std::string_view trimmed(std::string_view text) {
    const auto begin = text.find_first_not_of(white_space);
    if (begin == std::string_view::npos) return {};
    return text.substr(begin, text.find_last_not_of(white_space) - begin + 1);
}

// Why `key` cannot be one, or empty. Tells nothing of what it is.
std::string defect_of(const std::string& path, std::string_view key) {
    if (key.empty()) return path + " is empty; " + make_one(path);
    if (key.find_first_of(white_space) != std::string_view::npos)
        return path + " holds more than one word, but a key file holds one key alone; " + make_one(path);
    if (!is_token(key))
        return path +
               " holds characters that no client can send as a bearer token: a key is made of letters, digits and "
               "- . _ ~ + / with = at its end alone (RFC 6750 2.1); " +
               make_one(path);
    if (key.size() < service_keys::min_key_size)
        return path + " holds a key of fewer than 32 characters, which could be guessed; " + make_one(path);
    if (key.size() > service_keys::max_key_size)
        return path + " holds a key of more than 512 characters; name the right file, or " + make_one(path);
    return {};
}

} // namespace

key_file::key_file(const std::string& path) {
    defect_ = read(path);
    content_ = defect_.empty() ? sha256("held ", {bytes_.data(), size_}) : sha256("unreadable ", defect_);
    if (!defect_.empty()) return;
    key_ = trimmed({bytes_.data(), size_});
    defect_ = defect_of(path, key_);
}

key_file::~key_file() { OPENSSL_cleanse(bytes_.data(), bytes_.size()); }

// Why it could not be read, or empty.
std::string key_file::read(const std::string& path) {
    const auto file = read_file(path, bytes_, "the key", make_one(path));
    size_ = file.size;
    readable_by_others_ = file.readable_by_others;
    if (!file.defect.empty() || size_ < bytes_.size()) return file.defect;
    return path + " is larger than 4 KiB, which no key is; name the right file, or " + make_one(path);
}

} // namespace scoregate::auth
