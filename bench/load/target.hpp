// What all connections of a run share: where they go, how TLS is spoken, the one request that each of them sends.
#pragma once

#include "options.hpp"

#include <memory>
#include <optional>
#include <string>

#include <netinet/in.h>
#include <openssl/ssl.h>

namespace load {

struct target {
    // Throws bad_usage for a URL that is none, std::runtime_error where the host is unknown or OpenSSL refuses.
    explicit target(const options& chosen);

    sockaddr_in address{};
    std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> tls{nullptr, SSL_CTX_free}; // none: plain HTTP
    bool resumes = false;                   // a connection offers the session of the one before it
    std::string request;                    // head and body
    std::optional<std::size_t> reply_bytes; // none: an event stream
};

} // namespace load
