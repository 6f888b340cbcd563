// PEM files: read whole and bounded, taken apart, decoded. Any of them may hold a private key, so all that is read is
// wiped when dropped. Throws unusable_file, whose what() is a sentence for the operator with the remedy; never prompts.
#pragma once

#include "tls/openssl_ptr.hpp"

#include <sys/types.h>

#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace scoregate::tls {

struct unusable_file : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// Why a system call on `path` failed, with the remedy.
unusable_file unreadable(const std::string& path, int error);

// Bytes that may be a private key: wiped when done with, and never left behind in memory that was outgrown.
class secret_text {
public:
    secret_text() = default;
    secret_text(secret_text&& other) noexcept { bytes_.swap(other.bytes_); }
    secret_text& operator=(secret_text&& other) noexcept {
        bytes_.swap(other.bytes_); // the other one wipes
        return *this;
    }
    ~secret_text();

    void resize(std::size_t size);
    char* data() noexcept { return bytes_.data(); }
    std::size_t size() const noexcept { return bytes_.size(); }
    std::string_view view() const noexcept { return {bytes_.data(), bytes_.size()}; }

private:
    std::vector<char> bytes_; // moved by pointer alone; a short std::string would be copied
};

struct pem_file {
    secret_text text;
    mode_t mode = 0; // of the file that was opened, whatever links led to it
};

// A regular file of at most 1 MiB.
pem_file read_pem_file(const std::string& path);

// What the text of the file `path` holds. Certificates in the file's order, never none; the first private key.
std::vector<x509_ptr> parse_certificates(const std::string& path, std::string_view text);
pkey_ptr parse_key(const std::string& path, std::string_view text);

} // namespace scoregate::tls
