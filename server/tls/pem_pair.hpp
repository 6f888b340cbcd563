// The two files of a pair, found and read but not yet understood: the same for a load, for the poll that asks whether
// anything has changed, and for `cert inspect`. Blocks on the files: start-up or control thread.
#pragma once

#include "config/model.hpp"
#include "tls/content_digest.hpp"
#include "tls/pem.hpp"

#include <optional>
#include <string>

namespace scoregate::tls {

struct pem_pair {
    struct file {
        std::string path;            // empty when a directory holds no clear pair
        std::optional<pem_file> got; // or
        std::string reason;          // why it could not be read, and what to do
    };
    std::string unclear; // why the directory holds no clear pair, and what to do; then no file was read
    file certificate;
    file key;
    content_digest content{}; // which files they are, what each held or the reason why not
};

// Never throws for what is there or not.
pem_pair read_pem_pair(const config::certificate_files&);

} // namespace scoregate::tls
