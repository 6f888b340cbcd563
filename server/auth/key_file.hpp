// One file that holds one key of a service: read whole and bounded, checked, wiped when dropped. Blocks on the file:
// start-up or control thread. Never throws for what is there or not.
#pragma once

#include "auth/sha256.hpp"

#include <array>
#include <string>
#include <string_view>

namespace scoregate::auth {

class key_file {
public:
    static constexpr std::size_t max_size = 4096; // bytes

    explicit key_file(const std::string& path);
    key_file(const key_file&) = delete;
    key_file& operator=(const key_file&) = delete;
    ~key_file(); // wipes

    // Why it holds no key that can be used, and what to do; empty if it does.
    const std::string& defect() const noexcept { return defect_; }
    // Without surrounding white space; belongs to the file. Empty if it could not be read.
    std::string_view key() const noexcept { return key_; }
    bool readable_by_others() const noexcept { return readable_by_others_; }
    // Of what it held, or of why it could not be read.
    const sha256_digest& content() const noexcept { return content_; }

private:
    std::string read(const std::string& path);

    std::array<char, max_size + 1> bytes_{}; // one more, so that a larger file shows
    std::size_t size_ = 0;
    std::string_view key_;
    std::string defect_;
    bool readable_by_others_ = false;
    sha256_digest content_{};
};

} // namespace scoregate::auth
